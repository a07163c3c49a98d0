package wsrouter

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"runtime"
	"slices"

	"github.com/wsrouter/wsrouter/adapter"
	"github.com/wsrouter/wsrouter/broker"
	"github.com/wsrouter/wsrouter/internal/bind"
	"github.com/wsrouter/wsrouter/internal/meta"
	"github.com/wsrouter/wsrouter/internal/outbox"
	"github.com/wsrouter/wsrouter/internal/plain"
	"github.com/wsrouter/wsrouter/internal/rooms"
	"github.com/wsrouter/wsrouter/internal/socket"
	"github.com/wsrouter/wsrouter/payload"
)

// Target selects connections of a namespace, to send to them. It is a value: methods
// that change the selection return a copy, so a Target may be kept and used
// concurrently. The connections are looked up when the Target is used. To and Except
// may name at most 10,000 rooms together. Beyond that, methods that return an error
// return a *[WsError] with [CodeTooMany], and Conns and Count find nothing.
type Target struct {
	router   *Router
	some     bool // only the rooms, not everyone
	rooms    []string
	except   []string
	volatile bool
	local    bool
}

// To adds the connections in any of the rooms. Without rooms it adds nobody: a Target
// of no rooms selects nobody.
func (t Target) To(names ...string) Target {
	t.some = true
	t.rooms = rooms.Union(t.rooms, names)
	return t
}

// Except excludes the connections in any of the rooms.
func (t Target) Except(names ...string) Target {
	t.except = rooms.Union(t.except, names)
	return t
}

// Volatile makes Emit drop the frame for a client whose outbox is full, instead of
// closing the client as slow. [Stats] counts dropped frames.
func (t Target) Volatile() Target {
	t.volatile = true
	return t
}

// Local restricts the Target to the connections of this process. That matters only with
// an [Options.Broker].
func (t Target) Local() Target {
	t.local = true
	return t
}

// Emit sends an event to each selected connection once. It encodes the arguments once
// for each wire format and queues the frames; it waits neither for clients nor for
// other nodes. If an argument cannot be encoded, or the name is reserved, Emit returns
// an error and sends nothing. It is not an error if nothing is selected, or if other
// nodes are not reached; [Stats] counts the latter. See [Conn.Emit] for args, and for
// what happens to clients that do not read.
func (t Target) Emit(event string, args ...any) error {
	if err := checkEvent(event); err != nil {
		return err
	}
	if !t.elsewhere() {
		return t.emit(event, args)
	}
	encoded, err := payload.EncodeAll(args)
	if err != nil {
		return encodeError(event, err)
	}
	if err := t.emit(event, payload.Args(encoded)); err != nil {
		return err
	}
	err = t.publish(broker.Operation{Kind: broker.OpEmit, Event: event, Args: encoded})
	if errors.Is(err, ErrUnreached) {
		return nil
	}
	return err
}

// emit sends to the connections of this process.
func (t *Target) emit(event string, args []any) error {
	if err := t.check(); err != nil {
		return err
	}
	m := &adapter.Message{Kind: adapter.KindEvent, Event: event, Args: args}
	conns := t.router.rooms.Select(t.here(true))
	if len(conns) == 0 {
		_, err := plain.JSON.Encode(m) // report mistakes even if nobody listens
		return encodeError(event, err)
	}
	frames := make(map[adapter.Format]adapter.Frame, 1)
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
			f.Shared = new(adapter.Shared)
		}
		frames[c.format] = f
	}
	mode := sendCast
	if t.volatile {
		mode = sendVolatile
	}
	broadcast(conns, frames, mode)
	return nil
}

// broadcast puts each connection's frame into its outbox. Writing is left to a few
// goroutines, each for a part of the links; none waits for a client. The emitter does
// not write itself, because a thousand system calls would hold it up; nor is there a
// goroutine for each recipient, which would cost as much again. What others emit
// meanwhile is written along.
func broadcast(conns []*Conn, frames map[adapter.Format]adapter.Frame, mode sendMode) {
	var f adapter.Frame
	var format adapter.Format
	idle := make([]*link, 0, len(conns)) // those for which we have the right to write
	for _, c := range conns {
		if c.format != format {
			format, f = c.format, frames[c.format]
		}
		c.mu.Lock()
		p, err := c.putLocked(f, mode)
		c.mu.Unlock()
		if err == nil && p.link != nil && p.outcome == outbox.Wake {
			idle = append(idle, p.link)
			p.outcome = outbox.Queued
		}
		c.placed(f, mode, p, err)
	}
	flushAll(idle)
}

// minPart is how many links are worth a goroutine.
const minPart = 16

func flushAll(links []*link) {
	if len(links) == 0 {
		return
	}
	parts := min(runtime.GOMAXPROCS(0), (len(links)+minPart-1)/minPart)
	for part := range slices.Chunk(links, (len(links)+parts-1)/parts) {
		go func() {
			for _, l := range part {
				l.flush()
			}
		}()
	}
}

// check returns an error if the selection names too many rooms.
func (t *Target) check() error {
	if t.here(false).Names() > rooms.MaxNames {
		return NewError(fmt.Sprintf("more than %d rooms named at once", rooms.MaxNames)).WithCode(CodeTooMany)
	}
	return nil
}

// here returns what is looked up on this process. With waiting, that includes
// connections that have joined the rooms in OnConnect and are not let in yet.
func (t *Target) here(waiting bool) *rooms.Selection {
	return &rooms.Selection{All: !t.some, To: t.rooms, Except: t.except, Waiting: waiting}
}

// conns returns the selected connections of this process.
func (t *Target) conns() []*Conn { return t.router.rooms.Select(t.here(false)) }

// Answer is the answer of one client to a [Target.Call], or to any call that stores
// one.
type Answer struct {
	ID  string          // of the connection
	Raw json.RawMessage // the data of the answer; nil if there was none
	Err error           // see Conn.Call

	data payload.Value // Raw, with bytes kept as bytes
	meta json.RawMessage
}

// Meta returns the value that [Response].Meta has under a key in this answer, or
// "".
func (a Answer) Meta(key string) string { return meta.Get(a.meta, key) }

func answerOf(c *Conn, m *adapter.Message) Answer {
	return Answer{ID: c.ID(), Raw: m.Data.Raw(), data: m.Data, meta: m.Meta}
}

// Bind stores the answer's data in v, a pointer, or returns Err if that is set.
func (a Answer) Bind(v any) error {
	if a.Err != nil {
		return a.Err
	}
	return answerShape(bind.Value(a.data, v))
}

// Call sends a request to each selected connection of this process, and returns the
// answers in the order in which they arrive. A client that fails to answer, or
// whose connection ends, is among them, with an Err. If ctx ends first, Call
// returns the answers so far, and an error that wraps ctx's; nothing waits for the
// others any longer. If an argument cannot be encoded, Call returns an error and
// sends nothing. A nil in sends no data, [Args] several values.
func (t Target) Call(ctx context.Context, event string, in any) ([]Answer, error) {
	encoded, err := payload.EncodeAll(oneArg(in)) // once, however many connections there are
	if err != nil {
		return nil, encodeError(event, err)
	}
	if err := errors.Join(checkEvent(event), t.check()); err != nil {
		return nil, err
	}
	conns := t.conns()
	came := t.ask(ctx, conns, event, payload.Args(encoded))
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

// ask sends a request to each of the connections. Each yields one Answer.
func (t *Target) ask(ctx context.Context, conns []*Conn, event string, args []any) <-chan Answer {
	came := make(chan Answer, len(conns))
	for _, c := range conns {
		go func() {
			m, err := c.ask(ctx, event, args)
			if err != nil {
				came <- Answer{ID: c.ID(), Err: err}
				return
			}
			came <- answerOf(c, m)
		}()
	}
	return came
}

// Join adds the selected connections to rooms, see [Conn.Join]. Connections that cannot
// join are skipped. The error is the first of these on this process, joined with one
// that wraps [ErrUnreached] if other nodes were not reached.
func (t Target) Join(names ...string) error {
	if err := t.check(); err != nil {
		return err
	}
	names = rooms.Union(nil, names)
	var first error
	for _, c := range t.conns() {
		if err := c.Join(names...); err != nil && first == nil {
			first = err
		}
	}
	return errors.Join(first, t.publish(broker.Operation{Kind: broker.OpJoin, Rooms: names}))
}

// Leave removes the selected connections from rooms. The error wraps [ErrUnreached] if
// other nodes were not reached.
func (t Target) Leave(names ...string) error {
	if err := t.check(); err != nil {
		return err
	}
	names = rooms.Union(nil, names)
	for _, c := range t.conns() {
		c.Leave(names...)
	}
	return t.publish(broker.Operation{Kind: broker.OpLeave, Rooms: names})
}

// Disconnect closes the selected connections, see [Conn.Close]. With code 1012 clients
// come back, including those of Socket.IO. The error either says that the code cannot
// be sent, and nothing has happened, or wraps [ErrUnreached]. A Broker may be unable to
// transmit code and reason.
func (t Target) Disconnect(code int, reason string) error {
	return t.disconnect(broker.Operation{Code: code, Reason: reason})
}

// DisconnectTransport closes the selected connections together with their transports,
// see [Conn.CloseTransport]. Otherwise it is like Disconnect.
func (t Target) DisconnectTransport(code int, reason string) error {
	return t.disconnect(broker.Operation{Code: code, Reason: reason, Transport: true})
}

func (t *Target) disconnect(op broker.Operation) error {
	if err := checkCode(op.Code); err != nil {
		return err
	}
	if err := t.check(); err != nil {
		return err
	}
	for _, c := range t.conns() {
		if op.Transport {
			c.CloseTransport(op.Code, op.Reason)
		} else {
			c.Close(op.Code, op.Reason)
		}
	}
	op.Kind = broker.OpDisconnect
	return t.publish(op)
}

// Member is a connection as returned by [Target.Find].
type Member struct {
	ID    string
	Rooms []string        // sorted, without the room named by its ID
	Data  json.RawMessage // what Conn.SetData has set; nil if nothing
	Away  bool            // see Conn.Away; unknown for other servers over Redis
}

// Find returns the selected connections, in no particular order. With a Broker it also
// asks the other nodes. If some do not answer in time, or before ctx ends, Find returns
// the connections it has found and an error that wraps [ErrUnreached].
func (t Target) Find(ctx context.Context) ([]Member, error) {
	if err := t.check(); err != nil {
		return nil, err
	}
	conns := t.conns()
	members := make([]Member, len(conns))
	for i, c := range conns {
		members[i] = Member{ID: c.ID(), Rooms: c.Rooms(), Data: c.member.Data(), Away: c.isAway()}
	}
	found, err := t.findElsewhere(ctx)
	return append(members, found...), err
}

// Count returns how many connections of this process are selected.
func (t Target) Count() int {
	return t.router.rooms.Count(t.here(false))
}

// Conns iterates over the selected connections of this process, as they were when the
// loop began, in no particular order.
func (t Target) Conns() iter.Seq[*Conn] {
	return func(yield func(*Conn) bool) { slices.Values(t.conns())(yield) }
}

// All selects all connections of this namespace.
func (r *Router) All() Target { return Target{router: r} }

// Emit sends an event to all connections of this namespace. See [Target.Emit].
func (r *Router) Emit(event string, args ...any) error { return Target{router: r}.Emit(event, args...) }

// To selects the connections of this namespace that are in any of the rooms. Without
// rooms it selects nobody. A connection's id is also the name of a room.
func (r *Router) To(rooms ...string) Target { return Target{router: r}.To(rooms...) }

// Except selects the connections of this namespace that are in none of the rooms.
func (r *Router) Except(rooms ...string) Target { return Target{router: r}.Except(rooms...) }

// Find returns all connections of this namespace. See [Target.Find].
func (r *Router) Find(ctx context.Context) ([]Member, error) { return Target{router: r}.Find(ctx) }

// Conns iterates over the connections of this namespace on this process, as they were
// when the loop began, in no particular order.
func (r *Router) Conns() iter.Seq[*Conn] { return Target{router: r}.Conns() }
