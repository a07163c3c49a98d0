package wsrouter

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/wsrouter/wsrouter/adapter"
	"github.com/wsrouter/wsrouter/internal/bind"
	"github.com/wsrouter/wsrouter/internal/handshake"
	"github.com/wsrouter/wsrouter/internal/lane"
	"github.com/wsrouter/wsrouter/internal/lazy"
	"github.com/wsrouter/wsrouter/internal/outbox"
	"github.com/wsrouter/wsrouter/internal/plain"
	"github.com/wsrouter/wsrouter/internal/rooms"
	"github.com/wsrouter/wsrouter/payload"
)

// Conn is one client in one namespace. All methods are safe for concurrent use. A
// Conn may be kept for any length of time: after the connection has ended, emits
// and calls fail with a *[CloseError].
type Conn struct {
	router    *Router
	format    adapter.Format
	born      time.Time
	base      context.Context // has the values of the request's context
	ctx       lazy.Context
	values    sync.Map // by Key
	member    rooms.Member[*Conn]
	lane      lane.Lane[*request]
	session   *session   // nil if it ends with its link
	done      lazy.Latch // closed when the connection begins to leave
	ended     lazy.Latch // closed when OnDisconnect has returned
	producers lazy.Group // those that go on although their streams have ended

	dialed bool        // this side has dialed
	ending atomic.Bool // somebody runs end

	mu      sync.Mutex // guards everything below, and the state of its requests
	phase   connPhase
	guard   guardPhase
	link    *link // while it is away, the link that it had
	request *handshake.Request
	auth    json.RawMessage
	ce      *CloseError         // how it leaves
	data    int                 // bytes kept by SetData
	open    map[string]*request // those that the client may cancel, by its ids
	streams map[*request]struct{}
	calls   map[string]*call
	lastID  uint64
	arrival *arrival // nil when the guard has decided
}

// ID returns the connection's id, "~" and 19 random URL-safe characters. It is also
// the name of a room that only this connection is in. It is not a secret.
func (c *Conn) ID() string { return c.member.ID }

// ConnectedAt returns the time at which the client connected, taken before
// OnConnect is called. It stays the same when the client resumes, see
// [Options.Recovery].
func (c *Conn) ConnectedAt() time.Time { return c.born }

// Router returns the namespace of the connection.
func (c *Conn) Router() *Router { return c.router }

// Request returns the HTTP request with which the client has connected or, with
// [Options.Recovery], last come back. Its body is gone, and its context is not that
// of the connection; use [Conn.Context].
func (c *Conn) Request() *http.Request {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.request.HTTP()
}

// Transport returns the name of what the connection runs over: "websocket",
// "polling", or "memory" for [Router.Connect]; other adapters have other names, or
// "". It changes when a Socket.IO client upgrades from polling to WebSocket. After
// the connection has ended it is the last one.
func (c *Conn) Transport() string {
	if n, ok := c.currentLink().transport.(adapter.Named); ok {
		return n.Name()
	}
	return ""
}

// Context returns the connection's context. It has the values of the request's
// context, such as those set by HTTP middleware, but does not end with it. It is
// canceled when the connection ends; its [context.Cause] is then a *[CloseError].
func (c *Conn) Context() context.Context {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.guard != guardPending {
		return c.ctx.Get(c.base)
	}
	a := c.arrival
	if a.ctx == nil {
		a.ctx, a.cancel = context.WithCancelCause(c.ctx.Get(c.base))
		if c.ce != nil {
			a.cancel(c.ce)
		}
	}
	return a.ctx
}

// Auth stores the connect payload in v, a pointer: Socket.IO's auth or, on the
// plain protocol, the first frame if [WSOptions.AuthFrame] requires one. Without a
// payload, and after the connection has ended, v is left unchanged. The error is a
// *[WsError] as for [Context.Bind]. [Options.Validate] runs on v.
func (c *Conn) Auth(v any) error {
	c.mu.Lock()
	auth := c.auth
	c.mu.Unlock()
	if auth == nil {
		return nil
	}
	return c.router.bound(bind.Named("auth", payload.Value{JSON: auth}, v), v)
}

// Emit sends an event to this connection. The arguments are encoded as JSON before
// Emit returns: no argument means no data, one argument is the data, and several
// are sent as an array.
//
// Emit never waits: if more than [Options.OutboxBytes] would be queued for the
// client, the client is closed as slow. In OnConnect what is emitted is held until
// OnConnect lets the client in; if it exceeds OutboxBytes the client is refused.
//
// Emit returns an error if an argument cannot be encoded, or if the name is empty,
// reserved or not UTF-8, and a *[CloseError] if the connection has ended. JSON that
// is not UTF-8 cannot be encoded; invalid bytes in a string become U+FFFD, as with
// encoding/json. A nil error does not mean that the message has arrived; use
// [Conn.Call] to know that.
func (c *Conn) Emit(event string, args ...any) error { return c.emit(event, args, nil, sendNow) }

// EmitContext is Emit with the meta of ctx, see [WithMeta]. It emits even if ctx
// has ended.
func (c *Conn) EmitContext(ctx context.Context, event string, args ...any) error {
	return c.emit(event, args, metaOf(ctx), sendNow)
}

func (c *Conn) emit(event string, args []any, meta json.RawMessage, mode sendMode) error {
	if err := checkEvent(event); err != nil {
		return err
	}
	return c.send(&adapter.Message{Kind: adapter.KindEvent, Event: event, Args: args, Meta: meta}, mode)
}

// checkEvent rejects names that no client could receive.
func checkEvent(event string) error {
	if event == "" || reserved[event] && event != plain.Exception {
		return fmt.Errorf("wsrouter: event name %q is reserved", event)
	}
	if !utf8.ValidString(event) {
		return fmt.Errorf("wsrouter: event name %q is not valid UTF-8", event)
	}
	return nil
}

func encodeError(event string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("wsrouter: encode %q: %w", event, err)
}

// sendMode says what a sender does when the outbox is full.
type sendMode uint8

const (
	sendWait     sendMode = iota // wait for space in the first half
	sendNow                      // never wait: the client is slow
	sendVolatile                 // drop the frame
	sendReply                    // like sendWait, and probably nothing follows
	sendCast                     // like sendNow, from a Target
)

func (mode sendMode) waits() bool { return mode == sendWait || mode == sendReply }

// send encodes a message and puts it into the outbox.
func (c *Conn) send(m *adapter.Message, mode sendMode) error {
	f, err := c.format.Encode(m)
	if err != nil {
		return encodeError(m.Event, err)
	}
	return c.put(f, mode)
}

// placed says where a frame went. [Conn.placed] then does what cannot be done while
// holding the lock.
type placed struct {
	frame   adapter.Frame
	link    *link // nil if the frame is held or kept, or nothing is sent
	outcome outbox.Outcome
	space   <-chan struct{} // closed when trying again may help
	needs   need            // what space waits for
}

// need is what a sender waits for.
type need uint8

const (
	needSpace  need = iota // space in the outbox: WriteTimeout
	needReturn             // the return of a client that is away: Recovery.Window
	needAck                // an acknowledgment: WriteTimeout; after that nobody waits for it
)

// put sends a frame. Only sendWait and sendReply block, see need.
func (c *Conn) put(f adapter.Frame, mode sendMode) error {
	c.mu.Lock()
	p, err := c.putLocked(f, mode)
	c.mu.Unlock()
	return c.placed(f, mode, p, err)
}

// putLocked is the only way out: whatever goes to the client passes through it.
func (c *Conn) putLocked(f adapter.Frame, mode sendMode) (p placed, err error) {
	switch {
	case c.phase == connLive, c.phase == connAway, c.phase == connConnecting && c.dialed:
	case c.phase == connConnecting && f.IsZero():
		return placed{}, nil
	case c.phase == connConnecting:
		if err := c.arrival.hold(f, mode, c.router.app.opts.OutboxBytes); err != nil {
			return placed{}, err
		}
		c.link.bytes.Out(f.Held())
		return placed{}, nil
	case c.phase == connParting && mode.waits(): // requests made before that are still answered
	default:
		return placed{}, c.ce
	}
	if f.IsZero() {
		return placed{}, nil
	}
	if c.session != nil {
		return c.session.put(c, f, mode)
	}
	p.frame, p.link = f, c.link
	p.outcome, p.space = p.link.out.Put(f, c.outboxMode(mode))
	return p, nil
}

func (c *Conn) outboxMode(mode sendMode) outbox.Mode {
	switch mode {
	case sendReply:
		if !c.link.bytes.Waiting() {
			return outbox.Direct
		}
		fallthrough
	case sendWait:
		return outbox.Wait
	}
	return outbox.Now
}

// placed finishes after a frame was put into the outbox, or could not be.
func (c *Conn) placed(f adapter.Frame, mode sendMode, p placed, err error) error {
	switch {
	case err == errHeldFull:
		return c.heldFull(mode)
	case err == errTailFull:
		c.lapse(nil)
		return c.gone()
	case err != nil, p.link == nil && p.frame.IsZero():
		return err
	}
	counters := &c.router.app.counters
	switch {
	case p.link == nil: // kept, and sent when the client is back
		counters.eventsOut.Add(1)
		return nil
	case p.outcome != outbox.Full:
		counters.eventsOut.Add(1)
		return p.link.putDone(p.frame, p.outcome)
	case mode == sendVolatile:
		c.router.app.dropped(p.link, 1)
		return nil
	case !mode.waits():
		return p.link.putDone(p.frame, p.outcome)
	}
	return c.putWaiting(f, mode, p)
}

// putWaiting tries again whenever there may be space.
func (c *Conn) putWaiting(f adapter.Frame, mode sendMode, p placed) error {
	timeout := time.NewTimer(c.router.app.opts.WriteTimeout)
	defer timeout.Stop()
	for p.outcome == outbox.Full {
		if p.needs == needReturn {
			<-p.space // bounded by Recovery.Window
			timeout.Reset(c.router.app.opts.WriteTimeout)
		}
		select {
		case <-p.space:
		case <-timeout.C:
			if p.needs != needAck {
				return p.link.putDone(f, outbox.Full)
			}
			c.ignore()
			timeout.Reset(c.router.app.opts.WriteTimeout)
		}
		c.mu.Lock()
		next, err := c.putLocked(f, mode)
		c.mu.Unlock()
		if err != nil || next.link == nil {
			return c.placed(f, mode, next, err)
		}
		p = next
	}
	return c.placed(f, mode, p, nil)
}

// owns reports whether ce is the end of this connection, and not of another one.
func (c *Conn) owns(ce *CloseError) bool {
	c.mu.Lock()
	l, own := c.link, ce == c.ce
	c.mu.Unlock()
	return ce != nil && (own || l.owns(ce))
}

// currentLink returns the link that the connection has.
func (c *Conn) currentLink() *link {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.link
}

// gone returns how the connection leaves, or nil if it does not.
func (c *Conn) gone() error {
	if ce := c.leaves(); ce != nil {
		return ce
	}
	return nil
}

// Join adds the connection to rooms. In OnConnect this takes effect when the client
// is let in. It returns a *[CloseError] if the connection has ended, and a
// *[WsError], which a handler may return, if there would be more than
// [Options.MaxRooms] rooms, or if a name is empty, longer than [Options.MaxName],
// or has the form of a connection's id. If clients choose names, add a prefix
// ("room:"+name), so that they cannot name a room of yours.
func (c *Conn) Join(names ...string) error {
	opts := &c.router.app.opts
	switch err := c.router.app.join(c, names); err {
	case rooms.ErrGone:
		return fmt.Errorf("wsrouter: join: %w", c.gone())
	case rooms.ErrName:
		return NewError(fmt.Sprintf("a room's name must have 1 to %d bytes", opts.MaxName)).WithCode(CodeInvalid)
	case rooms.ErrID:
		return NewError("a room's name must not be another connection's id").WithCode(CodeInvalid)
	case rooms.ErrTooMany:
		return NewError(fmt.Sprintf("more than %d rooms", opts.MaxRooms)).WithCode(CodeTooMany)
	}
	return nil
}

// Leave removes the connection from rooms. It cannot leave the room named by its
// id.
func (c *Conn) Leave(rooms ...string) { c.router.app.leave(c, rooms) }

// Rooms returns the names of the rooms that the connection is in, sorted, without
// the one named by its id. In OnDisconnect they can still be read.
func (c *Conn) Rooms() []string { return c.member.Rooms() }

// SetData sets the data that [Target.Find] returns for the connection, encoded as
// JSON: for example who it is, for lists of who is online. The error says why v
// cannot be encoded, or that the connection has ended.
func (c *Conn) SetData(v any) error {
	data, err := payload.AppendJSON(nil, v)
	if err != nil {
		return fmt.Errorf("wsrouter: SetData: %w", err)
	}
	if !c.keepData(data) {
		return fmt.Errorf("wsrouter: SetData: %w", c.gone())
	}
	c.router.app.relieve()
	return nil
}

// keepData stores and counts the data of SetData in one step, so that with
// concurrent calls the data shown is the data counted. It reports false if the
// connection has ended.
func (c *Conn) keepData(data []byte) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.phase == connEnded {
		return false
	}
	c.link.bytes.Keep(len(data) - c.data)
	c.data = len(data)
	c.member.SetData(data)
	return true
}

// To selects the connections in any of the rooms, except this one.
func (c *Conn) To(rooms ...string) Target { return c.router.To(rooms...).Except(c.ID()) }

// Others selects all connections of this namespace, except this one.
func (c *Conn) Others() Target { return c.router.Except(c.ID()) }

// Close ends the connection. Events of the client that still wait are discarded,
// what was sent to the client before is still delivered, and then the client is
// told code and reason. The reason is cut to 123 bytes, and invalid UTF-8 in it is
// replaced by U+FFFD. Close does not wait; OnDisconnect runs when the connection
// has ended. Closing again does nothing.
//
// A Socket.IO client may be in several namespaces over one transport. Then it
// leaves only this one, is not told the code, and does not come back on its own.
// With 1011, 1012, 1013 and [CloseResume], which ask a client to come back, the
// whole transport ends.
//
// Use 1000, or a code from 3000 to 4999. If RFC 6455 does not let an
// endpoint send the code, Close returns an error and does nothing.
func (c *Conn) Close(code int, reason string) error {
	if err := checkCode(code); err != nil {
		return err
	}
	c.close(&CloseError{Code: code, Reason: reason, Cause: CauseLocal})
	return nil
}

// CloseTransport is Close for everything the client has on this transport: the
// client leaves each of its namespaces, and then the transport ends. Socket.IO
// calls that disconnect(true). If there is only one namespace, it is the same as
// Close.
func (c *Conn) CloseTransport(code int, reason string) error {
	if err := checkCode(code); err != nil {
		return err
	}
	ce := &CloseError{Code: code, Reason: reason, Cause: CauseLocal}
	l := c.currentLink()
	for _, other := range l.conns() {
		other.close(ce)
	}
	l.close(ce)
	return nil
}

func (c *Conn) log(level slog.Level, msg string, attrs ...slog.Attr) {
	if c.dialed {
		level = min(level, slog.LevelDebug) // the server logs it
	}
	if !c.router.app.opts.Logger.Enabled(c.base, level) {
		return
	}
	if !c.dialed {
		l := c.currentLink()
		ok, leftOut := l.lines.Take(l.bytesIn.Load() + l.bytesOut.Load())
		if !ok {
			return
		}
		if leftOut > 0 {
			attrs = append(attrs, slog.Int64("lines_left_out", leftOut))
		}
	}
	attrs = append([]slog.Attr{slog.String("conn", c.ID()), slog.String("namespace", c.router.name)}, attrs...)
	c.router.app.opts.Logger.LogAttrs(c.base, level, msg, attrs...)
}

// Key names a value of type T that is kept with a connection. Make one for each
// value with [NewKey], as a package variable. Its methods are safe for concurrent
// use.
//
//	var userKey = wsrouter.NewKey[User]("user")
//
//	userKey.Set(conn, user)       // in OnConnect
//	user, ok := userKey.Get(conn) // in a handler
type Key[T any] struct{ name string }

// NewKey returns a new key, different from all others. The name is for debugging.
func NewKey[T any](name string) *Key[T] { return &Key[T]{name} }

// Get returns the connection's value for the key, and whether it has been set.
func (k *Key[T]) Get(c *Conn) (T, bool) {
	v, ok := c.values.Load(k)
	if !ok {
		var zero T
		return zero, false
	}
	return *v.(*T), true
}

// Set stores the connection's value for the key.
func (k *Key[T]) Set(c *Conn, v T) { c.values.Store(k, &v) }

// String returns the key's name.
func (k *Key[T]) String() string { return k.name }
