package wsrouter_test

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wsrouter/wsrouter"
	"github.com/wsrouter/wsrouter/adapter"
	"github.com/wsrouter/wsrouter/internal/plain"
	"github.com/wsrouter/wsrouter/payload"
)

// CONTRIBUTING.md says how to compare the results. These benchmarks use no network;
// internal/bench has those with sockets.

// sink is a transport that takes everything at once, and counts.
type sink struct {
	frames atomic.Int64
	wrote  chan struct{} // gets a value after each Write, if there is space
}

func (s *sink) Write(batch []adapter.Frame) (pending bool, err error) {
	s.frames.Add(int64(len(batch)))
	select {
	case s.wrote <- struct{}{}:
	default:
	}
	return false, nil
}

func (s *sink) Ping()             {}
func (s *sink) Resume()           {}
func (s *sink) Close(adapter.End) {}
func (s *sink) Abort()            {}

// benchOptions keep the log out of the results.
func benchOptions() *wsrouter.Options {
	return &wsrouter.Options{Logger: slog.New(slog.DiscardHandler), MaxRooms: -1}
}

// connectSinks connects n clients that read everything, and returns when all have been
// let in.
func connectSinks(tb testing.TB, router *wsrouter.Router, n int) ([]*wsrouter.Conn, []*sink) {
	_, sinks := linkSinks(tb, router, n)
	return slices.Collect(router.Conns()), sinks
}

// linkSinks also returns where their messages are received.
func linkSinks(tb testing.TB, router *wsrouter.Router, n int) ([]adapter.Conn, []*sink) {
	conns, sinks := make([]adapter.Conn, n), make([]*sink, n)
	for i := range conns {
		sinks[i] = &sink{wrote: make(chan struct{}, 1)}
		link, err := router.Adapter().NewLink(sinks[i], adapter.LinkOptions{Request: httptest.NewRequest("GET", "/", nil)})
		require.NoError(tb, err)
		tb.Cleanup(func() { <-link.End(adapter.End{Code: wsrouter.CloseNormal, Cause: adapter.CausePeer}) })
		conns[i], err = link.Join(router, plain.JSON, nil)
		require.NoError(tb, err)
	}
	for router.Stats().Connections < n {
	}
	return conns, sinks
}

// BenchmarkDispatch measures an event from the inbox through its handler to the frame
// of its reply.
func BenchmarkDispatch(b *testing.B) {
	router := wsrouter.New(benchOptions())
	router.On("echo", func(c *wsrouter.Context) error {
		var text string
		if err := c.Bind(&text); err != nil {
			return err
		}
		return c.Reply(text)
	})
	conns, sinks := linkSinks(b, router, 1)
	data := payload.Value{JSON: []byte(`"hello"`)}
	b.ReportAllocs()
	for b.Loop() {
		conns[0].Receive(&adapter.Message{Kind: adapter.KindEvent, Event: "echo", Data: data, Size: 40})
		<-sinks[0].wrote
	}
}

// BenchmarkEncode measures encoding a Message as a frame of the plain protocol.
func BenchmarkEncode(b *testing.B) {
	type body struct {
		Room string `json:"room"`
		Text string `json:"text"`
		To   []int  `json:"to"`
	}
	for _, test := range []struct {
		name string
		arg  any
	}{
		{"string", "hello, world"},
		{"struct", body{"lobby", "hello, world", []int{1, 2, 3}}},
		{"raw", json.RawMessage(`{"room":"lobby","text":"hello, world","to":[1,2,3]}`)},
	} {
		b.Run(test.name, func(b *testing.B) {
			m := &adapter.Message{Kind: adapter.KindReply, Event: "message", ID: "7", Args: []any{test.arg}}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := plain.JSON.Encode(m); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkFanOut measures one Emit to a room until each member's transport has it;
// ns/recipient should not grow.
func BenchmarkFanOut(b *testing.B) {
	for _, n := range []int{10, 100, 1_000, 10_000} {
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			router := wsrouter.New(benchOptions())
			conns, sinks := connectSinks(b, router, n)
			for _, c := range conns {
				require.NoError(b, c.Join("room:all"))
			}
			target := router.To("room:all")
			b.ReportAllocs()
			for b.Loop() {
				if err := target.Emit("news", "hello"); err != nil {
					b.Fatal(err)
				}
				for _, s := range sinks {
					<-s.wrote
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/recipient")
		})
	}
}

// BenchmarkJoinLeave measures one connection that joins and leaves a room with that
// many others.
func BenchmarkJoinLeave(b *testing.B) {
	for _, n := range []int{100, 1_000, 10_000, 100_000} {
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			router := wsrouter.New(benchOptions())
			conns, _ := connectSinks(b, router, n)
			for _, c := range conns[1:] {
				require.NoError(b, c.Join("room:all"))
			}
			b.ReportAllocs()
			for b.Loop() {
				if err := conns[0].Join("room:all"); err != nil {
					b.Fatal(err)
				}
				conns[0].Leave("room:all")
			}
		})
	}
}

// BenchmarkJoinRooms measures one connection in that many rooms.
func BenchmarkJoinRooms(b *testing.B) {
	for _, n := range []int{100, 10_000} {
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			router := wsrouter.New(benchOptions())
			conns, _ := connectSinks(b, router, 1)
			for i := range n {
				require.NoError(b, conns[0].Join(fmt.Sprint("room:", i)))
			}
			b.ReportAllocs()
			for b.Loop() {
				if err := conns[0].Join("room:new"); err != nil {
					b.Fatal(err)
				}
				conns[0].Leave("room:new")
			}
		})
	}
}

// BenchmarkStream measures one item of a stream, over an in-memory connection to the
// loop that pulls it.
func BenchmarkStream(b *testing.B) {
	router := wsrouter.New(benchOptions())
	router.On("count", func(c *wsrouter.Context) error {
		return wsrouter.StreamSeq(c, func(yield func(int, error) bool) {
			for i := 0; yield(i, nil); i++ {
			}
		})
	})
	client, err := router.Connect(b.Context(), nil)
	require.NoError(b, err)
	defer client.Close()
	b.ReportAllocs()
	n := 0
	for _, err := range wsrouter.Pull[int](b.Context(), client, "count", nil) {
		if err != nil {
			b.Fatal(err)
		}
		if n++; n > 1 && !b.Loop() {
			break
		}
	}
}

// BenchmarkCall measures a request and its answer over an in-memory connection, with
// that many concurrent callers.
func BenchmarkCall(b *testing.B) {
	for _, callers := range []int{1, 16} {
		b.Run(strconv.Itoa(callers), func(b *testing.B) {
			router := wsrouter.New(benchOptions())
			wsrouter.Handle(router, "sum", func(c *wsrouter.Context, in []int) (int, error) { return in[0] + in[1], nil })
			client, err := router.Connect(b.Context(), nil)
			require.NoError(b, err)
			defer client.Close()
			var left atomic.Int64
			b.ReportAllocs()
			b.ResetTimer()
			left.Store(int64(b.N))
			var wg sync.WaitGroup
			for range callers {
				wg.Go(func() {
					for left.Add(-1) >= 0 {
						if _, err := wsrouter.Call[int](b.Context(), client, "sum", []int{1, 2}); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			wg.Wait()
		})
	}
}
