package wsrouterotel_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/baggage"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/wsrouter/wsrouter"
	"github.com/wsrouter/wsrouter/wsrouterotel"
	"github.com/wsrouter/wsrouter/wsroutertest"
)

// TestOneTrace: a client's call, its handler, that handler's call to another
// service, and the handler there are one trace, each the child of the one before.
func TestOneTrace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBackend()
		stock := b.service(t, wsrouter.Options{})
		wsrouter.Handle(stock, "stock", func(c *wsrouter.Context, item string) (int, error) {
			time.Sleep(time.Second)
			return 3, nil
		})
		toStock := wsroutertest.Connect(t, stock, &wsrouter.DialOptions{Router: b.service(t, wsrouter.Options{})})
		shop := b.service(t, wsrouter.Options{})
		shop.Namespace("/shop").On("order", func(c *wsrouter.Context) error {
			n, err := wsrouter.Call[int](c.Context(), toStock, "stock", "chair")
			if err != nil {
				return err
			}
			return c.Reply(n)
		})
		dialed := b.service(t, wsrouter.Options{})
		client := wsroutertest.Connect(t, shop.Namespace("/shop"), &wsrouter.DialOptions{Router: dialed})
		ctx, page := b.provider.Tracer("page").Start(t.Context(), "click")
		n, err := wsrouter.Call[int](ctx, client, "order", nil)
		require.NoError(t, err)
		require.Equal(t, 3, n)
		page.End()
		synctest.Wait()

		spans := b.spans(t)
		require.Len(t, spans, 5)
		requireChain(t, spans, trace.SpanContext{}, "internal click", "client / order", "server /shop order", "client / stock", "server / stock")
		order := spans["server /shop order"]
		require.Equal(t, time.Second, order.EndTime.Sub(order.StartTime))
		conn := onlyConn(t, shop.Namespace("/shop"))
		require.Equal(t, map[string]any{
			"rpc.system.name": "wsrouter", "rpc.method": "/shop order", "rpc.response.status_code": "OK",
			"wsrouter.namespace": "/shop", "wsrouter.transport": "memory", "wsrouter.connection.id": conn.ID(),
		}, attrs(order))
		require.Equal(t, map[string]any{
			"rpc.system.name": "wsrouter", "rpc.method": "/ stock", "rpc.response.status_code": "OK",
			"wsrouter.namespace": "/", "wsrouter.transport": "memory", "wsrouter.connection.id": toStock.Conn().ID(),
		}, attrs(spans["client / stock"]))
		for name, span := range spans {
			require.Equal(t, codes.Unset, span.Status.Code, name)
			require.Empty(t, span.Links, name)
		}
	})
}

func onlyConn(t testing.TB, router *wsrouter.Router) (conn *wsrouter.Conn) {
	t.Helper()
	for conn = range router.Conns() {
	}
	require.NotNil(t, conn)
	return conn
}

// TestOneTraceOverRecovery: a trace continues when the network fails, both for a
// client that is lost during a call and for what it asks while it is away.
func TestOneTraceOverRecovery(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBackend()
		stock := b.service(t, wsrouter.Options{})
		stock.On("stock", func(c *wsrouter.Context) error { return c.Reply(3) })
		toStock := wsroutertest.Connect(t, stock, &wsrouter.DialOptions{Router: b.service(t, wsrouter.Options{})})
		shop := b.service(t, wsrouter.Options{Recovery: &wsrouter.Recovery{}})
		held := make(chan struct{})
		for _, event := range []string{"first", "second"} {
			shop.On(event, func(c *wsrouter.Context) error {
				<-held
				return toStock.Call(c.Context(), "stock", event, nil)
			}, wsrouter.Concurrent)
		}
		client := wsroutertest.Connect(t, shop, &wsrouter.DialOptions{
			Router:    b.service(t, wsrouter.Options{}),
			Reconnect: &wsrouter.Reconnect{Resume: true, Min: time.Minute, Max: time.Minute},
		})
		conn := onlyConn(t, shop)
		call := func(event string) trace.SpanContext {
			ctx, page := b.provider.Tracer("page").Start(t.Context(), event)
			go func() {
				client.Call(ctx, event, nil, nil)
				page.End()
			}()
			synctest.Wait()
			return page.SpanContext()
		}
		first := call("first")
		client.Abort()
		synctest.Wait()
		require.True(t, conn.Away())
		second := call("second")
		close(held)
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		require.True(t, conn.Recovered())

		require.NoError(t, b.services[1].Flush(t.Context()))
		byTrace := make(map[trace.TraceID]int)
		for _, span := range b.exporter.GetSpans() {
			byTrace[span.SpanContext.TraceID()]++
		}
		require.Equal(t, map[trace.TraceID]int{first.TraceID(): 5, second.TraceID(): 5}, byTrace)
		for _, span := range b.exporter.GetSpans() {
			require.False(t, span.Status.Code == codes.Error, "%s: %s", span.Name, span.Status.Description)
		}
	})
}

// TestEventsBeginTraces: an event that nobody waits for has a trace of its own,
// with a link to the span that it came from.
func TestEventsBeginTraces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBackend()
		router := b.service(t, wsrouter.Options{})
		router.On("note", func(c *wsrouter.Context) error { return c.Emit("noted") })
		telemetry := b.telemetry(t, wsrouterotel.Options{})
		dialed := routerOf(telemetry, wsrouter.Options{})
		dialed.On("noted", func(*wsrouter.Context) error { return nil })
		client := wsroutertest.Connect(t, router, &wsrouter.DialOptions{Router: dialed})
		ctx, page := b.provider.Tracer("page").Start(t.Context(), "click")
		require.NoError(t, telemetry.Emit(ctx, client, "note", 1))
		page.End()
		synctest.Wait()

		spans := b.spans(t)
		require.Len(t, spans, 4)
		requireChain(t, spans, trace.SpanContext{}, "internal click", "producer / note")
		requireLinked := func(from, to string) {
			require.Contains(t, spans, to)
			require.False(t, spans[to].Parent.IsValid())
			require.Len(t, spans[to].Links, 1)
			require.Equal(t, spans[from].SpanContext.SpanID(), spans[to].Links[0].SpanContext.SpanID())
			require.Equal(t, spans[from].SpanContext.TraceID(), spans[to].Links[0].SpanContext.TraceID())
			require.NotEqual(t, spans[from].SpanContext.TraceID(), spans[to].SpanContext.TraceID())
		}
		requireLinked("producer / note", "consumer / note")
		requireLinked("consumer / note", "consumer / noted") // Context.Emit carries the handler's span
	})
}

// TestServerAsksItsClient: the same holds in the other direction, and what the
// other side asks in turn belongs to the trace.
func TestServerAsksItsClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBackend()
		router, dialed := b.service(t, wsrouter.Options{}), b.service(t, wsrouter.Options{})
		router.On("begin", func(c *wsrouter.Context) error { return c.Conn().Call(c.Context(), "sure?", nil, nil) })
		dialed.On("sure?", func(c *wsrouter.Context) error { return nil })
		client := wsroutertest.Connect(t, router, &wsrouter.DialOptions{Router: dialed})
		require.NoError(t, client.Call(t.Context(), "begin", nil, nil))
		synctest.Wait()
		spans := b.spans(t)
		require.Len(t, spans, 4)
		requireChain(t, spans, trace.SpanContext{}, "client / begin", "server / begin", "client / sure?", "server / sure?")
	})
}

// TestStreams: a stream is one span on each side, with the number of its items, and
// what its producer asks belongs to it.
func TestStreams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBackend()
		router, dialed := b.service(t, wsrouter.Options{}), b.service(t, wsrouter.Options{})
		wsrouter.HandleStream(router, "count", func(c *wsrouter.Context, to int) (<-chan int, error) {
			ch := make(chan int)
			go func() {
				defer close(ch)
				if to == 0 {
					return
				}
				c.Conn().Call(c.Context(), "sure?", nil, nil)
				for i := range to {
					ch <- i
				}
			}()
			return ch, nil
		})
		dialed.On("sure?", func(c *wsrouter.Context) error { return nil })
		client := wsroutertest.Connect(t, router, &wsrouter.DialOptions{Router: dialed})
		for n, err := range wsrouter.Pull[int](t.Context(), client, "count", 1000) {
			require.NoError(t, err)
			if n == 99 {
				time.Sleep(time.Hour)
				break
			}
		}
		synctest.Wait()
		spans := b.spans(t)
		require.Len(t, spans, 4)
		requireChain(t, spans, trace.SpanContext{}, "client / count", "server / count", "client / sure?", "server / sure?")
		pull, stream := spans["client / count"], spans["server / count"]
		require.Equal(t, time.Hour, pull.EndTime.Sub(pull.StartTime))
		require.EqualValues(t, 100, attrs(pull)["wsrouter.stream.items"])
		require.Greater(t, attrs(stream)["wsrouter.stream.items"], int64(100))
		require.Equal(t, "OK", attrs(pull)["rpc.response.status_code"], "the loop breaks off by choice")
		require.Equal(t, wsrouter.CodeCanceled, attrs(stream)["rpc.response.status_code"])
		require.Equal(t, codes.Unset, stream.Status.Code)

		b.exporter.Reset()
		for range wsrouter.Pull[int](t.Context(), client, "count", 0) {
			t.Fatal("an item")
		}
		synctest.Wait()
		require.Equal(t, int64(0), attrs(b.spans(t)["server / count"])["wsrouter.stream.items"])
	})
}

// TestOutcomes: the spans of both sides say how a request ended.
func TestOutcomes(t *testing.T) {
	tests := map[string]struct {
		handler        wsrouter.HandlerFunc
		server, client string // the code in each span
		failed         string // what the server's span says, if the server is to blame
	}{
		"fine":    {func(*wsrouter.Context) error { return nil }, "OK", "OK", ""},
		"mistake": {func(*wsrouter.Context) error { return wsrouter.NewError("no") }, "error", "error", ""},
		"coded":   {func(*wsrouter.Context) error { return wsrouter.NewError("no").WithCode("E_NO") }, "E_NO", "E_NO", ""},
		"ours":    {func(*wsrouter.Context) error { return errors.New("disk full") }, "internal", "error", "disk full"},
		"panic":   {func(*wsrouter.Context) error { panic("ouch") }, "internal", "error", "panic"},
		"long":    {func(*wsrouter.Context) error { return errors.New(strings.Repeat("é", 1000)) }, "internal", "error", strings.Repeat("é", 512)},
		"late": {func(c *wsrouter.Context) error { <-c.Context().Done(); return context.Cause(c.Context()) },
			"timeout", "timeout", "timed out: context deadline exceeded"},
		"bad error": {func(*wsrouter.Context) error { return badError{} }, "internal", "error", ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBackend()
				router := b.service(t, wsrouter.Options{HandlerTimeout: time.Minute})
				router.On("ask", test.handler)
				client := wsroutertest.Connect(t, router, &wsrouter.DialOptions{Router: b.service(t, wsrouter.Options{})})
				err := client.Call(t.Context(), "ask", nil, nil)
				synctest.Wait()
				spans := b.spans(t)
				server, called := spans["server / ask"], spans["client / ask"]
				require.Equal(t, test.server, attrs(server)["rpc.response.status_code"])
				require.Equal(t, test.client, attrs(called)["rpc.response.status_code"])
				require.Equal(t, test.failed, server.Status.Description)
				if test.server == "internal" || test.server == "timeout" {
					require.Equal(t, codes.Error, server.Status.Code)
					require.Equal(t, test.server, attrs(server)["error.type"])
				} else {
					require.NotContains(t, attrs(server), "error.type")
				}
				if test.client == "OK" {
					require.NoError(t, err)
					require.Equal(t, codes.Unset, called.Status.Code)
					return
				}
				require.EqualError(t, err, called.Status.Description)
				require.Equal(t, test.client, attrs(called)["error.type"])
			})
		})
	}
}

// badError is an error whose methods panic.
type badError struct{}

func (badError) Error() string { panic("no text") }

// TestCallsThatAreNotAnswered: the client's span says why there is no answer.
func TestCallsThatAreNotAnswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBackend()
		router := b.service(t, wsrouter.Options{})
		router.On("hang", func(c *wsrouter.Context) error { <-c.Context().Done(); return nil })
		client := wsroutertest.Connect(t, router, &wsrouter.DialOptions{Router: b.service(t, wsrouter.Options{})})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		require.ErrorIs(t, client.Call(ctx, "hang", nil, nil), context.DeadlineExceeded)
		synctest.Wait()
		spans := b.spans(t)
		require.Equal(t, "timeout", attrs(spans["client / hang"])["error.type"])
		require.Equal(t, "canceled", attrs(spans["server / hang"])["rpc.response.status_code"])

		b.exporter.Reset()
		time.AfterFunc(time.Second, client.Abort)
		require.Error(t, client.Call(t.Context(), "hang", nil, nil))
		synctest.Wait()
		spans = b.spans(t)
		require.Equal(t, "gone", attrs(spans["client / hang"])["error.type"])
		require.Equal(t, codes.Error, spans["client / hang"].Status.Code)
	})
}

// TestBaggage: baggage is passed on, and what a handler removes from it goes no
// further.
func TestBaggage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBackend()
		far := b.service(t, wsrouter.Options{})
		far.On("far", func(c *wsrouter.Context) error {
			return c.Reply(wsrouter.Args{c.Meta("baggage"), baggage.FromContext(c.Context()).String(), c.Meta("tenant")})
		})
		toFar := wsroutertest.Connect(t, far, &wsrouter.DialOptions{Router: b.service(t, wsrouter.Options{})})
		near := b.service(t, wsrouter.Options{})
		near.On("near", func(c *wsrouter.Context) error {
			with, err := wsrouter.Call[[]string](c.Context(), toFar, "far", nil)
			require.NoError(t, err)
			without, err := wsrouter.Call[[]string](baggage.ContextWithoutBaggage(c.Context()), toFar, "far", nil)
			require.NoError(t, err)
			return c.Reply([][]string{with, without})
		})
		client := wsroutertest.Connect(t, near, nil)
		ctx := wsrouter.WithMeta(wsrouter.WithMeta(t.Context(), "baggage", "user=7"), "tenant", "t")
		got, err := wsrouter.Call[[][]string](ctx, client, "near", nil)
		require.NoError(t, err)
		require.Equal(t, [][]string{{"user=7", "user=7", "t"}, {"", "", "t"}}, got)
	})
}

const traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

// TestHandshake: events do not belong to the trace in which their connection was
// made, but link to it, whether headers carry it or HTTP middleware has begun it.
func TestHandshake(t *testing.T) {
	for name, connect := range map[string]func(b *backend) *http.Request{
		"header": func(*backend) *http.Request {
			req, _ := http.NewRequest(http.MethodGet, "/", nil)
			req.Header.Set("Traceparent", traceparent)
			return req
		},
		"middleware": func(b *backend) *http.Request {
			remote := trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{1}, SpanID: trace.SpanID{2}, Remote: true, TraceFlags: trace.FlagsSampled})
			ctx, span := b.provider.Tracer("http").Start(trace.ContextWithSpanContext(context.Background(), remote), "GET /ws")
			span.End()
			req, _ := http.NewRequestWithContext(ctx, http.MethodGet, "/", nil)
			req.Header.Set("Traceparent", traceparent)
			return req
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBackend()
				router := b.service(t, wsrouter.Options{})
				router.On("ask", func(*wsrouter.Context) error { return nil })
				client := wsroutertest.Connect(t, router, &wsrouter.DialOptions{Request: connect(b)})
				require.NoError(t, client.Call(t.Context(), "ask", nil, nil))
				synctest.Wait()
				spans := b.spans(t)
				ask := spans["server / ask"]
				require.False(t, ask.Parent.IsValid())
				require.Len(t, ask.Links, 1)
				want := "0af7651916cd43dd8448eb211c80319c"
				if span, ok := spans["internal GET /ws"]; ok {
					want = span.SpanContext.TraceID().String()
				}
				require.Equal(t, want, ask.Links[0].SpanContext.TraceID().String())
				require.NotEqual(t, want, ask.SpanContext.TraceID().String())

				b.exporter.Reset()
				ctx := wsrouter.WithMeta(t.Context(), "traceparent", strings.ReplaceAll(traceparent, "0af", "abc"))
				require.NoError(t, client.Call(ctx, "ask", nil, nil))
				synctest.Wait()
				require.Equal(t, "abc7651916cd43dd8448eb211c80319c", b.spans(t)["server / ask"].SpanContext.TraceID().String())
			})
		})
	}
}

// TestPublic: a sender that is not trusted with a trace gets a link.
func TestPublic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBackend()
		router := routerOf(b.telemetry(t, wsrouterotel.Options{Public: func(c *wsrouter.Context) bool { return c.Meta("key") != "ours" }}), wsrouter.Options{})
		router.On("ask", func(*wsrouter.Context) error { return nil })
		client := wsroutertest.Connect(t, router, nil)
		ctx := wsrouter.WithMeta(t.Context(), "traceparent", traceparent)
		require.NoError(t, client.Call(ctx, "ask", nil, nil))
		synctest.Wait()
		ask := b.spans(t)["server / ask"]
		require.False(t, ask.Parent.IsValid())
		require.Equal(t, "b7ad6b7169203331", ask.Links[0].SpanContext.SpanID().String())
		b.exporter.Reset()
		require.NoError(t, client.Call(wsrouter.WithMeta(ctx, "key", "ours"), "ask", nil, nil))
		synctest.Wait()
		require.Equal(t, "b7ad6b7169203331", b.spans(t)["server / ask"].Parent.SpanID().String())
	})
}

// TestBadTraceparents: an invalid one begins a new trace.
func TestBadTraceparents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBackend()
		router := b.service(t, wsrouter.Options{})
		router.On("ask", func(c *wsrouter.Context) error { return c.Reply(c.Meta("traceparent")) })
		client := wsroutertest.Connect(t, router, nil)
		for _, bad := range []string{
			"x", "00", strings.ToUpper(traceparent), traceparent + "-more", "ff" + traceparent[2:], strings.Repeat("0", 900),
			"00-00000000000000000000000000000000-b7ad6b7169203331-01", "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
		} {
			got, err := wsrouter.Call[string](wsrouter.WithMeta(t.Context(), "traceparent", bad), client, "ask", nil)
			require.NoError(t, err)
			require.Equal(t, bad, got)
			synctest.Wait()
			ask := b.spans(t)["server / ask"]
			require.True(t, ask.SpanContext.IsValid())
			require.False(t, ask.Parent.IsValid(), bad)
			require.Empty(t, ask.Links)
			b.exporter.Reset()
		}
	})
}
