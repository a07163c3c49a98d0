package redisbroker_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wsrouter/wsrouter"
	"github.com/wsrouter/wsrouter/internal/leak"
	"github.com/wsrouter/wsrouter/internal/redistest"
	"github.com/wsrouter/wsrouter/redisbroker"
)

// nodeEnv makes this test program a node instead: it has one client, in the room
// "room", and prints each event that the client receives. It reads commands, see
// runNode.
const nodeEnv = "WSROUTER_TEST_NODE"

func TestMain(m *testing.M) {
	if addr := os.Getenv(nodeEnv); addr != "" {
		runNode(addr)
		return
	}
	leak.Main(m)
}

func runNode(addr string) {
	broker, err := redisbroker.New(optionFor(addr), &redisbroker.Options{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		panic(err)
	}
	r := wsrouter.New(&wsrouter.Options{Broker: broker, Logger: slog.New(slog.DiscardHandler)})
	r.OnConnect(func(c *wsrouter.Conn) error { return c.Join("room") })
	handlers := wsrouter.New(nil)
	handlers.NotFound(func(c *wsrouter.Context) error {
		fmt.Printf("%s %s\n", c.Event(), c.Raw())
		return nil
	})
	if _, err := r.Connect(context.Background(), &wsrouter.DialOptions{Router: handlers}); err != nil {
		panic(err)
	}
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		switch command, event, _ := strings.Cut(lines.Text(), " "); command {
		case "emit":
			r.To("room").Emit(event)
		case "quit":
			r.Shutdown(context.Background())
			broker.Close()
			fmt.Println("gone")
			return
		}
	}
}

// process is such a node.
type process struct {
	t     *testing.T
	cmd   *exec.Cmd
	in    io.Writer
	lines chan string
}

func startNode(t *testing.T, addr string) *process {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), nodeEnv+"="+addr)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	require.NoError(t, err)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	p := &process{t: t, cmd: cmd, in: in, lines: make(chan string, 1000)}
	go func() {
		defer close(p.lines)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			p.lines <- lines.Text()
		}
	}()
	t.Cleanup(func() {
		p.kill()
		for range p.lines { // until the goroutine has ended
		}
	})
	return p
}

func (p *process) do(command string) { fmt.Fprintln(p.in, command) }

func (p *process) kill() {
	p.cmd.Process.Kill()
	p.cmd.Wait()
}

// expect waits for an event and skips those that begin with skip.
func (p *process) expect(event, skip string) {
	p.t.Helper()
	for {
		select {
		case line, ok := <-p.lines:
			if skip != "" && strings.HasPrefix(line, skip) {
				continue
			}
			require.True(p.t, ok, "the node ended")
			require.Equal(p.t, event, strings.TrimSpace(line))
			return
		case <-time.After(20 * time.Second):
			require.Fail(p.t, "no "+event)
		}
	}
}

// reach emits until the process has received one: what was emitted while a node was
// unreachable is lost.
func reach(t *testing.T, r *wsrouter.Router, p *process) {
	t.Helper()
	eventually(t, func() bool {
		require.NoError(t, r.To("room").Emit("probe"))
		select {
		case line := <-p.lines:
			return strings.HasPrefix(line, "probe")
		case <-time.After(50 * time.Millisecond):
			return false
		}
	})
}

func TestRedisIsRestarted(t *testing.T) {
	server := redistest.Start(t)
	states := make(chan error, 100)
	broker := newBroker(t, server.Addr, &redisbroker.Options{OnState: func(err error) { states <- err }})
	r := newNode(t, broker)
	client := connect(t, r)
	p := startNode(t, server.Addr)
	reach(t, r, p)
	for client.Next(nil) != "probe" {
	}

	server.Stop()
	require.Error(t, <-states)
	require.NoError(t, r.To("room").Emit("meanwhile"))
	for name := client.Next(nil); name != "meanwhile"; name = client.Next(nil) {
		require.Equal(t, "probe", name, "local delivery continues")
	}
	eventually(t, func() bool { // one connection may notice before the other
		return errors.Is(r.To("room").Join("x"), wsrouter.ErrUnreached)
	})
	_, err := r.Find(t.Context())
	assert.ErrorIs(t, err, wsrouter.ErrUnreached)
	assert.Positive(t, r.Stats().Broker.Away)

	server.Restart()
	require.NoError(t, <-states)
	reach(t, r, p)
	p.do("emit back")
	for name := client.Next(nil); name != "back"; name = client.Next(nil) {
		require.Equal(t, "probe", name, "what waits for Redis is sent when that is back")
	}
	assert.Zero(t, r.Stats().Broker.Away)
}

// A network that swallows everything for 10 s is noticed and recovered from. Those
// who publish meanwhile do not wait; they fill a queue, not the memory.
func TestTheNetworkIsGoneFor10Seconds(t *testing.T) {
	server := redistest.Start(t)
	proxy := server.NewProxy(t)
	broker := newBroker(t, proxy.Addr, &redisbroker.Options{QueueBytes: 1 << 20, RequestTimeout: 2 * time.Second})
	r := newNode(t, broker)
	connect(t, r)
	p := startNode(t, server.Addr)
	reach(t, r, p)

	proxy.Hold()
	begin := time.Now()
	emits, late := 0, 0
	text := strings.Repeat("x", 10_000)
	before := heap()
	for time.Since(begin) < 10*time.Second {
		start := time.Now()
		require.NoError(t, r.To("elsewhere").Emit("lost", text))
		emits++
		if time.Since(start) > time.Second {
			late++
		}
		if emits%1000 == 0 {
			time.Sleep(100 * time.Millisecond) // 100 MB/s would be a different test
		}
	}
	stats := r.Stats().Broker
	assert.Greater(t, emits, 1000, "publishing does not wait for the network")
	assert.LessOrEqual(t, late, 2, "but perhaps for a processor")
	assert.Positive(t, stats.Dropped)
	assert.Positive(t, stats.Away)
	assert.LessOrEqual(t, stats.Queued, 1<<20+len(text)+1000)
	assert.Less(t, heap()-before, 32<<20)
	assert.ErrorIs(t, r.To("room").Leave("x"), wsrouter.ErrUnreached)

	proxy.Heal()
	reach(t, r, p)
	eventually(t, func() bool { return r.Stats().Broker.Away == 0 })
	p.do("emit back")
}

func heap() int {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc)
}

func TestSlowRedis(t *testing.T) {
	server := redistest.Start(t)
	proxy := server.NewProxy(t)
	r := newNode(t, newBroker(t, proxy.Addr, &redisbroker.Options{RequestTimeout: patient}))
	connect(t, r)
	p := startNode(t, server.Addr)
	reach(t, r, p)
	const delay = 500 * time.Millisecond
	proxy.Delay(delay)
	late := 0
	for i := range 100 {
		begin := time.Now()
		require.NoError(t, r.To("room").Emit(fmt.Sprint("e", i)))
		if time.Since(begin) >= delay {
			late++
		}
	}
	assert.LessOrEqual(t, late, 2, "the emitter does not wait for Redis, but perhaps for a processor")
	for i := range 100 {
		p.expect(fmt.Sprint("e", i), "probe")
	}
	members, err := r.Find(t.Context())
	require.NoError(t, err)
	assert.Len(t, members, 2)
	assert.Zero(t, r.Stats().Broker.Dropped)
}

// Nobody waits for a node that is killed: Redis knows that it is gone.
func TestANodeDiesWithoutAWord(t *testing.T) {
	addr := redistest.Start(t).Addr
	r := newNode(t, newBroker(t, addr, nil))
	connect(t, r)
	dies, stays := startNode(t, addr), startNode(t, addr)
	reach(t, r, dies)
	reach(t, r, stays)
	find := func() int {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		members, err := r.Find(ctx)
		require.NoError(t, err)
		return len(members)
	}
	assert.Equal(t, 3, find())
	dies.kill()
	eventually(t, func() bool { return find() == 2 })

	stays.do("quit")
	stays.expect("gone", "probe")
	assert.Equal(t, 1, find(), "a node that leaves has left when its Shutdown has returned")
}

// A broker that is closed in the middle of everything leaves nothing behind; see
// TestMain.
func TestClose(t *testing.T) {
	server := redistest.Start(t)
	for _, stopped := range []bool{false, true} {
		if stopped {
			server.Stop()
		}
		broker := newBroker(t, server.Addr, &redisbroker.Options{RequestTimeout: 100 * time.Millisecond})
		r := newNode(t, broker)
		client := connect(t, r)
		for i := range 1000 {
			r.Emit("e", i)
		}
		require.NoError(t, broker.Close())
		require.NoError(t, broker.Close())
		assert.ErrorIs(t, r.To("room").Join("x"), wsrouter.ErrUnreached)
		require.NoError(t, r.Emit("still here"))
		var n json.RawMessage
		for client.Next(&n) != "still here" {
		}
		late, err := broker.Subscribe(t.Context(), bystander(t))
		assert.Error(t, err)
		assert.Nil(t, late)
	}
}
