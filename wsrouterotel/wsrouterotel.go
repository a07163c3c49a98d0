// Package wsrouterotel makes OpenTelemetry traces and metrics of what a
// [wsrouter.Router] does, and carries traces from one service to the next.
//
//	telemetry, err := wsrouterotel.New(wsrouterotel.Options{
//		TracerProvider: otel.GetTracerProvider(),
//		MeterProvider:  otel.GetMeterProvider(),
//	})
//	router := wsrouter.New(&wsrouter.Options{Trace: telemetry.Trace()})
//	router.Use(telemetry.Middleware)
//	telemetry.Observe(router)
//
// The same goes for the router of a client, in its DialOptions. Then each event and
// request that is handled has a span, and each request of ours another one, as has a
// Pull with all its items. A request continues the trace of whoever asks, and what its
// handler asks with [wsrouter.Context.Context] is a part of it:
//
//	browser ── "order" ──▶ handler ── Call "stock" ──▶ handler of another service
//
// is one trace. It travels in the meta of the plain protocol, see [wsrouter.WithMeta];
// README.md says what of it a page sends, and what Socket.IO cannot carry. An event that
// nobody waits for may be handled long after, so it begins a trace, with a link to the
// one that it came from.
//
// Spans are named after the namespace and the event, "/chat say", by which also
// metrics are told apart. No client can make up such a name: events that only a
// NotFound handler takes are called _OTHER.
package wsrouterotel

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/wsrouter/wsrouter"
)

const scope = "github.com/wsrouter/wsrouter/wsrouterotel"

// Options say what is made, and with what. The zero value makes nothing, and costs
// nothing.
type Options struct {
	// TracerProvider makes the spans; nil makes none. For the global one say
	// otel.GetTracerProvider().
	TracerProvider trace.TracerProvider

	// MeterProvider makes the metrics; nil makes none. For the global one say
	// otel.GetMeterProvider().
	MeterProvider metric.MeterProvider

	// Propagator writes traces into meta, and reads them there. Nil is W3C's Trace
	// Context and Baggage.
	Propagator propagation.TextMapPropagator

	// Public reports whether the sender of an event is not to be trusted with a
	// trace, as it may have all of them sampled: then the event begins a trace, with a
	// link. It must not block. Nil trusts everybody.
	Public func(c *wsrouter.Context) bool

	// Codes are the codes of a WsError that a metric shows, besides those of package
	// wsrouter, and the first 32 others that come.
	Codes []string
}

// Telemetry makes spans and metrics of one tree of namespaces, or of several. It may be
// used concurrently.
//
// A tracer that panics is reported to otel.Handle, once, and handlers go on without
// spans. One that blocks holds up at most 64 of them, and an exporter that blocks when a
// span ends holds up none: spans are ended beside the handlers. Of those 2,048 may wait,
// others are lost, and counted, see README.md.
type Telemetry struct {
	tracer     trace.Tracer // nil makes no spans
	propagator propagation.TextMapPropagator
	fields     []string // of the propagator
	headers    []string // the same, as net/http spells them
	public     func(*wsrouter.Context) bool

	handled, called methods
	metrics         *metrics // nil counts nothing
	ends            ends
	starting        atomic.Int64             // tracers that have been called, and have not returned
	lost            atomic.Int64             // spans that are not made, or do not end
	teller          atomic.Pointer[observer] // tells of the lost, which are all routers'; nil as long as nobody has
	panicked        sync.Once
}

// New returns what makes spans and metrics. The error is the MeterProvider's.
func New(o Options) (*Telemetry, error) {
	t := &Telemetry{propagator: o.Propagator, public: o.Public}
	t.handled.most, t.called.most = unbounded, maxCalled
	if t.propagator == nil {
		t.propagator = propagation.NewCompositeTextMapPropagator(propagation.TraceContext{}, propagation.Baggage{})
	}
	for _, field := range t.propagator.Fields() {
		t.fields, t.headers = append(t.fields, field), append(t.headers, http.CanonicalHeaderKey(field))
	}
	if o.TracerProvider != nil {
		t.tracer = o.TracerProvider.Tracer(scope)
	}
	if o.MeterProvider == nil {
		return t, nil
	}
	var err error
	if t.metrics, err = newMetrics(o.MeterProvider.Meter(scope), o.Codes); err != nil {
		return nil, fmt.Errorf("wsrouterotel: %w", err)
	}
	return t, nil
}

// Trace is for [wsrouter.Options], alone or by [wsrouter.MultiTrace]. It is nil if there
// is neither a tracer nor a meter.
func (t *Telemetry) Trace() *wsrouter.Trace {
	if t.tracer == nil && t.metrics == nil {
		return nil
	}
	hooks := new(wsrouter.Trace)
	if t.tracer != nil {
		hooks.CallStart, hooks.CallItem, hooks.CallEnd = t.callStart, t.callItem, t.callEnd
	}
	if t.metrics != nil {
		return wsrouter.MultiTrace(hooks, t.metrics.trace(t))
	}
	return hooks
}

// Flush waits until the spans of what has been handled so far have ended, so that the
// TracerProvider can be shut down, or until ctx ends, whose error it returns.
func (t *Telemetry) Flush(ctx context.Context) error { return t.ends.wait(ctx) }

// maxStarting is how many tracers may be called at once: they are quick, or they block.
const maxStarting = 64

// enter asks whether one more tracer may be called; if so, leave follows.
func (t *Telemetry) enter() bool {
	if t.starting.Add(1) <= maxStarting {
		return true
	}
	t.starting.Add(-1)
	t.lost.Add(1)
	return false
}

// leave is deferred around each call of a tracer, for its panics. It reports whether
// there was one.
func (t *Telemetry) leave(panicked any) bool {
	t.starting.Add(-1)
	if panicked == nil {
		return false
	}
	t.lost.Add(1)
	t.report(panicked)
	return true
}

// report tells of a panic, once: each event would bring another.
func (t *Telemetry) report(panicked any) {
	t.panicked.Do(func() {
		defer func() { recover() }() // of whoever takes the report
		otel.Handle(fmt.Errorf("wsrouterotel: tracer panicked: %v", panicked))
	})
}
