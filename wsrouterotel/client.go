package wsrouterotel

import (
	"context"
	"errors"
	"strconv"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/wsrouter/wsrouter"
)

// callKey is the context key of a *call, for one Telemetry.
type callKey struct{ t *Telemetry }

// call is a request of this side that has a span.
type call struct {
	span  trace.Span
	items atomic.Int64
}

// callStart starts the span of a request of this side, and lets the request carry
// it. If it returns nil the request is sent without a span.
func (t *Telemetry) callStart(ctx context.Context, c *wsrouter.Conn, event string) (inner context.Context) {
	if !t.enter() {
		return nil
	}
	defer func() {
		if t.leave(recover()) {
			inner = nil
		}
	}()
	m := t.called.of(c.Router().Name(), event)
	inner, span := t.start(ctx, c, m.name, m.client)
	if !span.IsRecording() {
		return inner
	}
	return context.WithValue(inner, callKey{t}, &call{span: span})
}

func (t *Telemetry) start(ctx context.Context, c *wsrouter.Conn, name string, options []trace.SpanStartOption) (context.Context, trace.Span) {
	ctx, span := t.tracer.Start(ctx, name, options...)
	if span.IsRecording() {
		span.SetAttributes(append(address(c), transportKey.String(c.Transport()), connKey.String(c.ID()))...)
	}
	return t.Inject(ctx), span
}

// address returns the server's address, if this side has dialed it over a network.
func address(c *wsrouter.Conn) []attribute.KeyValue {
	attrs := make([]attribute.KeyValue, 0, 4)
	u := c.Request().URL
	if c.Transport() == "memory" || u.Host == "" {
		return attrs
	}
	attrs = append(attrs, serverHost.String(u.Hostname()))
	if port, err := strconv.Atoi(u.Port()); err == nil {
		attrs = append(attrs, serverPort.Int(port))
	}
	return attrs
}

func (t *Telemetry) callItem(ctx context.Context, _ *wsrouter.Conn, _ string) {
	if call, ok := ctx.Value(callKey{t}).(*call); ok {
		call.items.Add(1)
	}
}

func (t *Telemetry) callEnd(ctx context.Context, _ *wsrouter.Conn, _ string, _ time.Duration, err error) {
	call, ok := ctx.Value(callKey{t}).(*call)
	if !ok {
		return
	}
	e := end{span: call.span, at: time.Now(), items: noItems, status: true}
	if n := call.items.Load(); n > 0 {
		e.items = n
	}
	if e.outcome = bounded(wsrouter.CallOutcome(err)); err != nil {
		e.failed, e.why = true, reason(err)
	}
	t.put(e)
}

// Emitter is a *[wsrouter.Conn] or a *[wsrouter.Client].
type Emitter interface {
	EmitContext(ctx context.Context, event string, args ...any) error
}

// Emit is EmitContext with a span of its own, and the span of the handler at the
// other side links to it. Without it, EmitContext with a handler's context carries
// the handler's span.
func (t *Telemetry) Emit(ctx context.Context, to Emitter, event string, args ...any) error {
	ctx, span := t.emitStart(ctx, to, event)
	if span == nil {
		return to.EmitContext(ctx, event, args...)
	}
	err := errBroken // unless EmitContext returns
	defer func() { t.emitEnd(span, err) }()
	err = to.EmitContext(ctx, event, args...)
	return err
}

// errBroken is the error of an emit whose argument panics when it is encoded.
var errBroken = errors.New("panic")

func (t *Telemetry) emitEnd(span trace.Span, err error) {
	e := end{span: span, at: time.Now(), items: noItems, outcome: wsrouter.CallOutcome(err), failed: err != nil}
	if err != nil {
		e.why = reason(err)
	}
	t.put(e)
}

func (t *Telemetry) emitStart(ctx context.Context, to Emitter, event string) (inner context.Context, span trace.Span) {
	var conn *wsrouter.Conn
	switch to := to.(type) {
	case *wsrouter.Conn:
		conn = to
	case interface{ Conn() *wsrouter.Conn }:
		conn = to.Conn()
	}
	if t.tracer == nil || conn == nil || !t.enter() {
		return ctx, nil
	}
	defer func() {
		if t.leave(recover()) {
			inner, span = ctx, nil
		}
	}()
	m := t.called.of(conn.Router().Name(), event)
	inner, span = t.start(ctx, conn, m.name, m.producer)
	if !span.IsRecording() {
		span = nil
	}
	return inner, span
}
