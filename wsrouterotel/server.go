package wsrouterotel

import (
	"context"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/wsrouter/wsrouter"
)

// Middleware is for [wsrouter.Router.Use], before all other middleware: each event has
// a span while it is handled, which is in [wsrouter.Context.Context], and what is called
// with that continues the trace. Without a tracer it adds nothing.
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
		defer func() { t.ended(h, err, returned) }() // panics and Goexit go on
		err = next(h.c)
		returned = true
		return err
	}
}

// handling is an event that has a span.
type handling struct {
	span      trace.Span
	recording bool
	c         *wsrouter.Context // what the handler gets
	items     atomic.Int64      // and replies
}

// begin starts the span of an event; nil is none, whatever the reason.
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

// origin says what trace an event belongs to, by how its span starts. Only a request
// goes on with that of its sender, who waits for it.
func (t *Telemetry) origin(c *wsrouter.Context, m *method) (context.Context, []trace.SpanStartOption) {
	own := c.Context()
	ctx := t.propagator.Extract(own, incoming{c, t.fields})
	handshake, sender := trace.SpanContextFromContext(own), trace.SpanContextFromContext(ctx)
	if sender.Equal(handshake) { // it has sent none
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

// handshake is the trace that the connection was made in: what HTTP middleware has put
// into its context, or what its headers say. A connection may last for hours, so its
// events are not a part of that.
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

// ended ends the span of an event whose handler has returned err, or not at all.
func (t *Telemetry) ended(h *handling, err error, returned bool) {
	if !h.recording {
		return
	}
	e := end{span: h.span, at: time.Now(), status: true, items: noItems}
	defer func() {
		if panicked := recover(); panicked != nil { // an error's own methods may
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
