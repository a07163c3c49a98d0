package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"log"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/redis/rueidis"

	"github.com/wsrouter/wsrouter"
	"github.com/wsrouter/wsrouter/adapter"
	"github.com/wsrouter/wsrouter/payload"
	"github.com/wsrouter/wsrouter/redisbroker"
)

// nodeVariable has the job of a process that is a node.
const nodeVariable = "WSROUTER_SCALING_NODE"

type job struct {
	Redis       string
	Work        work
	Node, Nodes int
	Lasts       time.Duration
}

// report is what a node has done.
type report struct {
	CPU       time.Duration
	Did       int64 // messages sent, or questions asked
	Delivered int64 // messages to its connections
}

// body is 200 bytes of JSON.
var body = map[string]any{"from": "ann", "text": strings.Repeat("hello ", 28), "at": int64(1795392000000)}

// runNode talks with measure by lines: it says when it is ready and done.
func runNode() {
	var j job
	if err := json.Unmarshal([]byte(os.Getenv(nodeVariable)), &j); err != nil {
		log.Fatal(err)
	}
	broker, err := redisbroker.New(rueidis.ClientOption{InitAddress: []string{j.Redis}, DisableCache: true}, nil)
	if err != nil {
		log.Fatal(err)
	}
	quiet := slog.New(slog.DiscardHandler)
	router := wsrouter.New(&wsrouter.Options{Broker: broker, Logger: quiet, OutboxBytes: 64 << 20})
	delivered := connect(router, j.Node)

	fmt.Println("ready")
	var r report
	var before time.Duration
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		switch lines.Text() {
		case "go":
			before = used()
			r.Did = j.work(router)
			fmt.Println("done")
		case "report":
			r.CPU, r.Delivered = used()-before, delivered.Load()
			json.NewEncoder(os.Stdout).Encode(r)
		}
		if stats := broker.BrokerStats(); stats.Dropped > 0 {
			log.Fatalf("%d were dropped", stats.Dropped)
		}
	}
	router.Close()
	broker.Close()
}

// work sends or asks, if this is the first node, and returns how often.
func (j job) work(router *wsrouter.Router) (did int64) {
	if j.Node > 0 {
		return 0
	}
	ticker := time.NewTicker(time.Second / time.Duration(j.Work.Rate))
	defer ticker.Stop()
	for end := time.Now().Add(j.Lasts); time.Now().Before(end); <-ticker.C {
		if err := j.once(router); err != nil {
			log.Fatal(err)
		}
		did++
	}
	return did
}

func (j job) once(router *wsrouter.Router) error {
	switch j.Work.Kind {
	case "room":
		return router.To("room").Emit("said", body)
	case "user":
		return router.To(user(rand.IntN(j.Nodes), rand.IntN(members))).Emit("said", body)
	}
	found, err := router.Find(context.Background())
	if err == nil && len(found) != j.Nodes*members {
		err = fmt.Errorf("found %d connections, want %d", len(found), j.Nodes*members)
	}
	return err
}

func user(node, i int) string { return "user:" + strconv.Itoa(node) + "-" + strconv.Itoa(i) }

// connect connects the node's members, and returns the count of what they get.
func connect(router *wsrouter.Router, node int) *atomic.Int64 {
	router.OnConnect(func(c *wsrouter.Conn) error {
		name := c.Request().Header.Get("Name")
		if err := c.Join("room", name); err != nil {
			return err
		}
		return c.SetData(map[string]string{"name": name})
	})
	sink := new(sink)
	for i := range members {
		request, _ := http.NewRequest(http.MethodGet, "/", nil)
		request.Header.Set("Name", user(node, i))
		link, err := router.Adapter().NewLink(sink, adapter.LinkOptions{Request: request})
		if err != nil {
			log.Fatal(err)
		}
		if _, err := link.Join(router, format{}, nil); err != nil {
			log.Fatal(err)
		}
	}
	for router.Stats().Connections < members {
		time.Sleep(time.Millisecond)
	}
	return &sink.frames
}

// format writes events as the plain protocol does, and nothing else.
type format struct{}

func (format) Encode(m *adapter.Message) (adapter.Frame, error) {
	if m.Kind != adapter.KindEvent {
		return adapter.Frame{}, nil
	}
	text := fmt.Appendf(nil, `{"event":%q,"data":`, m.Event)
	text, err := payload.AppendJSON(text, m.Args[0])
	return adapter.Frame{Text: append(text, '}')}, err
}

// sink is a transport that takes everything, and counts.
type sink struct{ frames atomic.Int64 }

func (s *sink) Write(batch []adapter.Frame) (pending bool, err error) {
	s.frames.Add(int64(len(batch)))
	return false, nil
}

func (s *sink) Ping()             {}
func (s *sink) Resume()           {}
func (s *sink) Close(adapter.End) {}
func (s *sink) Abort()            {}

// used is the processor time of this process, by the operating system's account.
func used() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		log.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
