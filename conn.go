package wsrouter

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"
)

// Conn is one client in one namespace. All its methods are safe for concurrent
// use, and it may be kept for as long as one likes: after the client has gone,
// emits and calls fail with a *[CloseError].
type Conn struct {
	id     string
	link   *Link
	router *Router
	format Format
	auth   json.RawMessage
	born   time.Time
	ctx    context.Context
	cancel context.CancelCauseFunc
	values sync.Map // of Key
	ended  chan struct{}

	connecting *exchange // stands for OnConnect in running, until that has let it in

	// Guarded by Link.mu.
	inbox     inbox
	turn      bool        // some goroutine has the turn
	running   []*exchange // handlers that have not returned, OnConnect among them
	streaming map[*exchange]struct{}
	idle      chan struct{} // closed when nothing runs or waits; nil if nobody asked
	live      bool          // OnConnect has let it in
	held      []Frame       // emitted before that
	heldBytes int
	draining  bool        // nothing new is handled
	ce        *CloseError // how, once it is leaving
	leaving   bool        // it is closed; its link may go on
	parting   bool        // the client has left, but what it sent before is still answered
	ending    bool        // end has been called
	open      map[string]*exchange
	calls     map[string]*call
	lastID    uint64

	presence presence
}

const (
	idBytes = 15
	idChars = idBytes * 4 / 3
	idMark  = '~' // in the place of the first character, so that no id of Node.js is one of ours
)

func newID() string {
	var random [idBytes]byte
	rand.Read(random[:])
	var id [idChars]byte
	base64.RawURLEncoding.Encode(id[:], random[:])
	id[0] = idMark
	return string(id[:])
}

// isID reports whether it could be the id of a connection, of whatever node.
func isID(name string) bool {
	return len(name) == idChars && name[0] == idMark && !strings.ContainsFunc(name[1:], notBase64)
}

func notBase64(r rune) bool {
	return !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || r == '-' || r == '_')
}

// ID returns the connection's id: "~" and 19 random characters, which are letters,
// digits, - and _, so that it is safe in a URL. It is also the name of a room that
// only this connection is in. It is no secret.
func (c *Conn) ID() string { return c.id }

// Router returns the namespace.
func (c *Conn) Router() *Router { return c.router }

// Request returns the HTTP request with which the client connected. Its body is
// gone, and its context is over; use [Conn.Context].
func (c *Conn) Request() *http.Request { return c.link.request }

// Context returns the connection's context: the values of the request's, as set
// by HTTP middleware, without its end. It is cancelled when the connection goes,
// and its [context.Cause] is then a *[CloseError].
func (c *Conn) Context() context.Context { return c.ctx }

// Auth stores the connect payload in v, a pointer: Socket.IO's auth, or on the
// plain protocol the first frame where [WSOptions.AuthFrame] wants one. Without
// a payload v is left as it is. The error is a *[WsError] as of [Context.Bind].
func (c *Conn) Auth(v any) error {
	if c.auth == nil {
		return nil
	}
	return prefixField("auth", decode(c.auth, v))
}

// Emit sends an event to this connection. Arguments are encoded as JSON before
// Emit returns: none sends no data, one is the data, several are an array.
//
// Emit never waits. If the client has not read what was sent to it before, up to
// [Options.OutboxBytes], it is closed as slow. So the error says that an
// argument cannot be encoded or that the name is reserved, or it is a
// *[CloseError] as the connection has gone. What is emitted in OnConnect is held
// until that lets the client in. A nil error is no receipt: use [Conn.Call] to
// know that a message has arrived.
func (c *Conn) Emit(event string, args ...any) error { return c.emit(event, args, sendNow) }

func (c *Conn) emit(event string, args []any, mode sendMode) error {
	if c.link.client {
		mode = sendWait // there is no one else whom that could keep
	}
	if err := checkEvent(event); err != nil {
		return err
	}
	return c.send(&Message{Kind: KindEvent, Event: event, Args: args}, mode)
}

// checkEvent refuses names that no client could receive.
func checkEvent(event string) error {
	if event == "" || reserved[event] && event != exception {
		return fmt.Errorf("wsrouter: event name %q is reserved", event)
	}
	return nil
}

func encodeError(event string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("wsrouter: encode %q: %w", event, err)
}

// send encodes a message and queues it.
func (c *Conn) send(m *Message, mode sendMode) error {
	f, err := c.format.Encode(m)
	if err != nil {
		return encodeError(m.Event, err)
	}
	return c.sendFrame(f, mode)
}

func (c *Conn) sendFrame(f Frame, mode sendMode) error {
	c.link.mu.Lock()
	err := c.sendFrameLocked(f, mode)
	c.link.mu.Unlock()
	return c.link.sent(err)
}

func (c *Conn) sendFrameLocked(f Frame, mode sendMode) error {
	l := c.link
	switch {
	case l.ce != nil || c.leaving && !(c.parting && mode.waits()):
		return c.goneLocked()
	case f.empty():
		return nil
	case c.live || l.client:
		l.app.counters.eventsOut.Add(1)
		return l.sendLocked(f, mode)
	}
	size := f.size() + frameOverhead
	if c.heldBytes > 0 && c.heldBytes+size > l.app.opts.OutboxBytes {
		return errors.New("wsrouter: too much emitted in OnConnect")
	}
	c.held = append(c.held, f)
	c.heldBytes += size
	return nil
}

// goneError says how the connection ended.
func (c *Conn) goneError() error {
	c.link.mu.Lock()
	defer c.link.mu.Unlock()
	return c.goneLocked()
}

func (c *Conn) goneLocked() error {
	if c.link.ce != nil || c.ce == nil {
		return c.link.ce
	}
	return c.ce // of this namespace only
}

// Join adds the connection to rooms. In OnConnect that takes effect when the
// client is let in. It fails with a *[CloseError] for a connection that has gone,
// and with a *[WsError], which a handler may return, beyond [Options.MaxRooms] and
// for a name that is empty, longer than [Options.MaxName], or looks like the [Conn.ID]
// of another connection, whether there is one or not. It has then joined the rooms that
// were named before. Prefix names that clients choose ("room:"+name), so that they
// cannot name a room of yours.
func (c *Conn) Join(rooms ...string) error {
	err := c.router.hub.join(c, rooms)
	if err == errForgotten {
		return fmt.Errorf("wsrouter: join: %w", c.goneError())
	}
	return err
}

// Leave takes the connection out of rooms. Its own it cannot leave.
func (c *Conn) Leave(rooms ...string) {
	set := namesOf(rooms)
	c.router.hub.leave(c, &set)
}

// Rooms returns the names of the rooms that the connection is in, without its
// own, sorted. They can still be read in OnDisconnect.
func (c *Conn) Rooms() []string { return c.presence.list() }

// SetData sets what [Target.Find] shows of the connection, encoded as JSON: who
// it is, say, for lists of who is there. The error says why v cannot be encoded.
func (c *Conn) SetData(v any) error {
	data, err := AppendJSON(nil, v)
	if err != nil {
		return fmt.Errorf("wsrouter: SetData: %w", err)
	}
	c.presence.setData(data)
	return nil
}

// To selects the connections in any of the rooms, without this one.
func (c *Conn) To(rooms ...string) Target { return c.router.To(rooms...).Except(c.id) }

// Others selects everyone in this namespace but this connection.
func (c *Conn) Others() Target { return c.router.Except(c.id) }

// Close ends the connection: what was sent before is still delivered, then the
// client is told code and reason (at most 123 bytes of it), and what it has sent
// is not handled any more. On a link with several namespaces it is just this
// namespace that the client leaves, and the code is lost. Close does not wait;
// OnDisconnect will tell. Closing again does nothing.
//
// The code is 1000, or 3000 to 4999 for the application's own; codes that RFC
// 6455 does not let an endpoint send are an error, and nothing happens.
func (c *Conn) Close(code int, reason string) error {
	if !sendableCode(code) {
		return fmt.Errorf("wsrouter: close code %d cannot be sent", code)
	}
	c.close(&CloseError{Code: code, Reason: reason, Cause: CauseLocal})
	return nil
}

// Key names a value of type T that is kept with a connection. Make one per value
// with [NewKey], as a package variable; it is safe for concurrent use.
//
//	var userKey = wsrouter.NewKey[User]("user")
//
//	userKey.Set(conn, user)       // in OnConnect
//	user, ok := userKey.Get(conn) // in a handler
type Key[T any] struct{ name string }

// NewKey returns a new key, different from all others; the name is for debugging.
func NewKey[T any](name string) *Key[T] { return &Key[T]{name} }

// Get returns the connection's value for the key, and whether it was set.
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
