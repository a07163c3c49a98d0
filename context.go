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

// Context is what the handler of one event sees. It is made for one event and
// never used again, so it may be kept after the handler returned; but then
// nothing can be replied any more. It is not a [context.Context], it has one.
//
// A Context belongs to its handler: it may be handed to other goroutines, and
// Emit, Join, Leave and the accessors are safe for concurrent use; Reply,
// Stream and Yield are meant for the one goroutine that handles the event.
type Context struct {
	conn *Conn
	msg  *adapter.Message
	ctx  context.Context // of WithContext; nil is the event's
	req  *request        // shared by the copies of WithContext and WithReply
	via  *replyStep      // of WithReply, the innermost middleware's first
}

// replyStep is what one middleware makes of replies, on their way out.
type replyStep struct {
	fn   func(any) (any, error)
	next *replyStep
}

// Context returns the event's context. It carries the values of the request's
// context and is canceled when the handler returns, the asker cancels, the
// connection goes, or [Options.HandlerTimeout] is over; [context.Cause] tells
// which. When the client closes, events that it sent before are still handled: their
// contexts end after [Options.HookTimeout] at the latest, and a stream's context
// ends at once.
func (c *Context) Context() context.Context {
	if c.ctx != nil {
		return c.ctx
	}
	return c.req.context()
}

// WithContext returns a copy with another context, for middleware. The copy
// answers the same event: at most one reply, whichever is used. Give it a
// context derived from [Context.Context]. When the handler fails, the line in the
// log is written with the context that was set last, and any trace it carries.
func (c *Context) WithContext(ctx context.Context) *Context {
	if ctx == nil {
		panic("wsrouter: nil context")
	}
	c2 := *c
	c2.ctx = ctx
	c.req.enter(ctx)
	return &c2
}

// Meta returns what the other side has sent beside the event's data under a key, as by
// [WithMeta], and "" if it has sent nothing there. It is the client's word: a traceparent
// need not be one. Over Socket.IO nothing comes; [Context.Request] has the headers of the
// handshake.
func (c *Context) Meta(key string) string { return meta.Get(c.msg.Meta, key) }

// metaKey is the context key of a json.RawMessage, as in [adapter.Message].
type metaKey struct{}

// WithMeta returns a context with which [Conn.Call], [Pull], [Conn.EmitContext] and their
// like send a value under a key beside the data, for what every event of a kind has: the
// trace (keys traceparent, tracestate and baggage, see https://www.w3.org/TR/trace-context
// and https://www.w3.org/TR/baggage), or a tenant. The other side reads it with
// [Context.Meta], and a browser's listener as request.meta.
//
// A handler's context carries on what came with its event: so does what is called with
// it, and what [Context.Emit] emits. To stop that, set "". Replies carry what
// [Response].Meta says, and emits to targets, which may be many, nothing.
//
// All keys and values of a context may have 1,024 bytes together, as a JSON object. A
// value that does not fit is left out. They are never logged. Socket.IO has no place for
// them: there nothing is sent.
func WithMeta(ctx context.Context, key, value string) context.Context {
	raw := metaOf(ctx)
	if value == "" && meta.Get(raw, key) == "" {
		return ctx
	}
	return context.WithValue(ctx, metaKey{}, meta.With(raw, key, value))
}

// metaOf returns what is sent with a context.
func metaOf(ctx context.Context) json.RawMessage {
	m, _ := ctx.Value(metaKey{}).(json.RawMessage)
	return m
}

// meta is metaOf of the context, which is not made for it.
func (c *Context) meta() json.RawMessage {
	if c.ctx == nil {
		return c.msg.Meta
	}
	return metaOf(c.ctx)
}

// WithReply returns a copy of which every reply, and every item of a stream, is what
// fn makes of it, for middleware:
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
// fn gets what was given to [Context.Reply], or is the next item: any value, [Args],
// or a [Response], never a pointer to one, and it may return any of these. If there
// are several functions, that of the outermost middleware runs last. fn does not see
// errors, nor the empty answer to a request without a reply. If fn returns an error,
// nothing is sent: the handler gets that error, and it becomes the event's error
// unless the handler returns another one.
func (c *Context) WithReply(fn func(any) (any, error)) *Context {
	if fn == nil {
		panic("wsrouter: nil function")
	}
	c2 := *c
	c2.via = &replyStep{fn, c.via}
	return &c2
}

// passed is what middleware makes of a reply or an item.
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

// Event returns the event's name as the client sent it. Only in a NotFound
// handler it is a name that was not registered.
func (c *Context) Event() string { return c.msg.Event }

// Route returns the name that the event's handler is registered under, empty in a
// NotFound handler. In contrast to Event it is a name of ours, for logs and as a label
// of metrics.
func (c *Context) Route() string {
	if c.router().routes[c.msg.Event] == nil {
		return "" // a name that a stranger made up
	}
	return c.msg.Event
}

// Kinds of events, see [Context.Kind].
const (
	KindEvent   = "event"   // nobody waits for an answer
	KindRequest = "request" // the client waits for one
	KindStream  = "stream"  // it is answered by a stream
)

// Kind returns whether the client waits for an answer, KindRequest or KindEvent; or,
// from when [Stream] or [StreamSeq] was called until the event is over, KindStream.
func (c *Context) Kind() string {
	c.conn.mu.Lock()
	_, streaming := c.conn.streams[c.req]
	c.conn.mu.Unlock()
	switch {
	case streaming:
		return KindStream
	case c.msg.ID != "":
		return KindRequest
	}
	return KindEvent
}

// Bind stores the event's data in v, a pointer, as [json.Unmarshal] does. Several
// arguments, which Socket.IO has, are bound as an array. No data, like null,
// leaves v as it is.
//
// Data of the wrong shape is a *[WsError] that names the field and what was
// expected there; return it, and the client is told. [Options.Validate] is run
// on v at last.
func (c *Context) Bind(v any) error {
	return c.bound(bind.Value(c.msg.Data, v), v)
}

// bound is the outcome of storing data in v.
func (c *Context) bound(err error, v ...any) error { return c.router().bound(err, v...) }

// Field stores one field of the data in v, a pointer. The path has names
// separated by dots, "user.id"; unlike encoding/json's they are case-sensitive.
// A field that is not there is a *[WsError], as is one of the wrong shape; one
// that is null leaves v as it is. [Options.Validate] is run on v.
func (c *Context) Field(path string, v any) error {
	return c.bound(bind.Field(c.msg.Data, path, v), v)
}

// Args stores the event's arguments in the pointers, one each. A pointer without an
// argument is left as it is, and an argument without a pointer is ignored. The plain
// protocol cannot tell several arguments from one array: there two or more pointers
// take the elements of an array, and data that is no array is an error. Errors are
// those of [Context.Bind]. [Options.Validate] is run on each pointer that has an
// argument.
func (c *Context) Args(ptrs ...any) error {
	one := c.msg.Arity == adapter.ArityOne || c.msg.Arity == adapter.ArityUnknown && len(ptrs) == 1
	if one && len(ptrs) > 0 {
		return c.bound(bind.Value(c.msg.Data, ptrs[0]), ptrs[0])
	}
	n, err := bind.Elements(c.msg.Data, ptrs)
	return c.bound(err, ptrs[:n]...)
}

// Value returns the data with the bytes that came with it, to be forwarded: Reply,
// Emit, Call, and a value that has it as a part send it on unchanged, a Buffer of
// Socket.IO as a Buffer and numbers with all their digits.
func (c *Context) Value() payload.Value { return c.msg.Data }

// Raw returns the data as it came, byte for byte, or nil if there was none:
// null is not none. A binary attachment is a base64 string in it, and would stay
// one if Raw was sent on: forward [Context.Value] instead. It must not be modified.
func (c *Context) Raw() json.RawMessage { return c.msg.Data.Raw() }

// Emit sends an event to this connection, with the meta of [Context.Context]. In contrast to [Conn.Emit] it waits
// when the client reads slower than this handler sends, at most for
// [Options.WriteTimeout]. See Conn.Emit for args and errors.
func (c *Context) Emit(event string, args ...any) error {
	return c.conn.emit(event, args, c.meta(), sendWait)
}

// Join adds the connection to rooms, see [Conn.Join].
func (c *Context) Join(rooms ...string) error { return c.conn.Join(rooms...) }

// Leave takes the connection out of rooms, see [Conn.Leave].
func (c *Context) Leave(rooms ...string) { c.conn.Leave(rooms...) }

// To selects the connections in any of the rooms, without this one.
func (c *Context) To(rooms ...string) Target { return c.conn.To(rooms...) }

// Others selects everyone in this namespace but this connection.
func (c *Context) Others() Target { return c.conn.Others() }

// Conn returns the connection that the event came over.
func (c *Context) Conn() *Conn { return c.conn }

// Request returns the HTTP request with which the client connected.
func (c *Context) Request() *http.Request { return c.conn.Request() }

// Logger returns [Options.Logger] with the connection's id, the namespace and
// the event's registered name.
func (c *Context) Logger() *slog.Logger {
	return c.router().app.opts.Logger.With("conn", c.conn.ID(), "namespace", c.router().name, "event", c.Route())
}

// Yield gives up the connection's turn: its next event is handled while this
// handler goes on. Without it the events of a connection are handled one after
// another, in the order in which they arrived. Calling it again does nothing.
// [Concurrent] is middleware that yields first; [Stream] yields by itself.
func (c *Context) Yield() { c.req.yield() }

func (c *Context) router() *Router { return c.conn.router }

// Concurrent is middleware for events whose order does not matter: their
// handlers run beside those of later events, at most [Options.MaxOpen] at once.
func Concurrent(next HandlerFunc) HandlerFunc {
	return func(c *Context) error {
		c.Yield()
		return next(c)
	}
}
