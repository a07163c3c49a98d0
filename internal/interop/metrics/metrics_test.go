// Package metrics has only tests. A real Prometheus scrapes examples/gateway,
// examples/cluster and examples/rpc, as processes with -metrics, and what it
// returns is compared with what clients did.
package metrics

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wsrouter/wsrouter"
	"github.com/wsrouter/wsrouter/internal/interop/process"
	"github.com/wsrouter/wsrouter/internal/leak"
	"github.com/wsrouter/wsrouter/internal/loopback"
	"github.com/wsrouter/wsrouter/internal/promtest"
	"github.com/wsrouter/wsrouter/internal/redistest"
)

func TestMain(m *testing.M) { leak.Main(m) }

// server is an example that serves clients at addr and Prometheus at metrics.
type server struct{ addr, metrics string }

// start returns when the example serves both: clients at the address that the flag
// sets, and Prometheus. At the end of the test it must shut down without a failure.
func start(t *testing.T, example, flag string, args ...string) server {
	t.Helper()
	binary := process.Build(t, "../../../examples/"+example)
	s := server{loopback.Hold(t), loopback.Hold(t)}
	p := process.Start(t, ".", binary, append([]string{flag, s.addr, "-metrics", s.metrics}, args...)...)
	t.Cleanup(func() {
		p.Cmd.Process.Signal(syscall.SIGINT)
		require.NoError(t, p.Wait(), "66 is the race detector's")
	})
	t.Cleanup(func() { // while it still runs
		if t.Failed() {
			t.Logf("%s says at last:\n%s", s.metrics, s.shows())
		}
	})
	knock := time.NewTicker(5 * time.Millisecond)
	defer knock.Stop()
	for _, addr := range []string{s.addr, s.metrics} {
		for end := time.Now().Add(time.Minute); ; <-knock.C {
			if conn, err := net.Dial("tcp", addr); err == nil {
				conn.Close()
				break
			}
			require.True(t, time.Now().Before(end), "%s does not open %s", binary, addr)
		}
	}
	return s
}

// shows returns the router's metrics that are not zero.
func (s server) shows() string {
	answer, err := http.Get("http://" + s.metrics + "/metrics")
	if err != nil {
		return err.Error()
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		return err.Error()
	}
	lines := slices.DeleteFunc(strings.Split(string(text), "\n"), func(line string) bool {
		return !strings.HasPrefix(line, "wsrouter_") || strings.Contains(line, "_bucket{") || strings.HasSuffix(line, " 0")
	})
	return strings.Join(lines, "\n")
}

// dial returns a client that answers questions.
func (s server) dial(t *testing.T, path string, opts wsrouter.DialOptions) *wsrouter.Client {
	t.Helper()
	opts.Router = wsrouter.New(&wsrouter.Options{Logger: slog.New(slog.DiscardHandler)})
	opts.Router.On("question", func(c *wsrouter.Context) error { return c.Reply(c.Value()) })
	client, err := wsrouter.Dial(t.Context(), "ws://"+s.addr+path, &opts)
	require.NoError(t, err)
	t.Cleanup(func() { client.Close() })
	return client
}

// poll connects a Socket.IO client that polls, with the two requests that it takes
// to be in the namespace.
func (s server) poll(t *testing.T) {
	t.Helper()
	url := "http://" + s.addr + "/socket.io/?EIO=4&transport=polling"
	send := func(url, body string) string {
		answer, err := http.Post(url, "text/plain", strings.NewReader(body))
		require.NoError(t, err)
		defer answer.Body.Close()
		got, err := io.ReadAll(answer.Body)
		require.NoError(t, err)
		return string(got)
	}
	answer, err := http.Get(url)
	require.NoError(t, err)
	defer answer.Body.Close()
	open, err := io.ReadAll(answer.Body)
	require.NoError(t, err)
	_, sid, ok := strings.Cut(string(open), `"sid":"`)
	require.True(t, ok, "%s", open)
	sid, _, _ = strings.Cut(sid, `"`)
	require.Equal(t, "ok", send(url+"&sid="+sid, "40"))
}

// use does everything that a client of the gateway may do, once.
func use(t *testing.T, client *wsrouter.Client) {
	ctx := t.Context()
	require.NoError(t, client.Call(ctx, "events", "hi", nil))
	require.NoError(t, client.Emit("events", "hi"))
	require.Error(t, client.Call(ctx, "events", "", nil))
	require.Error(t, client.Call(ctx, "fail", nil, nil))
	require.Error(t, client.Call(ctx, "boom", nil, nil))
	require.Error(t, client.Call(ctx, "panic", nil, nil))
	require.NoError(t, client.Call(ctx, "ask", "who?", nil))
	require.NoError(t, client.Call(ctx, "join", "lobby", nil))
	items := 0
	for _, err := range wsrouter.Pull[int](ctx, client, "count", map[string]int{"to": 5}) {
		require.NoError(t, err)
		items++
	}
	require.Equal(t, 5, items)
}

// TestGateway: metrics by namespace, transport, event, kind, outcome, cause and
// reason.
func TestGateway(t *testing.T) {
	s := start(t, "gateway", "-addr", "-recovery", "1h")
	prometheus := promtest.Start(t, map[string][]string{"gateway": {s.metrics}})
	var plain, child []*wsrouter.Client
	for range 3 {
		late := &wsrouter.Reconnect{Resume: true, Min: time.Hour, Max: time.Hour}
		plain = append(plain, s.dial(t, "/ws", wsrouter.DialOptions{Reconnect: late}))
	}
	for range 2 {
		child = append(child, s.dial(t, "/ws/events", wsrouter.DialOptions{}))
	}
	for _, client := range slices.Concat(plain, child) {
		use(t, client)
	}
	for range 4 {
		_, err := wsrouter.Dial(t.Context(), "ws://"+s.addr+"/ws", &wsrouter.DialOptions{Header: http.Header{"Origin": {"https://evil.example"}}})
		require.Error(t, err)
	}
	refused := s.dial(t, "/ws?refuse=1", wsrouter.DialOptions{})
	<-refused.Conn().Context().Done()
	for range 2 {
		s.dial(t, "/ws", wsrouter.DialOptions{}).Close()
	}
	s.dial(t, "/ws", wsrouter.DialOptions{}).Call(t.Context(), "close", nil, nil)

	prometheus.Wants(`sum by (nsp, transport) (wsrouter_server_active_connections)`,
		map[string]float64{"nsp=/ transport=websocket": 3, "nsp=/events transport=websocket": 2})
	want := map[string]float64{}
	for nsp, n := range map[string]float64{"/": 3, "/events": 2} {
		for key, each := range map[string]float64{
			"event=events kind=request %s outcome=ok": 1, "event=events kind=event %s outcome=ok": 1,
			"event=events kind=request %s outcome=error": 1, "event=fail kind=request %s outcome=E_FAIL": 1,
			"event=boom kind=request %s outcome=internal": 1, "event=panic kind=request %s outcome=internal": 1,
			"event=ask kind=request %s outcome=ok": 1, "event=join kind=request %s outcome=ok": 1,
			"event=count kind=stream %s outcome=ok": 1,
		} {
			want[fmt.Sprintf(key, "nsp="+nsp)] = n * each
		}
	}
	want["event=close kind=request nsp=/ outcome=ok"] = 1
	prometheus.Wants(`sum by (nsp, event, kind, outcome) (wsrouter_rpc_server_calls_total) > 0`, want)
	prometheus.Wants(`sum by (nsp, event, outcome) (wsrouter_rpc_client_calls_total) > 0`,
		map[string]float64{"event=question nsp=/ outcome=ok": 3, "event=question nsp=/events outcome=ok": 2})
	prometheus.Wants(`sum by (nsp, cause) (wsrouter_server_connection_duration_seconds_count) > 0`,
		map[string]float64{"cause=peer nsp=/": 2, "cause=local nsp=/": 1})
	prometheus.Wants(`sum by (reason) (wsrouter_server_refusals_total) > 0`, map[string]float64{"reason=origin": 4, "reason=guard": 1})
	prometheus.Wants(`sum(wsrouter_server_rooms)`, map[string]float64{"": 2})
	prometheus.Wants(`sum(wsrouter_server_errors_total) * 1000 + sum(wsrouter_server_panics_total)`, map[string]float64{"": 5005})

	plain[0].Abort() // it may come back, and does not
	child[0].Close()
	prometheus.Wants(`sum(wsrouter_server_away_connections)`, map[string]float64{"": 1})
	s.poll(t) // it polls no more, so it is away soon
	prometheus.Wants(`sum by (nsp, transport) (wsrouter_server_active_connections) > 0`, map[string]float64{
		"nsp=/ transport=websocket": 3, "nsp=/ transport=polling": 1, "nsp=/events transport=websocket": 1,
	})
	prometheus.Wants(`sum by (nsp, transport) (wsrouter_server_connects_total) > 0`, map[string]float64{
		"nsp=/ transport=websocket": 6, "nsp=/ transport=polling": 1, "nsp=/events transport=websocket": 2,
	})
}

// TestGatewayStrangers: names that clients make up by the thousand, from many
// clients at once, are counted but do not become labels.
func TestGatewayStrangers(t *testing.T) {
	s := start(t, "gateway", "-addr")
	prometheus := promtest.Start(t, map[string][]string{"gateway": {s.metrics}})
	use(t, s.dial(t, "/ws", wsrouter.DialOptions{}))
	prometheus.Scraped()
	before := prometheus.Finds(`count({__name__=~"wsrouter_.*"})`)
	const strangers, each = 8, 500
	var wg sync.WaitGroup
	for i := range strangers {
		client := s.dial(t, "/ws", wsrouter.DialOptions{})
		wg.Go(func() {
			for n := range each {
				if err := client.Emit(fmt.Sprintf("made-up-%d-%d", i, n), i, n); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	prometheus.Wants(`sum(wsrouter_server_unhandled_events_total{reason="unknown"})`, map[string]float64{"": strangers * each})
	prometheus.Wants(`count({__name__=~"wsrouter_.*"})`, before)
	values := prometheus.Finds(`{__name__=~"wsrouter_.*"}`)
	require.NotContains(t, strings.Join(slices.Collect(maps.Keys(values)), "\n"), "made-up")
}

// TestCluster: metrics of two servers, by instance, and of what goes between them.
func TestCluster(t *testing.T) {
	redis := redistest.Start(t)
	a := start(t, "cluster", "-addr", "-redis", "redis://"+redis.Addr)
	b := start(t, "cluster", "-addr", "-redis", "redis://"+redis.Addr)
	prometheus := promtest.Start(t, map[string][]string{"chat": {a.metrics, b.metrics}})
	enter := func(s server, name string) *wsrouter.Client {
		client := s.dial(t, "/ws", wsrouter.DialOptions{Auth: func(context.Context) (any, error) {
			return map[string]string{"name": name, "tag": strings.Repeat(name[:1], 8)}, nil
		}})
		require.NoError(t, client.Call(t.Context(), "join", map[string]string{"room": "Lobby"}, nil))
		return client
	}
	ann, bob := enter(a, "ann"), enter(b, "bob")
	enter(b, "cid").Close()
	for i := range 5 {
		require.NoError(t, ann.Call(t.Context(), "say", map[string]string{"room": "Lobby", "text": fmt.Sprint("hello ", i)}, nil))
	}
	require.Error(t, bob.Call(t.Context(), "say", map[string]string{"room": "Elsewhere", "text": "hello"}, nil))
	instance := func(values map[server]float64, suffix string) map[string]float64 {
		all := map[string]float64{}
		for s, v := range values {
			all["instance="+s.metrics+suffix] = v
		}
		return all
	}
	prometheus.Wants(`sum by (instance) (wsrouter_server_active_connections)`, instance(map[server]float64{a: 1, b: 1}, ""))
	prometheus.Wants(`sum by (instance) (wsrouter_server_connects_total)`, instance(map[server]float64{a: 1, b: 2}, ""))
	prometheus.Wants(`sum by (instance, outcome) (wsrouter_rpc_server_calls_total{event="say"}) > 0`,
		maps.Collect(func(yield func(string, float64) bool) {
			_ = yield("instance="+a.metrics+" outcome=ok", 5) && yield("instance="+b.metrics+" outcome=error", 1)
		}))
	prometheus.Wants(`min(wsrouter_broker_published_total) > bool 0`, map[string]float64{"": 1})
	prometheus.Wants(fmt.Sprintf(`wsrouter_broker_received_total{instance=%q} >= bool 5`, b.metrics), map[string]float64{"instance=" + b.metrics + " job=chat": 1})
	prometheus.Wants(`max(wsrouter_broker_away_seconds)`, map[string]float64{"": 0})
	redis.Stop()
	prometheus.Wants(`count(wsrouter_broker_away_seconds > 0)`, map[string]float64{"": 2})
	redis.Restart()
	prometheus.Wants(`count(wsrouter_broker_away_seconds == 0)`, map[string]float64{"": 2})
}

// TestRPC: metrics of two services in one process, told apart, on both sides of a
// call.
func TestRPC(t *testing.T) {
	s := start(t, "rpc", "-page")
	prometheus := promtest.Start(t, map[string][]string{"rpc": {s.metrics}})
	for _, text := range []string{"a b c", "d e"} {
		for _, err := range wsrouter.Pull[map[string]any](t.Context(), s.dial(t, "/ws", wsrouter.DialOptions{}), "engrave", text) {
			require.NoError(t, err)
		}
	}
	prometheus.Wants(`sum by (router, event, kind, outcome) (wsrouter_rpc_server_calls_total) > 0`, map[string]float64{
		"event=engrave kind=stream outcome=ok router=asker": 2, "event=engrave kind=stream outcome=ok router=worker": 2,
	})
	prometheus.Wants(`sum by (router, event, outcome) (wsrouter_rpc_client_calls_total) > 0`,
		map[string]float64{"event=word outcome=ok router=worker": 5})
	prometheus.Wants(`sum by (router, transport) (wsrouter_server_connects_total)`,
		map[string]float64{"router=asker transport=websocket": 2, "router=worker transport=memory": 2})
}
