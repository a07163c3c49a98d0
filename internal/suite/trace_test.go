package suite_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wsrouter/wsrouter"
	"github.com/wsrouter/wsrouter/internal/rawtest"
	"github.com/wsrouter/wsrouter/wsroutertest"
)

// notes are what Trace reported, in order.
type notes struct {
	mu   sync.Mutex // guards list
	list []string
}

func (n *notes) add(format string, args ...any) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.list = append(n.list, fmt.Sprintf(format, args...))
}

// take returns what was noted since the last take.
func (n *notes) take() []string {
	synctest.Wait()
	n.mu.Lock()
	defer n.mu.Unlock()
	list := n.list
	n.list = nil
	return list
}

// TestTraceRooms: each room that is entered or left is reported once, including the
// rooms that a connection is in when it ends.
func TestTraceRooms(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told notes
		router := newRouterWith(&wsrouter.Options{MaxRooms: 3, Trace: &wsrouter.Trace{
			Join:       func(_ *wsrouter.Conn, room string) { told.add("join %s", room) },
			Leave:      func(_ *wsrouter.Conn, room string) { told.add("leave %s", room) },
			Disconnect: func(*wsrouter.Conn, *wsrouter.CloseError) { told.add("gone") },
		}})
		router.OnConnect(func(c *wsrouter.Conn) error {
			if err := c.Join("lobby"); err != nil {
				return err
			}
			if c.Request().Header.Get("Banned") != "" {
				return wsrouter.NewError("banned")
			}
			return nil
		})
		clients, conns := crowd(t, router, 1)
		require.Equal(t, []string{"join lobby"}, told.take())
		require.NoError(t, conns[0].Join("lobby", "a", "a", conns[0].ID()))
		require.Error(t, conns[0].Join("b", "c"), "one more than MaxRooms")
		require.NoError(t, router.To("a").Join("b"), "it is already in the room")
		conns[0].Leave("a", "nowhere")
		require.NoError(t, router.All().Leave("lobby", "lobby"))
		require.Equal(t, []string{"join a", "join b", "leave a", "leave lobby"}, told.take())
		require.NoError(t, conns[0].Join("z"))
		clients[0].Close()
		list := told.take()
		slices.Sort(list[1:3])
		require.Equal(t, []string{"join z", "leave b", "leave z", "gone"}, list)
		require.Error(t, conns[0].Join("late"))
		require.Error(t, conns[0].Join(), "it has ended, whatever it joins")
		require.Empty(t, told.take())

		client, err := router.Connect(t.Context(), &wsrouter.DialOptions{Header: http.Header{"Banned": {"yes"}}})
		require.NoError(t, err)
		<-client.Conn().Context().Done()
		require.Equal(t, []string{"join lobby", "leave lobby"}, told.take(), "a refused client leaves its rooms too")
	})
}

// TestTraceRoomsUnderChurn: while many join and leave at once, the reports add up.
func TestTraceRoomsUnderChurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex // guards in
		in := map[string]int{}
		count := func(n int) func(*wsrouter.Conn, string) {
			return func(c *wsrouter.Conn, room string) {
				mu.Lock()
				defer mu.Unlock()
				in[room] += n
			}
		}
		router := newRouterWith(&wsrouter.Options{Trace: &wsrouter.Trace{Join: count(1), Leave: count(-1)}})
		clients, conns := crowd(t, router, 4)
		var wg sync.WaitGroup
		for i := range 8 {
			wg.Go(func() {
				for n := range 200 {
					room := fmt.Sprint((i + n) % 3)
					require.NoError(t, conns[n%4].Join(room))
					conns[(n+i)%4].Leave(room)
				}
			})
		}
		wg.Wait()
		for i := range 3 {
			room := fmt.Sprint(i)
			require.Equal(t, router.To(room).Count(), in[room])
		}
		for _, client := range clients {
			client.Close()
		}
		synctest.Wait()
		require.Equal(t, map[string]int{"0": 0, "1": 0, "2": 0}, in)
	})
}

// TestRouteAndKind: names that clients made up are told apart from registered ones,
// and events from requests and streams.
func TestRouteAndKind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told notes
		router := wsrouter.New(&wsrouter.Options{Trace: &wsrouter.Trace{
			EventStart: func(c *wsrouter.Context) { told.add("start %q %s", c.Route(), c.Kind()) },
			EventEnd: func(c *wsrouter.Context, _ time.Duration, err error) {
				told.add("end %q %s %q", c.Route(), c.Kind(), c.Outcome(err))
			},
		}})
		router.NotFound(func(*wsrouter.Context) error { return wsrouter.NewError("what?") })
		router.On("plain", noop)
		router.On("count", func(c *wsrouter.Context) error {
			return wsrouter.StreamSeq(c, func(yield func(int, error) bool) {
				told.add("streams %s", c.Kind())
				yield(1, nil)
			})
		})
		client := wsroutertest.Connect(t, router, nil)
		client.Emit("plain")
		require.Equal(t, []string{`start "plain" event`, `end "plain" event ""`}, told.take())
		require.NoError(t, client.Call(t.Context(), "plain", nil, nil))
		require.Equal(t, []string{`start "plain" request`, `end "plain" request ""`}, told.take())
		client.Emit("count")
		require.Equal(t, []string{`start "count" event`, "streams stream", `end "count" stream ""`}, told.take())
		for _, err := range wsrouter.Pull[int](t.Context(), client, "count", nil) {
			require.NoError(t, err)
		}
		require.Equal(t, []string{`start "count" request`, "streams stream", `end "count" stream ""`}, told.take())
		require.Error(t, client.Call(t.Context(), "made up", nil, nil))
		require.Equal(t, []string{`start "" request`, `end "" request "error"`}, told.take())
	})
}

// TestKindOfAbandonedStream: a stream whose client has gone is still a stream when
// it ends.
func TestKindOfAbandonedStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told notes
		router := wsrouter.New(&wsrouter.Options{Trace: &wsrouter.Trace{
			EventEnd: func(c *wsrouter.Context, _ time.Duration, err error) { told.add("%s %s", c.Kind(), c.Outcome(err)) },
		}})
		router.On("forever", func(c *wsrouter.Context) error {
			ch := make(chan int)
			go func() { <-c.Context().Done(); close(ch) }()
			return wsrouter.Stream(c, ch)
		})
		client := wsroutertest.Connect(t, router, nil)
		client.Emit("forever")
		require.Empty(t, told.take())
		client.Abort()
		require.Equal(t, []string{"stream gone"}, told.take())
	})
}

// TestEventsWithoutHandler: they are not reported to Trace, but Stats counts them.
func TestEventsWithoutHandler(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told notes
		router := wsrouter.New(&wsrouter.Options{MaxOpen: 1, Trace: &wsrouter.Trace{
			EventStart: func(c *wsrouter.Context) { told.add("%s", c.Event()) },
		}})
		release := make(chan struct{})
		router.On("hold", func(*wsrouter.Context) error { <-release; return nil }, wsrouter.Concurrent)
		raw := rawtest.Connect(router, nil, nil)
		defer raw.Wait()
		defer raw.Abort()
		defer close(release)
		for _, frame := range []string{`{"event":"x"}`, `{"event":"y","id":1}`, `{"event":"hold"}`, `{"event":"hold"}`} {
			require.True(t, raw.Send(frame))
		}
		for range 2 {
			frame, _ := raw.Read()
			require.Contains(t, frame, `"code":"`)
		}
		require.Equal(t, []string{"hold"}, told.take())
		stats := router.Stats()
		require.EqualValues(t, 2, stats.Unknown)
		require.EqualValues(t, 1, stats.TooMany)
		require.EqualValues(t, 4, stats.EventsIn)
	})
}

// TestStatsTransports: connections are counted by namespace and transport.
func TestStatsTransports(t *testing.T) {
	router := newRouter()
	child := router.Namespace("/child")
	child.On("events", noop)
	server := httptest.NewServer(router)
	defer server.Close()
	require.Equal(t, map[string]map[string]int{"/": {}, "/child": {}}, router.Stats().Transports)
	for range 2 {
		client, err := wsrouter.Dial(t.Context(), server.URL, nil)
		require.NoError(t, err)
		defer client.Close()
		require.NoError(t, client.Call(t.Context(), "events", "hi", nil))
	}
	for _, r := range []*wsrouter.Router{router, child} {
		require.NoError(t, wsroutertest.Connect(t, r, nil).Call(t.Context(), "events", "hi", nil))
	}
	stats := router.Stats()
	require.Equal(t, map[string]map[string]int{"/": {"websocket": 2, "memory": 1}, "/child": {"memory": 1}}, stats.Transports)
	require.Equal(t, map[string]int{"/": 3, "/child": 1}, stats.Namespaces)
	require.Equal(t, 4, stats.Connections)
	require.Equal(t, map[string]map[string]int{"/child": {"memory": 1}}, child.Stats().Transports)
}

// TestConnectedAt: the time is taken before OnConnect, and does not change.
func TestConnectedAt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		took := make(chan time.Duration, 1)
		router := newRouterWith(&wsrouter.Options{Trace: &wsrouter.Trace{
			Disconnect: func(c *wsrouter.Conn, _ *wsrouter.CloseError) { took <- time.Since(c.ConnectedAt()) },
		}})
		router.OnConnect(func(*wsrouter.Conn) error { time.Sleep(time.Second); return nil })
		client := wsroutertest.Connect(t, router, nil)
		time.Sleep(time.Minute)
		for c := range router.Conns() {
			require.Equal(t, began, c.ConnectedAt())
		}
		client.Close()
		require.Equal(t, time.Minute, <-took)
	})
}

// TestTraceCalls: each request of this side is reported before it is sent, and when
// it ends.
func TestTraceCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told notes
		router := wsrouter.New(&wsrouter.Options{MaxOpen: 2, Trace: &wsrouter.Trace{
			CallStart: func(ctx context.Context, c *wsrouter.Conn, event string) context.Context {
				told.add("start %s %v", event, ctx.Value(ctxKey{}))
				return context.WithValue(ctx, ctxKey{}, "span")
			},
			CallEnd: func(ctx context.Context, c *wsrouter.Conn, event string, took time.Duration, err error) {
				told.add("end %s %v %v %q", event, ctx.Value(ctxKey{}), took, wsrouter.CallOutcome(err))
			},
		}})
		answers := wsrouter.New(nil)
		answers.On("fine", func(c *wsrouter.Context) error { time.Sleep(time.Second); return c.Reply(1) })
		answers.On("mistake", func(*wsrouter.Context) error { return wsrouter.NewError("no") })
		answers.On("coded", func(*wsrouter.Context) error { return wsrouter.NewError("no").WithCode("E_NO") })
		answers.On("never", func(c *wsrouter.Context) error { <-c.Context().Done(); return c.Context().Err() })
		answers.On("three", func(c *wsrouter.Context) error {
			return wsrouter.StreamSeq(c, func(yield func(int, error) bool) {
				for i := 0; i < 3 && yield(i, nil); i++ {
				}
			})
		})
		client := wsroutertest.Connect(t, router, &wsrouter.DialOptions{Router: answers})
		conn := slices.Collect(router.Conns())[0]
		ctx := context.WithValue(t.Context(), ctxKey{}, "outer")
		ended := func(event, took, outcome string) []string {
			return []string{"start " + event + " outer", fmt.Sprintf("end %s span %s %q", event, took, outcome)}
		}
		require.NoError(t, conn.Call(ctx, "fine", nil, nil))
		require.Equal(t, ended("fine", "1s", ""), told.take())
		_, err := router.All().Call(ctx, "fine", nil)
		require.NoError(t, err)
		require.Equal(t, ended("fine", "1s", ""), told.take())
		for event, outcome := range map[string]string{"mistake": "error", "coded": "E_NO", "three": "internal"} {
			require.Error(t, conn.Call(ctx, event, nil, nil), event)
			require.Equal(t, ended(event, "0s", outcome), told.take())
		}
		brief, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		require.ErrorIs(t, conn.Call(brief, "never", nil, nil), context.DeadlineExceeded)
		require.Equal(t, ended("never", "1s", "timeout"), told.take())

		for range wsrouter.Pull[int](ctx, conn, "three", nil) {
			time.Sleep(time.Second)
		}
		require.Equal(t, ended("three", "3s", ""), told.take())
		for range wsrouter.Pull[int](ctx, conn, "three", nil) {
			break
		}
		require.Equal(t, ended("three", "0s", ""), told.take())
		for _, err := range wsrouter.Pull[int](ctx, conn, "coded", nil) {
			require.Error(t, err)
		}
		require.Equal(t, ended("coded", "0s", "E_NO"), told.take())

		var wg sync.WaitGroup
		for range 2 {
			wg.Go(func() { conn.Call(ctx, "never", nil, nil) })
		}
		synctest.Wait()
		told.take()
		require.ErrorIs(t, conn.Call(ctx, "fine", nil, nil), wsrouter.ErrTooManyOpen)
		require.Equal(t, ended("fine", "0s", "too_many"), told.take())
		for _, err := range wsrouter.Pull[int](ctx, conn, "three", nil) {
			require.ErrorIs(t, err, wsrouter.ErrTooManyOpen)
		}
		require.Equal(t, ended("three", "0s", "too_many"), told.take())
		client.Abort()
		wg.Wait()
		require.Equal(t, []string{`end never span 0s "gone"`, `end never span 0s "gone"`}, told.take())
		require.Equal(t, "canceled", wsrouter.CallOutcome(fmt.Errorf("x: %w", context.Canceled)))
	})
}

// TestTraceOfCallsFails: a trace that panics, or returns no context, does no harm
// to a call.
func TestTraceOfCallsFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := &lines{}
		router := wsrouter.New(&wsrouter.Options{Logger: log.logger(), Trace: &wsrouter.Trace{
			CallStart: func(_ context.Context, _ *wsrouter.Conn, event string) context.Context {
				if event == "panic" {
					panic("oops")
				}
				return nil
			},
			CallEnd: func(_ context.Context, _ *wsrouter.Conn, event string, _ time.Duration, _ error) {
				if event == "panic" {
					panic("again")
				}
			},
		}})
		answers := wsrouter.New(nil)
		answers.On("nil", noop)
		answers.On("panic", noop)
		wsroutertest.Connect(t, router, &wsrouter.DialOptions{Router: answers})
		for c := range router.Conns() {
			require.NoError(t, c.Call(t.Context(), "nil", nil, nil))
			require.NoError(t, c.Call(t.Context(), "panic", nil, nil))
		}
		require.Len(t, log.with("Trace panicked"), 2)
	})
}

// TestMultiTrace: every function of each trace is called, in order, even if one
// panics.
func TestMultiTrace(t *testing.T) {
	var told notes
	tracer := func(name string, fails bool) *wsrouter.Trace {
		trace := new(wsrouter.Trace)
		v := reflect.ValueOf(trace).Elem()
		for i := range v.NumField() {
			field, fn := v.Type().Field(i).Name, v.Field(i).Type()
			v.Field(i).Set(reflect.MakeFunc(fn, func([]reflect.Value) (results []reflect.Value) {
				told.mu.Lock()
				told.list = append(told.list, name+" "+field)
				told.mu.Unlock()
				if fails {
					panic(name)
				}
				for j := range fn.NumOut() {
					results = append(results, reflect.Zero(fn.Out(j)))
				}
				return results
			}))
		}
		return trace
	}
	call := func(all *wsrouter.Trace) (list []string) {
		v := reflect.ValueOf(all).Elem()
		for i := range v.NumField() {
			fn := v.Field(i)
			if fn.IsNil() {
				t.Fatalf("%s is lost", v.Type().Field(i).Name)
			}
			args := make([]reflect.Value, fn.Type().NumIn())
			for j := range args {
				args[j] = reflect.Zero(fn.Type().In(j))
			}
			func() {
				defer func() { recover() }()
				fn.Call(args)
			}()
		}
		list, told.list = told.list, nil
		return list
	}
	var want []string
	fields := reflect.TypeFor[wsrouter.Trace]()
	for i := range fields.NumField() {
		for _, name := range []string{"a", "b", "c"} {
			want = append(want, name+" "+fields.Field(i).Name)
		}
	}
	require.Equal(t, want, call(wsrouter.MultiTrace(nil, tracer("a", true), nil, tracer("b", true), tracer("c", false))))
	alone := slices.DeleteFunc(slices.Clone(want), func(s string) bool { return !strings.HasPrefix(s, "a ") })
	require.Equal(t, alone, call(wsrouter.MultiTrace(tracer("a", false), new(wsrouter.Trace))))
	require.Equal(t, alone, call(wsrouter.MultiTrace(new(wsrouter.Trace), tracer("a", false))))
	require.Zero(t, reflect.ValueOf(wsrouter.MultiTrace(nil)).Elem().Interface(), "functions that are nil in all traces stay nil")
}

// TestMultiTraceOfCalls: a CallStart gets the context of the one before, and
// CallEnd that of the last.
func TestMultiTraceOfCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told notes
		tracer := func(name string) *wsrouter.Trace {
			return &wsrouter.Trace{
				CallStart: func(ctx context.Context, _ *wsrouter.Conn, _ string) context.Context {
					before, _ := ctx.Value(ctxKey{}).(string)
					return context.WithValue(ctx, ctxKey{}, before+name)
				},
				CallEnd: func(ctx context.Context, _ *wsrouter.Conn, _ string, _ time.Duration, err error) {
					told.add("%s %v %v", name, ctx.Value(ctxKey{}), err)
				},
			}
		}
		silent := &wsrouter.Trace{
			CallStart: func(context.Context, *wsrouter.Conn, string) context.Context { return nil },
		}
		answers := wsrouter.New(&wsrouter.Options{Trace: wsrouter.MultiTrace(tracer("a"), silent, tracer("b"))})
		router := newRouter()
		client := wsroutertest.Connect(t, router, &wsrouter.DialOptions{Router: answers})
		require.NoError(t, client.Call(t.Context(), "events", "hi", nil))
		require.Equal(t, []string{"a ab <nil>", "b ab <nil>"}, told.take())
	})
}

// TestTraceThatBlocks: a function that blocks delays its own event, and no other
// connection.
func TestTraceThatBlocks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		router := newRouterWith(&wsrouter.Options{Trace: &wsrouter.Trace{
			EventEnd: func(c *wsrouter.Context, _ time.Duration, _ error) {
				if string(c.Raw()) == `"slow"` {
					<-release
				}
			},
		}})
		slow, fast := wsroutertest.Connect(t, router, nil), wsroutertest.Connect(t, router, nil)
		slow.Emit("events", "slow")
		require.NoError(t, fast.Call(t.Context(), "events", "fast", nil))
		close(release)
		slow.Expect("events", "slow")
	})
}

var errTrace = errors.New("trace")

// TestOutcomeInMiddleware: middleware and Trace see the same outcome of an event.
func TestOutcomeInMiddleware(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told notes
		router := wsrouter.New(&wsrouter.Options{Trace: &wsrouter.Trace{
			EventEnd: func(c *wsrouter.Context, _ time.Duration, err error) { told.add("trace %s", c.Outcome(err)) },
		}})
		router.Use(func(next wsrouter.HandlerFunc) wsrouter.HandlerFunc {
			return func(c *wsrouter.Context) error {
				err := next(c)
				told.add("middleware %s", c.Outcome(err))
				return err
			}
		})
		router.On("ours", func(*wsrouter.Context) error { return errTrace })
		router.On("theirs", func(*wsrouter.Context) error { return wsrouter.NewError("no").WithCode("E").WithCause(errTrace) })
		client := wsroutertest.Connect(t, router, nil)
		for event, outcome := range map[string]string{"ours": "internal", "theirs": "E"} {
			require.Error(t, client.Call(t.Context(), event, nil, nil))
			require.Equal(t, []string{"middleware " + outcome, "trace " + outcome}, told.take())
		}
	})
}
