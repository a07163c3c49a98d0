package wsrouter

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"slices"

	"github.com/wsrouter/wsrouter/internal/socket"
)

// Target selects connections of a namespace to send to. It is a value: each
// method returns a changed copy, so a Target may be kept and used concurrently.
// What it selects is looked up when it is used.
type Target struct {
	router   *Router
	some     bool // the rooms only, not everyone
	rooms    []string
	except   []string
	volatile bool
	local    bool
}

// To adds the connections in any of the rooms. Without rooms it adds nobody: a
// Target of no rooms selects nobody.
func (t Target) To(rooms ...string) Target {
	t.some = true
	t.rooms = append(slices.Clip(t.rooms), rooms...)
	return t
}

// Except takes out the connections that are in any of the rooms.
func (t Target) Except(rooms ...string) Target {
	t.except = append(slices.Clip(t.except), rooms...)
	return t
}

// Volatile makes an Emit drop its frame, counted in [Stats], for a client whose
// outbox is full, instead of closing that client as slow.
func (t Target) Volatile() Target {
	t.volatile = true
	return t
}

// Local keeps the Target to the connections of this process, where
// [Options.Broker] joins several.
func (t Target) Local() Target {
	t.local = true
	return t
}

// Emit sends an event to each selected connection, once. It encodes the
// arguments, once for each wire format, and queues them; it never waits for a
// client, nor for other nodes. The error says that an argument cannot be encoded
// or that the name is reserved, and then nobody was sent anything; that there was
// nobody to send to is no error, nor that other nodes were not reached, which
// [Stats] count. See [Conn.Emit] for args and for clients that do not read.
func (t Target) Emit(event string, args ...any) error {
	if err := checkEvent(event); err != nil {
		return err
	}
	if !t.elsewhere() {
		return t.emit(event, args)
	}
	encoded, err := encodeArgs(args)
	if err != nil {
		return encodeError(event, err)
	}
	if err := t.emit(event, anys(encoded)); err != nil {
		return err
	}
	err = t.publish(Operation{Kind: OpEmit, Event: event, Args: encoded})
	if errors.Is(err, ErrUnreached) {
		return nil
	}
	return err
}

// emit sends to the connections of this process.
func (t *Target) emit(event string, args []any) error {
	m := &Message{Kind: KindEvent, Event: event, Args: args}
	mode := sendNow
	if t.volatile {
		mode = sendVolatile
	}
	conns := t.router.hub.find(t)
	if len(conns) == 0 {
		_, err := JSON.Encode(m) // a mistake shows however many listen
		return encodeError(event, err)
	}
	frames := make(map[Format]Frame, 1)
	for i, c := range conns {
		if i > 0 && c.format == conns[i-1].format {
			continue
		}
		if _, ok := frames[c.format]; ok {
			continue
		}
		f, err := c.format.Encode(m)
		if err != nil {
			return encodeError(event, err)
		}
		if len(f.Text) >= socket.CompressAt {
			f.shared = new(socket.Shared)
		}
		frames[c.format] = f
	}
	broadcast(conns, frames, mode)
	return nil
}

// Answer is what one client made of a [Target.Call].
type Answer struct {
	ID  string          // the connection's
	Raw json.RawMessage // the data of its answer; nil if there was none
	Err error           // as of Conn.Call

	data Encoded // Raw with what came as bytes
}

// Bind stores the answer's data in v, a pointer, or returns Err.
func (a Answer) Bind(v any) error {
	if a.Err != nil {
		return a.Err
	}
	return a.data.bind(v)
}

// Call sends a request to each selected connection of this process, and returns
// the answers in the order in which they came. Clients that failed to answer, or
// went away, are among them with an Err. If ctx ends first the answers that came
// are returned together with its error; nothing waits for the others any more.
// An argument that cannot be encoded is an error, too. A nil in sends no data.
func (t Target) Call(ctx context.Context, event string, in any) ([]Answer, error) {
	if in != nil {
		encoded, err := Encode(in)
		if err != nil {
			return nil, encodeError(event, err)
		}
		in = encoded // once, however many there are
	}
	if err := checkEvent(event); err != nil {
		return nil, err
	}
	conns := t.router.hub.find(&t)
	came := make(chan Answer, len(conns))
	for _, c := range conns {
		go func() {
			a := Answer{ID: c.id}
			a.data, a.Err = c.ask(ctx, event, in)
			a.Raw = a.data.raw()
			came <- a
		}()
	}
	answers := make([]Answer, 0, len(conns))
	for range conns {
		if a := <-came; a.Err == nil || ctx.Err() == nil {
			answers = append(answers, a)
		}
	}
	if len(answers) < len(conns) {
		return answers, fmt.Errorf("wsrouter: call %q: %d of %d answered: %w", event, len(answers), len(conns), ctx.Err())
	}
	return answers, nil
}

// Join adds the selected connections to rooms, see [Conn.Join]. Connections that
// cannot join are passed over; the error is the first of theirs on this process,
// or wraps [ErrUnreached].
func (t Target) Join(rooms ...string) error {
	var first error
	for _, c := range t.router.hub.find(&t) {
		if err := c.Join(rooms...); err != nil && first == nil {
			first = err
		}
	}
	return errors.Join(first, t.publish(Operation{Kind: OpJoin, Rooms: rooms}))
}

// Leave takes the selected connections out of rooms. The error wraps
// [ErrUnreached].
func (t Target) Leave(rooms ...string) error {
	for _, c := range t.router.hub.find(&t) {
		c.Leave(rooms...)
	}
	return t.publish(Operation{Kind: OpLeave, Rooms: rooms})
}

// Disconnect closes the selected connections as [Conn.Close] does. The error
// says that the code cannot be sent, and nothing has happened, or wraps
// [ErrUnreached]. A Broker may lose code and reason.
func (t Target) Disconnect(code int, reason string) error {
	if !sendableCode(code) {
		return fmt.Errorf("wsrouter: close code %d cannot be sent", code)
	}
	for _, c := range t.router.hub.find(&t) {
		c.Close(code, reason)
	}
	return t.publish(Operation{Kind: OpDisconnect, Code: code, Reason: reason})
}

// Member is a connection as [Target.Find] sees it.
type Member struct {
	ID    string
	Rooms []string        // sorted, without its own
	Data  json.RawMessage // what Conn.SetData has set; nil if nothing
}

// Find returns the selected connections, in no order. Where a Broker's nodes did
// not all answer in time, at the latest when ctx ends, the error wraps
// [ErrUnreached], and those who were found are returned together with it.
func (t Target) Find(ctx context.Context) ([]Member, error) {
	conns := t.router.hub.find(&t)
	members := make([]Member, len(conns))
	for i, c := range conns {
		members[i] = t.router.hub.member(c)
	}
	found, err := t.findElsewhere(ctx)
	return append(members, found...), err
}

// Conns iterates over the selected connections of this process, as they were when
// the loop began, in no order.
func (t Target) Conns() iter.Seq[*Conn] {
	return func(yield func(*Conn) bool) { slices.Values(t.router.hub.find(&t))(yield) }
}

// Emit sends an event to everyone in this namespace. See [Target.Emit].
func (r *Router) Emit(event string, args ...any) error { return Target{router: r}.Emit(event, args...) }

// To selects the connections of this namespace that are in any of the rooms. No
// rooms select nobody. A connection's id is a room, too.
func (r *Router) To(rooms ...string) Target { return Target{router: r}.To(rooms...) }

// Except selects the connections of this namespace that are in none of the rooms.
func (r *Router) Except(rooms ...string) Target { return Target{router: r}.Except(rooms...) }

// Find returns the connections of this namespace. See [Target.Find].
func (r *Router) Find(ctx context.Context) ([]Member, error) { return Target{router: r}.Find(ctx) }

// Conns iterates over the connections of this namespace on this process, as they
// were when the loop began, in no order.
func (r *Router) Conns() iter.Seq[*Conn] { return Target{router: r}.Conns() }
