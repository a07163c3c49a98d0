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
// A client takes a router made in the same way, in its DialOptions. Each event or
// request then has a span while it is handled. Each request that this side sends
// has one too, which for a Pull lasts until its last item. A request continues the
// trace of its sender, and so do calls that its handler makes with
// [wsrouter.Context.Context]:
//
//	browser ── "order" ──▶ handler ── Call "stock" ──▶ handler of another service
//
// is one trace. The trace travels in the meta of the plain protocol, see
// [wsrouter.WithMeta]; README.md says which parts of it a page sends, and what
// Socket.IO cannot carry. An event that nobody waits for may be handled much later,
// so it begins a trace, with a link to the span that it came from.
//
// Spans are named after the namespace and the event, as in "/chat say", and metrics
// have that name as an attribute. Clients cannot make up such names: events that
// only a NotFound handler takes are called _OTHER.
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
	// TracerProvider makes the spans; nil makes none. Pass otel.GetTracerProvider()
	// for the global one.
	TracerProvider trace.TracerProvider

	// MeterProvider makes the metrics; nil makes none. Pass otel.GetMeterProvider()
	// for the global one.
	MeterProvider metric.MeterProvider

	// Propagator writes traces into meta and reads them from it. Nil means W3C
	// Trace Context and Baggage.
	Propagator propagation.TextMapPropagator

	// Public reports whether the sender of an event must not choose its trace,
	// because strangers could have all their traces sampled. The event then begins
	// a trace, with a link to the sender's. Public must not block. Nil trusts
	// everybody.
	Public func(c *wsrouter.Context) bool

	// Codes are further codes of a WsError that a metric shows, besides those of
	// package wsrouter and the first 32 others that come.
	Codes []string
}

// Telemetry makes spans and metrics of one or several trees of namespaces. All
// methods may be called concurrently.
//
// If a tracer panics, that is reported to otel.Handle once, and handlers continue
// without spans. A tracer that blocks blocks at most 64 handlers. An exporter that
// blocks when a span ends blocks none, because another goroutine ends the spans: up
// to 2,048 may wait, further ones are lost and counted, see README.md.
type Telemetry struct {
	tracer     trace.Tracer // nil makes no spans
	propagator propagation.TextMapPropagator
	fields     []string // of the propagator
	headers    []string // the same, as net/http spells them
	public     func(*wsrouter.Context) bool

	handled, called methods
	metrics         *metrics // nil counts nothing
	ends            ends
	starting        atomic.Int64             // calls of tracers that have not returned
	lost            atomic.Int64             // spans that were not made, or will not be ended
	teller          atomic.Pointer[observer] // reports lost, which all routers share; nil until one has
	panicked        sync.Once
}

// New returns a Telemetry. An error is the MeterProvider's.
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

// Trace returns the Trace to put into [wsrouter.Options], alone or in a
// [wsrouter.MultiTrace]. It is nil if there is neither a tracer nor a meter.
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

// Flush waits until the spans of everything handled so far have ended, so that the
// TracerProvider can be shut down. If ctx ends first it returns ctx's error.
func (t *Telemetry) Flush(ctx context.Context) error { return t.ends.wait(ctx) }

// maxStarting is how many tracers may be called at once. Tracers are quick, or they
// block.
const maxStarting = 64

// enter reports whether one more tracer may be called; if so, leave must follow.
func (t *Telemetry) enter() bool {
	if t.starting.Add(1) <= maxStarting {
		return true
	}
	t.starting.Add(-1)
	t.lost.Add(1)
	return false
}

// leave is deferred around each call of a tracer, and recovers its panics. It
// reports whether there was one.
func (t *Telemetry) leave(panicked any) bool {
	t.starting.Add(-1)
	if panicked == nil {
		return false
	}
	t.lost.Add(1)
	t.report(panicked)
	return true
}

// report reports a panic once: each event would bring another.
func (t *Telemetry) report(panicked any) {
	t.panicked.Do(func() {
		defer func() { recover() }() // the error handler may panic too
		otel.Handle(fmt.Errorf("wsrouterotel: tracer panicked: %v", panicked))
	})
}
