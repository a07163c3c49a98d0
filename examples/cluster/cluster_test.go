package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wsrouter/wsrouter"
	"github.com/wsrouter/wsrouter/examples/chat/page"
	"github.com/wsrouter/wsrouter/internal/leak"
	"github.com/wsrouter/wsrouter/internal/redistest"
)

func TestMain(m *testing.M) { leak.Main(m) }

// patience is how long to wait for what should come.
const patience = 30 * time.Second

// build returns the path of the program.
func build(t *testing.T) string {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "cluster")
	out, err := exec.Command("go", "build", "-buildvcs=false", "-race", "-o", binary, ".").CombinedOutput()
	require.NoError(t, err, "%s", out)
	return binary
}

// server is a process.
type server struct {
	url string
	cmd *exec.Cmd
}

var announcement = regexp.MustCompile(`open (http://\S+)`)

func start(t *testing.T, binary, redis string) *server {
	t.Helper()
	s := &server{cmd: exec.Command(binary, "-addr", "127.0.0.1:0", "-redis", "redis://"+redis)}
	stderr, err := s.cmd.StderrPipe()
	require.NoError(t, err)
	require.NoError(t, s.cmd.Start())
	t.Cleanup(s.kill)
	lines := bufio.NewScanner(stderr)
	for s.url == "" && lines.Scan() {
		if found := announcement.FindStringSubmatch(lines.Text()); found != nil {
			s.url = found[1]
		}
	}
	require.NotEmpty(t, s.url, "the server did not say where it listens")
	go func() {
		for lines.Scan() { // so that the process is not blocked
		}
	}()
	return s
}

// kill leaves the server no time to say goodbye.
func (s *server) kill() {
	s.cmd.Process.Kill()
	s.cmd.Wait()
}

// visitor is a client that has a name and remembers what it was told.
type visitor struct {
	*wsrouter.Client
	t     *testing.T
	heard chan heard
}

type heard struct {
	event string
	data  json.RawMessage
}

func open(t *testing.T, s *server, name string) *visitor {
	t.Helper()
	p := &visitor{t: t, heard: make(chan heard, 1000)}
	handlers := wsrouter.New(nil)
	handlers.NotFound(func(c *wsrouter.Context) error {
		p.heard <- heard{c.Event(), slices.Clone(c.Raw())}
		return nil
	})
	var err error
	p.Client, err = wsrouter.Dial(t.Context(), s.url+"/ws", &wsrouter.DialOptions{
		Router: handlers,
		Auth:   func(context.Context) (any, error) { return page.Message{Name: name}, nil },
	})
	require.NoError(t, err)
	t.Cleanup(func() { p.Close() })
	return p
}

// until waits for an event that fits, and skips others.
func until[T any](p *visitor, event string, fits func(v T) bool) (v T) {
	p.t.Helper()
	timeout := time.After(patience)
	last := "nothing"
	for {
		select {
		case h := <-p.heard:
			var v T
			if last = fmt.Sprintf("%s %s", h.event, h.data); h.event != event {
				continue
			}
			require.NoError(p.t, json.Unmarshal(h.data, &v))
			if fits(v) {
				return v
			}
		case <-timeout:
			require.Fail(p.t, "heard no such "+event, "last: %s", last)
		}
	}
}

type joined struct {
	Room     string         `json:"room"`
	Seq      int64          `json:"seq"`
	Messages []page.Message `json:"messages"`
}

// texts returns what was said, in order.
func (j joined) texts() (texts []string) {
	for _, m := range j.Messages {
		texts = append(texts, m.Text)
	}
	return texts
}

func (p *visitor) call(event string, m page.Message) error {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), patience)
	defer cancel()
	return p.Call(ctx, event, m, nil)
}

func (p *visitor) join(after int64) joined {
	p.t.Helper()
	require.NoError(p.t, p.call("join", page.Message{Room: "Lobby", Seq: after}))
	return until(p, "joined", func(joined) bool { return true })
}

func (p *visitor) sees(names ...string) {
	p.t.Helper()
	until(p, "people", func(v page.People) bool {
		return slices.EqualFunc(v.People, names, func(who page.Person, name string) bool { return who == page.Person{Name: name} })
	})
}

func (p *visitor) hears(text string) page.Message {
	p.t.Helper()
	return until(p, "said", func(m page.Message) bool { return m.Text == text })
}

func (p *visitor) say(text string) {
	p.t.Helper()
	require.NoError(p.t, p.call("say", page.Message{Room: "Lobby", Text: text, Key: text}))
}

func TestOneChatOnManyServers(t *testing.T) {
	redis, binary := redistest.Start(t), build(t)
	one, two := start(t, binary, redis.Addr), start(t, binary, redis.Addr)
	ada, bob := open(t, one, "Ada"), open(t, two, "Bob")
	require.Empty(t, ada.join(0).Messages)
	begin := bob.join(0)
	require.Empty(t, begin.Messages)
	ada.sees("Ada", "Bob")
	bob.sees("Ada", "Bob")

	ada.say("hi")
	first := bob.hears("hi")
	require.Equal(t, "Ada", first.Name)
	require.GreaterOrEqual(t, first.Seq, begin.Seq)
	ada.say("hi") // as if the connection had been lost before the answer
	bob.say("hello")
	require.Equal(t, first.Seq+1, ada.hears("hello").Seq)
	require.ErrorContains(t, bob.call("say", page.Message{Room: "Kitchen", Text: "x"}), "not in this room")
	require.NoError(t, bob.Emit("typing", page.Message{Room: "Lobby"}))
	until(ada, "typing", func(m page.Message) bool { return m.Name == "Bob" })

	three := start(t, binary, redis.Addr) // knows what was said before it started
	eve := open(t, three, "Eve")
	require.Equal(t, []string{"hi", "hello"}, eve.join(0).texts())
	require.Equal(t, []string{"hello"}, eve.join(first.Seq).texts())
	ada.sees("Ada", "Bob", "Eve")
	require.NoError(t, eve.call("leave", page.Message{Room: "Lobby"}))
	ada.sees("Ada", "Bob")

	one.kill() // without a goodbye
	bob.sees("Bob")
	bob.say("where are you?")
	ada = open(t, two, "Ada") // as a page does on its own
	require.Equal(t, []string{"where are you?"}, ada.join(first.Seq+1).texts())
	bob.sees("Ada", "Bob")
}

func TestRedisGoesAway(t *testing.T) {
	redis, binary := redistest.Start(t), build(t)
	proxy := redis.NewProxy(t)
	one, two := start(t, binary, proxy.Addr), start(t, binary, redis.Addr)
	ada, bob, eve := open(t, one, "Ada"), open(t, one, "Bob"), open(t, two, "Eve")
	for _, p := range []*visitor{ada, bob, eve} {
		p.join(0)
	}
	ada.sees("Ada", "Bob", "Eve")

	proxy.Cut()
	var ws *wsrouter.WsError
	require.ErrorAs(t, ada.call("say", page.Message{Room: "Lobby", Text: "lost"}), &ws)
	require.Equal(t, "The room cannot be reached. Try again.", ws.Message)
	require.NoError(t, bob.Emit("typing", page.Message{Room: "Lobby"}))
	until(ada, "typing", func(m page.Message) bool { return m.Name == "Bob" })
	ada.sees("Ada", "Bob")
	eve.sees("Eve")

	proxy.Heal()
	ada.sees("Ada", "Bob", "Eve")
	ada.say("back")
	eve.hears("back")
	require.Equal(t, []string{"back"}, eve.join(0).texts())
}

func TestShutdown(t *testing.T) {
	redis, binary := redistest.Start(t), build(t)
	one := start(t, binary, redis.Addr)
	ada := open(t, one, "Ada")
	ada.join(0)
	require.NoError(t, one.cmd.Process.Signal(syscall.SIGTERM))
	require.NoError(t, one.cmd.Wait(), "the server ended with an error")
	<-ada.Conn().Context().Done()
	var ce *wsrouter.CloseError
	require.ErrorAs(t, context.Cause(ada.Conn().Context()), &ce)
	require.Equal(t, wsrouter.CloseGoingAway, ce.Code)
}
