package wsrouterotel_test

import (
	"context"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/propagation"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/wsrouter/wsrouter"
	"github.com/wsrouter/wsrouter/wsrouterotel"
	"github.com/wsrouter/wsrouter/wsroutertest"
)

// TestNothingIsPaid: without a tracer and a meter there is nothing between an event
// and its handler.
func TestNothingIsPaid(t *testing.T) {
	telemetry, err := wsrouterotel.New(wsrouterotel.Options{})
	require.NoError(t, err)
	require.Nil(t, telemetry.Trace())
	handler := func(*wsrouter.Context) error { return nil }
	require.Equal(t, reflect.ValueOf(handler).Pointer(), reflect.ValueOf(telemetry.Middleware(handler)).Pointer())
	router := wsrouter.New(&wsrouter.Options{Trace: telemetry.Trace()})
	registration, err := telemetry.Observe(router)
	require.NoError(t, err)
	require.NoError(t, registration.Unregister())
	require.NoError(t, telemetry.Flush(t.Context()))

	client := wsroutertest.Connect(t, router, nil)
	require.NoError(t, telemetry.Emit(t.Context(), client, "nobody"))
}

// TestStrangers: names that clients make up, however many, do not become names of
// spans; nor do more than 200 that an application passes on.
func TestStrangers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBackend()
		telemetry := b.telemetry(t, wsrouterotel.Options{MeterProvider: sdkmetric.NewMeterProvider(sdkmetric.WithReader(b.reader))})
		far := wsrouter.New(nil)
		far.NotFound(func(*wsrouter.Context) error { return nil })
		toFar := wsroutertest.Connect(t, far, &wsrouter.DialOptions{Router: routerOf(telemetry, wsrouter.Options{})})
		router := routerOf(telemetry, wsrouter.Options{})
		router.NotFound(func(c *wsrouter.Context) error {
			return toFar.Call(c.Context(), c.Event(), nil, nil)
		})
		client := wsroutertest.Connect(t, router, nil)
		const strangers = 1000
		for i := range strangers {
			require.NoError(t, client.Call(t.Context(), fmt.Sprint("made up ", i), nil, nil))
		}
		synctest.Wait()
		require.NoError(t, telemetry.Flush(t.Context()))
		names := make(map[string]int)
		for _, span := range b.exporter.GetSpans() {
			for _, kv := range span.Attributes {
				if span.SpanKind == trace.SpanKindServer {
					require.NotContains(t, kv.Value.String(), "made up")
				}
			}
			names[span.SpanKind.String()+" "+span.Name]++
		}
		require.Equal(t, strangers, names["server / _OTHER"])
		require.Equal(t, strangers-200, names["client / _OTHER"])
		require.Equal(t, 1, names["client / made up 0"])
		require.Len(t, names, 202)
		require.Len(t, b.series(t, "rpc.client.call.duration"), 2*201)
	})
}

// TestCodesOfStrangers: a code that is not UTF-8, or is long, gets into no span and
// no series. One that is not UTF-8 makes an exporter lose everything it is about to
// send, and the other side may answer with codes as large as a message.
func TestCodesOfStrangers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBackend()
		telemetry := b.telemetry(t, wsrouterotel.Options{MeterProvider: sdkmetric.NewMeterProvider(sdkmetric.WithReader(b.reader))})
		router, dialed := routerOf(telemetry, wsrouter.Options{}), routerOf(telemetry, wsrouter.Options{})
		codes := []string{"E\xff", strings.Repeat("E", 257), "E_FINE"}
		asked, answered := 0, 0
		dialed.On("answer", func(*wsrouter.Context) error {
			answered++
			return wsrouter.NewError("no").WithCode(codes[answered-1])
		})
		router.On("ask", func(c *wsrouter.Context) error {
			c.Conn().Call(c.Context(), "answer", nil, nil)
			asked++
			return wsrouter.NewError("no").WithCode(codes[asked-1])
		})
		client := wsroutertest.Connect(t, router, &wsrouter.DialOptions{Router: dialed})
		for range codes {
			require.Error(t, client.Call(t.Context(), "ask", nil, nil))
		}
		require.Error(t, client.Call(t.Context(), "\xff", nil, nil))
		synctest.Wait()
		require.NoError(t, telemetry.Flush(t.Context()))
		got := make(map[string]int)
		for _, span := range b.exporter.GetSpans() {
			require.True(t, utf8.ValidString(span.Name))
			got[fmt.Sprint(attrs(span)["rpc.response.status_code"])]++
		}
		require.Equal(t, map[string]int{"_OTHER": 6, "E\ufffd": 2, "E_FINE": 4, "internal": 1}, got)
		for _, metric := range []string{"rpc.server.call.duration", "rpc.client.call.duration"} {
			for labels := range b.series(t, metric) {
				require.True(t, utf8.ValidString(labels) && len(labels) < 300, labels)
			}
		}
	})
}

type panicsInJSON struct{}

func (panicsInJSON) MarshalJSON() ([]byte, error) { panic("ouch") }

// TestArgumentsThatPanic: the span of an emit that cannot be encoded is ended.
func TestArgumentsThatPanic(t *testing.T) {
	b := newBackend()
	router := b.service(t, wsrouter.Options{})
	client := wsroutertest.Connect(t, wsrouter.New(nil), &wsrouter.DialOptions{Router: router})
	require.Panics(t, func() { b.services[0].Emit(t.Context(), client, "emit", panicsInJSON{}) })
	require.Panics(t, func() { client.Call(t.Context(), "call", panicsInJSON{}, nil) })
	spans := b.spans(t)
	require.Len(t, spans, 2)
	for _, span := range spans {
		require.Equal(t, "internal", attrs(span)["error.type"])
	}
}

// tracing is a TracerProvider that calls start and end before spans of an SDK start
// and end.
type tracing struct {
	trace.TracerProvider
	start, end func()
}

func (p tracing) Tracer(name string, opts ...trace.TracerOption) trace.Tracer {
	return tracer{p.TracerProvider.Tracer(name, opts...), p}
}

type tracer struct {
	trace.Tracer
	tracing tracing
}

func (t tracer) Start(ctx context.Context, name string, opts ...trace.SpanStartOption) (context.Context, trace.Span) {
	if t.tracing.start != nil {
		t.tracing.start()
	}
	ctx, inner := t.Tracer.Start(ctx, name, opts...)
	s := span{inner, t.tracing}
	return trace.ContextWithSpan(ctx, s), s
}

type span struct {
	trace.Span
	tracing tracing
}

func (s span) End(opts ...trace.SpanEndOption) {
	if s.tracing.end != nil {
		s.tracing.end()
	}
	s.Span.End(opts...)
}

// reports are the errors that reached otel.Handle.
type reports struct {
	mu   sync.Mutex
	told []string
}

func (r *reports) Handle(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.told = append(r.told, err.Error())
	panic("and so does whoever takes the report")
}

// TestTracersThatPanic: handlers and calls continue without spans, and the panic is
// reported once.
func TestTracersThatPanic(t *testing.T) {
	sdkProvider := sdk.NewTracerProvider()
	ouch := func() { panic("ouch") }
	for name, o := range map[string]wsrouterotel.Options{
		"start":      {TracerProvider: tracing{sdkProvider, ouch, nil}},
		"end":        {TracerProvider: tracing{sdkProvider, nil, ouch}},
		"propagator": {TracerProvider: sdkProvider, Propagator: badPropagator{}},
		"public":     {TracerProvider: sdkProvider, Public: func(*wsrouter.Context) bool { panic("ouch") }},
		"processor":  {TracerProvider: sdk.NewTracerProvider(sdk.WithSpanProcessor(badProcessor{}))},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				told := new(reports)
				otel.SetErrorHandler(told)
				defer otel.SetErrorHandler(otel.ErrorHandlerFunc(func(error) {}))
				telemetry, err := wsrouterotel.New(o)
				require.NoError(t, err)
				router, dialed := routerOf(telemetry, wsrouter.Options{}), routerOf(telemetry, wsrouter.Options{})
				wsrouter.Handle(router, "ask", func(c *wsrouter.Context, n int) (int, error) {
					var sure bool
					err := c.Conn().Call(c.Context(), "sure?", nil, &sure)
					require.True(t, sure)
					return n, err
				})
				dialed.On("sure?", func(c *wsrouter.Context) error { return c.Reply(true) })
				client := wsroutertest.Connect(t, router, &wsrouter.DialOptions{Router: dialed})
				ctx := wsrouter.WithMeta(t.Context(), "traceparent", traceparent)
				for i := range 100 {
					n, err := wsrouter.Call[int](ctx, client, "ask", i)
					require.NoError(t, err)
					require.Equal(t, i, n)
					for n, err := range wsrouter.Pull[int](ctx, client, "ask", i) {
						require.NoError(t, err)
						require.Equal(t, i, n)
					}
					require.NoError(t, telemetry.Emit(ctx, client, "ask", i))
				}
				synctest.Wait()
				require.NoError(t, telemetry.Flush(t.Context()))
				require.Len(t, told.told, 1)
				require.True(t, strings.HasPrefix(told.told[0], "wsrouterotel: tracer panicked: "), told.told[0])
			})
		})
	}
}

type badPropagator struct{ propagation.TraceContext }

func (badPropagator) Extract(context.Context, propagation.TextMapCarrier) context.Context {
	panic("ouch")
}
func (badPropagator) Inject(context.Context, propagation.TextMapCarrier) { panic("ouch") }

type badProcessor struct{}

func (badProcessor) OnStart(context.Context, sdk.ReadWriteSpan) { panic("ouch") }
func (badProcessor) OnEnd(sdk.ReadOnlySpan)                     { panic("ouch") }
func (badProcessor) Shutdown(context.Context) error             { return nil }
func (badProcessor) ForceFlush(context.Context) error           { return nil }

// TestExporterThatBlocks: it delays no handler, and the spans that wait for it are
// bounded and counted.
func TestExporterThatBlocks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		b := newBackend()
		telemetry := b.telemetry(t, wsrouterotel.Options{
			TracerProvider: tracing{b.provider, nil, func() { <-release }},
			MeterProvider:  sdkmetric.NewMeterProvider(sdkmetric.WithReader(b.reader)),
		})
		router := routerOf(telemetry, wsrouter.Options{})
		registration, err := telemetry.Observe(router)
		require.NoError(t, err)
		router.On("ask", func(c *wsrouter.Context) error { return nil })
		client := wsroutertest.Connect(t, router, nil)
		const all = 3000
		for range all {
			require.NoError(t, client.Call(t.Context(), "ask", nil, nil))
		}
		synctest.Wait()
		lost := b.series(t, "wsrouter.telemetry.spans.lost")[""]
		require.Equal(t, all-2048-1.0, lost, "one is being ended")
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		require.ErrorIs(t, telemetry.Flush(ctx), context.DeadlineExceeded)
		close(release)
		require.NoError(t, telemetry.Flush(t.Context()))
		require.Len(t, b.exporter.GetSpans(), 2049)
		require.NoError(t, registration.Unregister())
		require.Empty(t, b.series(t, "wsrouter.telemetry.spans.lost"))
	})
}

// TestTracerThatBlocks: it blocks at most 64 handlers, and others continue without
// spans.
func TestTracerThatBlocks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		telemetry, err := wsrouterotel.New(wsrouterotel.Options{
			TracerProvider: tracing{noop.NewTracerProvider(), func() { <-release }, nil},
		})
		require.NoError(t, err)
		router := routerOf(telemetry, wsrouter.Options{})
		router.On("ask", func(c *wsrouter.Context) error { return c.Reply(c.Event()) }, wsrouter.Concurrent)
		client := wsroutertest.Connect(t, router, nil)
		var answered atomic.Int64
		for range 100 {
			other := wsroutertest.Connect(t, router, nil)
			go func() {
				require.NoError(t, other.Call(t.Context(), "ask", nil, nil))
				answered.Add(1)
			}()
			synctest.Wait()
		}
		require.EqualValues(t, 100-64, answered.Load())
		require.NoError(t, client.Call(t.Context(), "ask", nil, nil))
		close(release)
		synctest.Wait()
		require.EqualValues(t, 100, answered.Load())
	})
}

// TestSpansAreOverWhenFlushed: Flush waits for what has been handled, and shutting
// down the provider after that loses nothing.
func TestSpansAreOverWhenFlushed(t *testing.T) {
	b := newBackend()
	router := b.service(t, wsrouter.Options{})
	router.On("ask", func(*wsrouter.Context) error { return nil })
	client := wsroutertest.Connect(t, router, nil)
	for range 1000 {
		require.NoError(t, client.Call(t.Context(), "ask", nil, nil))
	}
	require.NoError(t, router.Shutdown(t.Context())) // after this all handlers have returned
	require.NoError(t, b.services[0].Flush(t.Context()))
	require.Len(t, b.exporter.GetSpans(), 1000)
}
