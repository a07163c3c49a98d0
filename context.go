package wsrouter

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"

	"github.com/wsrouter/wsrouter/adapter"
	"github.com/wsrouter/wsrouter/internal/bind"
	"github.com/wsrouter/wsrouter/internal/meta"
	"github.com/wsrouter/wsrouter/payload"
)

// Context is what the handler of one event sees. Each event has its own Context,
// which is never reused; it may be kept after the handler has returned, but then it
// can no longer reply. A Context is not a [context.Context]; it has one.
//
// A Context belongs to its handler, which may pass it to other goroutines. Emit,
// Join, Leave and the accessors are safe for concurrent use. Call Reply, Stream and
// Yield only from the goroutine that handles the event.
type Context struct {
	conn *Conn
	ctx  context.Context // set by WithContext; nil means the event's
	req  *request        // shared by the copies of WithContext and WithReply
	via  *replyStep      // set by WithReply, the innermost middleware's first
}

// replyStep is what one middleware does to replies on their way out.
type replyStep struct {
	fn   func(any) (any, error)
	next *replyStep
}

// Context returns the event's context. It carries the values of the request's
// context. It is canceled when the handler returns, the client cancels, the
// connection ends, or [Options.HandlerTimeout] expires; [context.Cause] says which.
// When the client closes the connection, events that it sent before are still
// handled: their contexts end after [Options.HookTimeout] at the latest, the
// context of a stream at once.
func (c *Context) Context() context.Context {
	if c.ctx != nil {
		return c.ctx
	}
	return c.req.context()
}

// WithContext returns a copy with another context, for middleware. The copy answers
// the same event: there is at most one reply, whichever is used. Derive ctx from
// [Context.Context]. If the handler fails, the log line is written with the context
// that was set last, including any trace it carries.
func (c *Context) WithContext(ctx context.Context) *Context {
	if ctx == nil {
		panic("wsrouter: nil context")
	}
	c2 := *c
	c2.ctx = ctx
	c.req.enter(ctx)
	return &c2
}

// Meta returns the value that the other side sent under a key beside the event's
// data, for example with [WithMeta], or "" if it sent none. Clients choose it
// freely: a traceparent need not be a valid one. Over Socket.IO there is no meta,
// but [Context.Request] has the headers of the handshake.
func (c *Context) Meta(key string) string { return meta.Get(c.req.msg.Meta, key) }

// metaKey is the context key of the meta, a json.RawMessage as in
// [adapter.Message].
type metaKey struct{}

// WithMeta returns a context that carries a value under a key. [Conn.Call], [Pull],
// [Conn.EmitContext] and similar functions send it beside the data. Meta is for
// values that any event may carry, such as a tenant or a trace. The keys of a trace
// are traceparent, tracestate and baggage, see https://www.w3.org/TR/trace-context
// and https://www.w3.org/TR/baggage. The other side reads it with [Context.Meta], a
// listener in a browser as request.meta.
//
// A handler's context carries the meta of its event, and passes it on: to calls
// that use this context, and to what [Context.Emit] sends. To stop passing a key
// on, set it to "". Replies carry only the meta in [Response].Meta, and emits to
// targets carry none.
//
// The keys and values of a context may take 1,024 bytes together, as a JSON object;
// a value that does not fit is left out. Meta is never logged. Socket.IO has no
// place for it and sends none.
func WithMeta(ctx context.Context, key, value string) context.Context {
	raw := metaOf(ctx)
	if value == "" && meta.Get(raw, key) == "" {
		return ctx
	}
	return context.WithValue(ctx, metaKey{}, meta.With(raw, key, value))
}

// metaOf returns the meta that is sent with a context.
func metaOf(ctx context.Context) json.RawMessage {
	m, _ := ctx.Value(metaKey{}).(json.RawMessage)
	return m
}

// meta returns the meta that c's context would carry, without making that context.
func (c *Context) meta() json.RawMessage {
	if c.ctx == nil {
		return c.req.msg.Meta
	}
	return metaOf(c.ctx)
}

// WithReply returns a copy whose replies and stream items are passed through fn,
// for middleware:
//
//	func envelope(next wsrouter.HandlerFunc) wsrouter.HandlerFunc {
//		return func(c *wsrouter.Context) error {
//			return next(c.WithReply(func(v any) (any, error) {
//				if r, ok := v.(wsrouter.Response); ok {
//					r.Data = map[string]any{"data": r.Data}
//					return r, nil // it keeps its event
//				}
//				return map[string]any{"data": v}, nil
//			}))
//		}
//	}
//
// fn receives what was given to [Context.Reply], or the next item: any value,
// [Args], or a [Response], but never a pointer to one. It may return any of these.
// With several functions, that of the outermost middleware runs last. fn sees
// neither errors nor the empty answer to a request without a reply. If fn returns
// an error, nothing is sent: the handler receives the error, and it becomes the
// event's error unless the handler returns another one.
func (c *Context) WithReply(fn func(any) (any, error)) *Context {
	if fn == nil {
		panic("wsrouter: nil function")
	}
	c2 := *c
	c2.via = &replyStep{fn, c.via}
	return &c2
}

// passed returns what middleware makes of a reply or an item.
func (c *Context) passed(v any) (any, error) {
	for step := c.via; ; step = step.next {
		if r, ok := v.(*Response); ok && r != nil {
			v = *r
		}
		if step == nil {
			return v, nil
		}
		var err error
		if v, err = step.fn(v); err != nil {
			c.req.fail(err)
			return nil, err
		}
	}
}

// Event returns the event's name as the client sent it. Only in a NotFound handler
// may it be a name that is not registered.
func (c *Context) Event() string { return c.req.msg.Event }

// Route returns the name that the event's handler is registered under, or "" in a
// NotFound handler. Unlike Event it never returns a name that a client made up, so
// it can be logged and used as a label of metrics.
func (c *Context) Route() string {
	if c.router().routes[c.req.msg.Event] == nil {
		return "" // the client made the name up
	}
	return c.req.msg.Event
}

// Kinds of events, as [Context.Kind] returns them.
const (
	KindEvent   = "event"   // nobody waits for an answer
	KindRequest = "request" // the client waits for an answer
	KindStream  = "stream"  // the answer is a stream
)

// Kind returns KindRequest if the client waits for an answer, and KindEvent if it
// does not. Once [Stream] or [StreamSeq] has been called it returns KindStream,
// until the event is over.
func (c *Context) Kind() string {
	c.conn.mu.Lock()
	_, streaming := c.conn.streams[c.req]
	c.conn.mu.Unlock()
	switch {
	case streaming:
		return KindStream
	case c.req.msg.ID != "":
		return KindRequest
	}
	return KindEvent
}

// Bind stores the event's data in v, a pointer, like [json.Unmarshal], and then
// runs [Options.Validate] on v. If there are several arguments, as Socket.IO
// allows, they are bound as an array. No data, like null, leaves v unchanged.
//
// If the data has the wrong shape, the error is a *[WsError] that names the field
// and what was expected; return it to tell the client.
func (c *Context) Bind(v any) error {
	return c.bound(bind.Value(c.req.msg.Data, v), v)
}

// bound returns the result of storing data in v.
func (c *Context) bound(err error, v ...any) error { return c.router().bound(err, v...) }

// Field stores one field of the data in v, a pointer. The path consists of names
// separated by dots, such as "user.id"; unlike in encoding/json they are
// case-sensitive. If the field is missing or has the wrong shape, the error is a
// *[WsError]. A field that is null leaves v unchanged. [Options.Validate] runs on
// v.
func (c *Context) Field(path string, v any) error {
	return c.bound(bind.Field(c.req.msg.Data, path, v), v)
}

// Args stores the event's arguments in the pointers, one each. A pointer without an
// argument is left unchanged, and an argument without a pointer is ignored. The
// plain protocol does not distinguish several arguments from one array: there two
// or more pointers take the elements of an array, and data that is not an array is
// an error. Errors are those of [Context.Bind]. [Options.Validate] runs on each
// pointer that has an argument.
func (c *Context) Args(ptrs ...any) error {
	one := c.req.msg.Arity == adapter.ArityOne || c.req.msg.Arity == adapter.ArityUnknown && len(ptrs) == 1
	if one && len(ptrs) > 0 {
		return c.bound(bind.Value(c.req.msg.Data, ptrs[0]), ptrs[0])
	}
	n, err := bind.Elements(c.req.msg.Data, ptrs)
	return c.bound(err, ptrs[:n]...)
}

// Value returns the data together with the bytes that came with it, for forwarding.
// Reply, Emit, Call, and any value that contains it send it on unchanged: a Buffer
// of Socket.IO stays a Buffer, and numbers keep all their digits.
func (c *Context) Value() payload.Value { return c.req.msg.Data }

// Raw returns the data byte for byte as it came, or nil if there was none; null
// counts as data. A binary attachment appears as a base64 string, and would be sent
// on as one; to forward data use [Context.Value]. Raw's result must not be
// modified.
func (c *Context) Raw() json.RawMessage { return c.req.msg.Data.Raw() }

// Emit sends an event to this connection, with the meta of [Context.Context].
// Unlike [Conn.Emit] it waits if the client reads slower than this handler sends,
// for at most [Options.WriteTimeout]. See Conn.Emit for args and errors.
func (c *Context) Emit(event string, args ...any) error {
	return c.conn.emit(event, args, c.meta(), sendWait)
}

// Join adds the connection to rooms, see [Conn.Join].
func (c *Context) Join(rooms ...string) error { return c.conn.Join(rooms...) }

// Leave removes the connection from rooms, see [Conn.Leave].
func (c *Context) Leave(rooms ...string) { c.conn.Leave(rooms...) }

// To selects the connections in any of the rooms, except this one.
func (c *Context) To(rooms ...string) Target { return c.conn.To(rooms...) }

// Others selects all connections of this namespace, except this one.
func (c *Context) Others() Target { return c.conn.Others() }

// Conn returns the connection that the event arrived on.
func (c *Context) Conn() *Conn { return c.conn }

// Request returns the HTTP request with which the client connected, see
// [Conn.Request].
func (c *Context) Request() *http.Request { return c.conn.Request() }

// Logger returns [Options.Logger] with the connection's id, the namespace, and the
// event's name if it is registered.
func (c *Context) Logger() *slog.Logger {
	return c.router().app.opts.Logger.With("conn", c.conn.ID(), "namespace", c.router().name, "event", c.Route())
}

// Yield gives up the connection's turn: the next event is handled while this
// handler continues. Without Yield the events of a connection are handled one after
// another, in the order in which they arrive. Calling it again does nothing.
// [Stream] yields on its own, and [Concurrent] is middleware that yields first.
func (c *Context) Yield() { c.req.yield() }

func (c *Context) router() *Router { return c.conn.router }

// Concurrent is middleware for events whose order does not matter: their handlers
// run concurrently with those of later events, at most [Options.MaxOpen] at once.
func Concurrent(next HandlerFunc) HandlerFunc {
	return func(c *Context) error {
		c.Yield()
		return next(c)
	}
}
