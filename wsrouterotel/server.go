package wsrouterotel

import (
	"context"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/wsrouter/wsrouter"
)

// Middleware gives each event a span while it is handled. Pass it to
// [wsrouter.Router.Use] before all other middleware. The span is in
// [wsrouter.Context.Context], and calls with that context continue the trace.
// Without a tracer Middleware adds nothing.
func (t *Telemetry) Middleware(next wsrouter.HandlerFunc) wsrouter.HandlerFunc {
	if t.tracer == nil {
		return next
	}
	return func(c *wsrouter.Context) (err error) {
		h := t.begin(c)
		if h == nil {
			return next(c)
		}
		returned := false
		defer func() { t.ended(h, err, returned) }() // panics and Goexit continue
		err = next(h.c)
		returned = true
		return err
	}
}

// handling is an event that has a span.
type handling struct {
	span      trace.Span
	recording bool
	c         *wsrouter.Context // the Context that the handler gets
	items     atomic.Int64      // items and replies
}

// begin starts the span of an event. It returns nil if there is none, for any
// reason.
func (t *Telemetry) begin(c *wsrouter.Context) (h *handling) {
	if !t.enter() {
		return nil
	}
	defer func() {
		if t.leave(recover()) {
			h = nil
		}
	}()
	h = new(handling)
	conn := c.Conn()
	m := t.handled.of(conn.Router().Name(), c.Route())
	ctx, options := t.origin(c, m)
	ctx, h.span = t.tracer.Start(ctx, m.name, options...)
	h.c = c.WithContext(t.Inject(ctx))
	if h.recording = h.span.IsRecording(); h.recording {
		h.span.SetAttributes(transportKey.String(conn.Transport()), connKey.String(conn.ID()))
		h.c = h.c.WithReply(func(v any) (any, error) { h.items.Add(1); return v, nil })
	}
	return h
}

// origin returns the context and the options with which the span of an event
// starts, and so which trace it belongs to. Only a request continues the trace of
// its sender, who waits for the answer.
func (t *Telemetry) origin(c *wsrouter.Context, m *method) (context.Context, []trace.SpanStartOption) {
	own := c.Context()
	ctx := t.propagator.Extract(own, incoming{c, t.fields})
	handshake, sender := trace.SpanContextFromContext(own), trace.SpanContextFromContext(ctx)
	if sender.Equal(handshake) { // the event came with no trace of its own
		sender = trace.SpanContext{}
	}
	options := m.consumerRoot
	if c.Kind() == wsrouter.KindRequest {
		if options = m.serverRoot; sender.IsValid() && (t.public == nil || !t.public(c)) {
			return ctx, m.server
		}
	}
	if !sender.IsValid() {
		sender = t.handshake(c, handshake)
	}
	if sender.IsValid() {
		options = append(options, trace.WithLinks(trace.Link{SpanContext: sender}))
	}
	return ctx, options
}

// handshake returns the trace in which the connection was made: the one that HTTP
// middleware put into its context, or the one in its headers. A connection may last
// for hours, so its events do not belong to that trace.
func (t *Telemetry) handshake(c *wsrouter.Context, found trace.SpanContext) trace.SpanContext {
	if found.IsValid() {
		return found
	}
	header := c.Request().Header
	for _, name := range t.headers {
		if header[name] != nil {
			ctx := t.propagator.Extract(context.Background(), propagation.HeaderCarrier(header))
			return trace.SpanContextFromContext(ctx)
		}
	}
	return found
}

// ended ends the span of an event whose handler has returned err, or has not
// returned.
func (t *Telemetry) ended(h *handling, err error, returned bool) {
	if !h.recording {
		return
	}
	e := end{span: h.span, at: time.Now(), status: true, items: noItems}
	defer func() {
		if panicked := recover(); panicked != nil { // the error's own methods may panic
			e.outcome = wsrouter.OutcomeInternal
		}
		t.put(e)
	}()
	if h.c.Kind() == wsrouter.KindStream {
		e.items = h.items.Load()
	}
	if !returned {
		e.outcome, e.failed, e.why = wsrouter.OutcomeInternal, true, "panic"
		return
	}
	e.outcome = bounded(h.c.Outcome(err))
	if e.failed = e.outcome == wsrouter.OutcomeInternal || e.outcome == wsrouter.CodeTimeout; e.failed {
		e.why = reason(err)
	}
}
