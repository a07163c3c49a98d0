package wsrouterotel_test

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"

	"github.com/wsrouter/wsrouter"
	"github.com/wsrouter/wsrouter/wsrouterotel"
	"github.com/wsrouter/wsrouter/wsroutertest"
)

// measured returns a router whose metrics are the backend's.
func (b *backend) measured(t testing.TB, o wsrouter.Options) *wsrouter.Router {
	t.Helper()
	telemetry, err := wsrouterotel.New(wsrouterotel.Options{
		MeterProvider: sdkmetric.NewMeterProvider(sdkmetric.WithReader(b.reader)), Codes: []string{"E_OURS"},
	})
	require.NoError(t, err)
	router := routerOf(telemetry, o)
	registration, err := telemetry.Observe(router)
	require.NoError(t, err)
	t.Cleanup(func() { registration.Unregister() })
	return router
}

// TestEventMetrics: handlers are timed, by event, kind and outcome.
func TestEventMetrics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBackend()
		router := b.measured(t, wsrouter.Options{})
		router.On("fine", func(*wsrouter.Context) error { time.Sleep(time.Second); return nil })
		router.On("coded", func(*wsrouter.Context) error { return wsrouter.NewError("no").WithCode("E_OURS") })
		router.On("ours", func(*wsrouter.Context) error { return errors.New("disk full") })
		router.Namespace("/chat").On("count", func(c *wsrouter.Context) error {
			return wsrouter.StreamSeq(c, func(yield func(int, error) bool) {
				for i := 0; i < 3 && yield(i, nil); i++ {
					time.Sleep(time.Minute)
				}
			})
		})
		router.NotFound(func(c *wsrouter.Context) error { return wsrouter.NewError("who?").WithCode(c.Event()) })
		client, chat := wsroutertest.Connect(t, router, nil), wsroutertest.Connect(t, router.Namespace("/chat"), nil)
		for _, event := range []string{"fine", "fine", "coded", "ours"} {
			client.Call(t.Context(), event, nil, nil)
		}
		for i := range 100 {
			client.Call(t.Context(), fmt.Sprint("x", i), nil, nil)
		}
		require.NoError(t, client.Emit("fine"))
		for range wsrouter.Pull[int](t.Context(), chat, "count", nil) {
		}
		synctest.Wait()
		time.Sleep(time.Second)
		const ask = "rpc.method=/ %s rpc.response.status_code=%s wsrouter.kind=%s wsrouter.namespace=/ "
		got := b.series(t, "rpc.server.call.duration")
		for key, want := range map[string]float64{
			fmt.Sprintf(ask, "fine", "OK", "request") + "n":       2,
			fmt.Sprintf(ask, "fine", "OK", "request") + "s":       2,
			fmt.Sprintf(ask, "fine", "OK", "event") + "n":         1,
			fmt.Sprintf(ask, "coded", "E_OURS", "request") + "n":  1,
			fmt.Sprintf(ask, "ours", "internal", "request") + "n": 1,
			fmt.Sprintf(ask, "_OTHER", "x31", "request") + "n":    1,
			fmt.Sprintf(ask, "_OTHER", "_OTHER", "request") + "n": 100 - 32,
		} {
			require.Equal(t, want, got[key], key)
		}
		require.Len(t, got, 2*(4+32+1))
		require.Equal(t, map[string]float64{
			"rpc.method=/chat count rpc.response.status_code=OK wsrouter.kind=stream wsrouter.namespace=/chat n": 1,
			"rpc.method=/chat count rpc.response.status_code=OK wsrouter.kind=stream wsrouter.namespace=/chat s": 180,
		}, b.series(t, "wsrouter.server.stream.duration"))
		require.Equal(t, map[string]float64{"": 106}, b.series(t, "wsrouter.server.events.received"))
		require.Equal(t, map[string]float64{"": 1}, b.series(t, "wsrouter.server.errors"))
	})
}

// TestCallMetrics: requests of this side are timed, with spans or without.
func TestCallMetrics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBackend()
		dialed := b.measured(t, wsrouter.Options{})
		router := wsrouter.New(nil)
		router.On("fine", func(*wsrouter.Context) error { time.Sleep(time.Second); return nil })
		client := wsroutertest.Connect(t, router, &wsrouter.DialOptions{Router: dialed})
		client.Call(t.Context(), "fine", nil, nil)
		client.Call(t.Context(), "nobody", nil, nil)
		require.Equal(t, map[string]float64{
			"rpc.method=/ fine rpc.response.status_code=OK wsrouter.namespace=/ n":          1,
			"rpc.method=/ fine rpc.response.status_code=OK wsrouter.namespace=/ s":          1,
			"rpc.method=/ nobody rpc.response.status_code=not_found wsrouter.namespace=/ n": 1,
			"rpc.method=/ nobody rpc.response.status_code=not_found wsrouter.namespace=/ s": 0,
		}, b.series(t, "rpc.client.call.duration"))
	})
}

// TestConnectionMetrics: connections, refusals, and how connections ended are
// counted.
func TestConnectionMetrics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBackend()
		router := b.measured(t, wsrouter.Options{MaxConns: 2, Recovery: &wsrouter.Recovery{Window: time.Minute}})
		chat := router.Namespace("/chat")
		one, two := wsroutertest.Connect(t, router, nil), wsroutertest.Connect(t, chat, nil)
		_, err := router.Connect(t.Context(), nil)
		require.Error(t, err)
		require.Equal(t, map[string]float64{
			"wsrouter.namespace=/ wsrouter.transport=memory":     1,
			"wsrouter.namespace=/chat wsrouter.transport=memory": 1,
		}, b.series(t, "wsrouter.server.active_connections"))
		require.Equal(t, map[string]float64{"wsrouter.reason=" + string(wsrouter.RefusedMaxConns): 1}, b.series(t, "wsrouter.server.refusals"))
		time.Sleep(time.Second)
		one.Close()
		two.Abort()
		synctest.Wait()
		require.Equal(t, map[string]float64{
			"wsrouter.cause=peer wsrouter.namespace=/ wsrouter.transport=memory n":     1,
			"wsrouter.cause=peer wsrouter.namespace=/ wsrouter.transport=memory s":     1,
			"wsrouter.cause=lost wsrouter.namespace=/chat wsrouter.transport=memory n": 1,
			"wsrouter.cause=lost wsrouter.namespace=/chat wsrouter.transport=memory s": 1,
		}, b.series(t, "wsrouter.server.connection.duration"))
		require.Equal(t, map[string]float64{
			"wsrouter.namespace=/ wsrouter.transport=memory":     1,
			"wsrouter.namespace=/chat wsrouter.transport=memory": 1,
		}, b.series(t, "wsrouter.server.connects"))
		require.Empty(t, b.series(t, "wsrouter.server.active_connections"))
	})
}

// TestNumbers: the numbers of Stats are collected.
func TestNumbers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBackend()
		router := b.measured(t, wsrouter.Options{MaxOpen: 2})
		release, items := make(chan struct{}), make(chan int)
		defer close(items)
		defer close(release)
		router.On("hold", func(*wsrouter.Context) error { <-release; return nil }, wsrouter.Concurrent)
		router.On("stream", func(c *wsrouter.Context) error { return wsrouter.Stream(c, items) })
		router.On("join", func(c *wsrouter.Context) error { return c.Join("a", "b") })
		client := wsroutertest.Connect(t, router, nil)
		for _, event := range []string{"who?", "join", "hold", "stream", "hold"} {
			client.Emit(event)
		}
		synctest.Wait()
		time.Sleep(time.Minute)
		one := func(name string) float64 { return b.series(t, "wsrouter.server."+name)[""] }
		stats := router.Stats()
		require.Equal(t, 2.0, one("rooms"))
		require.Equal(t, 2.0, one("running_handlers"))
		require.Equal(t, 1.0, one("running_streams"))
		require.Equal(t, 60.0, one("oldest_handler"))
		require.Equal(t, float64(stats.BytesIn), one("bytes.received"))
		require.Equal(t, float64(stats.BytesOut), one("bytes.sent"))
		require.Equal(t, float64(stats.Inbox), one("inbox"))
		require.Positive(t, one("inbox"))
		require.Equal(t, map[string]float64{"wsrouter.reason=unknown": 1, "wsrouter.reason=too_many": 1, "wsrouter.reason=discarded": 0},
			b.series(t, "wsrouter.server.events.unhandled"))
		client.Abort()
		synctest.Wait()
		require.Equal(t, 1.0, one("lingering_producers"))
	})
}

// TestSpansLostWithSeveralRouters: they are counted once, whichever of the routers that
// share a Telemetry is observed.
func TestSpansLostWithSeveralRouters(t *testing.T) {
	b := newBackend()
	telemetry := b.telemetry(t, wsrouterotel.Options{
		TracerProvider: tracing{b.provider, func() { panic("ouch") }, nil},
		MeterProvider:  sdkmetric.NewMeterProvider(sdkmetric.WithReader(b.reader)),
	})
	var registrations []interface{ Unregister() error }
	for range 2 {
		router := routerOf(telemetry, wsrouter.Options{})
		router.On("ask", func(*wsrouter.Context) error { return nil })
		registration, err := telemetry.Observe(router)
		require.NoError(t, err)
		registrations = append(registrations, registration)
		require.NoError(t, wsroutertest.Connect(t, router, nil).Call(t.Context(), "ask", nil, nil))
	}
	for _, registration := range registrations {
		require.Equal(t, map[string]float64{"": 2}, b.series(t, "wsrouter.telemetry.spans.lost"))
		require.NoError(t, registration.Unregister())
	}
	require.Empty(t, b.series(t, "wsrouter.telemetry.spans.lost"))
}
