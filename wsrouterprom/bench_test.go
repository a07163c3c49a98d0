package wsrouterprom_test

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wsrouter/wsrouter"
	"github.com/wsrouter/wsrouter/adapter"
	"github.com/wsrouter/wsrouter/internal/plain"
	"github.com/wsrouter/wsrouter/payload"
	"github.com/wsrouter/wsrouter/wsrouterprom"
)

// sink is a transport that takes everything at once, and reports it.
type sink struct{ wrote chan struct{} }

func (s sink) Write(batch []adapter.Frame) (pending bool, err error) {
	for range batch {
		s.wrote <- struct{}{}
	}
	return false, nil
}

func (sink) Ping()             {}
func (sink) Resume()           {}
func (sink) Close(adapter.End) {}
func (sink) Abort()            {}

// BenchmarkEvent measures an event from the inbox through its handler to the frame
// of its reply, without a network: with the metrics, and without.
func BenchmarkEvent(b *testing.B) {
	for _, test := range []struct {
		name  string
		trace *wsrouter.Trace
	}{{"without", nil}, {"with", wsrouterprom.New(nil).Trace()}} {
		b.Run(test.name, func(b *testing.B) {
			router := wsrouter.New(&wsrouter.Options{Logger: slog.New(slog.DiscardHandler), Trace: test.trace})
			router.On("echo", func(c *wsrouter.Context) error { return c.Reply(c.Value()) })
			s := sink{make(chan struct{}, 1)}
			link, err := router.Adapter().NewLink(s, adapter.LinkOptions{Request: httptest.NewRequest("GET", "/", nil)})
			require.NoError(b, err)
			defer func() { <-link.End(adapter.End{Code: wsrouter.CloseNormal, Cause: adapter.CausePeer}) }()
			conn, err := link.Join(router, plain.JSON, nil)
			require.NoError(b, err)
			b.ReportAllocs()
			for b.Loop() {
				conn.Receive(&adapter.Message{Kind: adapter.KindEvent, Event: "echo", Data: payload.Value{JSON: []byte(`"hi"`)}})
				<-s.wrote
			}
		})
	}
}

// inHandler runs fn in a handler.
func inHandler(b *testing.B, fn func(*wsrouter.Context)) {
	router := wsrouter.New(&wsrouter.Options{Logger: slog.New(slog.DiscardHandler)})
	router.On("bench", func(c *wsrouter.Context) error { fn(c); return nil })
	client, err := router.Connect(b.Context(), nil)
	require.NoError(b, err)
	defer client.Close()
	require.NoError(b, client.Call(b.Context(), "bench", nil, nil))
}

// BenchmarkEventEnd measures what the metrics do for one event.
func BenchmarkEventEnd(b *testing.B) {
	for name, err := range map[string]error{
		"ok": nil, "code": wsrouter.NewError("no").WithCode("E_NO"), "internal": errors.New("disk full"),
	} {
		b.Run(name, func(b *testing.B) {
			metrics := wsrouterprom.New(nil)
			end := metrics.Trace().EventEnd
			inHandler(b, func(c *wsrouter.Context) {
				b.ReportAllocs()
				for b.Loop() {
					end(c, time.Millisecond, err)
				}
			})
		})
	}
}

// BenchmarkCollect measures a scrape while that many clients are connected.
func BenchmarkCollect(b *testing.B) {
	for _, n := range []int{1, 10_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			r := observe(b, wsrouter.Options{}, nil)
			for range n {
				client, err := r.Connect(b.Context(), nil)
				require.NoError(b, err)
				defer client.Abort()
			}
			for b.Loop() {
				if _, err := r.registry.Gather(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
