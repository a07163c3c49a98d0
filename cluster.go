package wsrouter

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"sync"
	"time"
)

// This file is a namespace as a node of a cluster, see Broker.

// membership is a namespace as a member of its Broker's cluster. Whatever the
// Broker does, nobody waits for it without a bound, and an Emit not at all: the
// Broker is called by goroutines of the membership, never with the lock held.
//
//	outside ─► joining ─┬─► joined ─┐
//	   │          │     └─► failed ─┤
//	   └──────────┴─────────────────┴─► left
type membership struct {
	mu       sync.Mutex // guards what follows
	state    memberState
	sub      Subscription       // while it is joined
	kept     []*Operation       // emits from while it is joining, in order
	bytes    int                // of kept
	settled  chan struct{}      // from joining on; closed when that is over
	patience context.Context    // from joining on; ends when nobody is to wait for it any more
	giveUp   context.CancelFunc // ends patience
	gone     chan struct{}      // from left on; closed when the Broker has let go of it
}

type memberState uint8

const (
	outside memberState = iota // nobody has needed other nodes yet
	joining                    // the Broker was asked to subscribe
	joined
	failed // the Broker said never
	left
)

const (
	// joinWait is how long serving, and operations on rooms, wait for a Broker
	// that subscribes. Emits are kept meanwhile, and after that.
	joinWait = 5 * time.Second

	// maxKept is how many bytes of emits are kept for a Broker that subscribes.
	maxKept = 1 << 20
)

// join asks the Broker to subscribe the namespace, unless that was done.
func (r *Router) join() {
	m := &r.membership
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.state != outside || r.app.opts.Broker == nil {
		return
	}
	m.state, m.settled = joining, make(chan struct{})
	m.patience, m.giveUp = context.WithTimeout(context.Background(), joinWait)
	go r.subscribe()
}

func (r *Router) subscribe() {
	m := &r.membership
	sub, err := r.app.opts.Broker.Subscribe(r)
	if err != nil {
		r.app.opts.Logger.Error("wsrouter: not subscribed, other nodes are not reached", "namespace", r.name, "err", err)
	}
	for kept := m.settle(sub); len(kept) > 0; kept = m.settle(sub) {
		r.publishKept(sub, kept)
	}
	m.giveUp()
	m.mu.Lock()
	leaving := m.state == left
	m.mu.Unlock()
	if leaving {
		r.unsubscribe(sub)
	}
}

// settle ends joining if nothing is kept; otherwise it returns what is, which has
// to be published first.
func (m *membership) settle(sub Subscription) (kept []*Operation) {
	m.mu.Lock()
	defer m.mu.Unlock()
	kept, m.kept, m.bytes = m.kept, nil, 0
	if len(kept) > 0 {
		return kept
	}
	switch {
	case m.state == left:
	case sub == nil:
		m.state = failed
	default:
		m.state, m.sub = joined, sub
	}
	close(m.settled)
	return nil
}

func (r *Router) publishKept(sub Subscription, kept []*Operation) {
	if sub == nil {
		r.app.counters.unpublished.Add(int64(len(kept)))
		return
	}
	for _, op := range kept {
		if err := sub.Publish(op); err != nil && !errors.Is(err, ErrUnreached) {
			r.app.opts.Logger.Error("wsrouter: not published", "namespace", r.name, "event", op.Event, "err", err)
		}
	}
}

// subscription returns the namespace's, and joins if it is the first who asks. It
// waits for that until ctx ends, but for joinWait at most. Nil means that there is
// none.
func (r *Router) subscription(ctx context.Context) Subscription {
	r.join()
	m := &r.membership
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.state == joining {
		settled, patience := m.settled, m.patience
		m.mu.Unlock()
		select {
		case <-settled:
		case <-patience.Done():
		case <-ctx.Done():
		}
		m.mu.Lock()
	}
	return m.sub
}

// publishEmit hands an emit to the other nodes, or keeps it for when the namespace
// has joined them. It never waits.
func (r *Router) publishEmit(op *Operation) error {
	r.join()
	m := &r.membership
	m.mu.Lock()
	if m.state == joining {
		defer m.mu.Unlock()
		size := op.Size()
		if len(m.kept) > 0 && m.bytes+size > maxKept {
			r.app.counters.unpublished.Add(1)
			return ErrUnreached
		}
		m.kept = append(m.kept, op)
		m.bytes += size
		return nil
	}
	sub := m.sub
	m.mu.Unlock()
	if sub == nil {
		return ErrUnreached
	}
	return sub.Publish(op)
}

// leave ends the membership, beside whoever calls it. What it returns is closed
// when the Broker has let go.
func (r *Router) leave() (gone <-chan struct{}) {
	m := &r.membership
	m.mu.Lock()
	defer m.mu.Unlock()
	was, sub := m.state, m.sub
	if was == left {
		return m.gone
	}
	m.state, m.sub, m.gone = left, nil, make(chan struct{})
	switch was {
	case joining: // subscribe sees to it
		m.giveUp()
	case joined:
		go r.unsubscribe(sub)
	default:
		close(m.gone)
	}
	return m.gone
}

func (r *Router) unsubscribe(sub Subscription) {
	defer close(r.membership.gone)
	if sub == nil {
		return
	}
	if err := sub.Close(); err != nil {
		r.app.opts.Logger.Error("wsrouter: subscription not closed", "namespace", r.name, "err", err)
	}
}

// joinCluster makes all namespaces nodes, side by side, and waits for them.
func (a *app) joinCluster() {
	if a.opts.Broker == nil {
		return
	}
	namespaces := a.root.subtree()
	for _, r := range namespaces {
		r.join()
	}
	for _, r := range namespaces {
		r.subscription(context.Background())
	}
}

// leaveCluster ends the nodes of the namespace and of those below it, side by
// side, and waits for them until ctx ends.
func (r *Router) leaveCluster(ctx context.Context) error {
	var all []<-chan struct{}
	for _, ns := range r.subtree() {
		all = append(all, ns.leave())
	}
	for _, gone := range all {
		select {
		case <-gone:
		case <-ctx.Done():
			return fmt.Errorf("wsrouter: shutdown: leaving the cluster: %w", ctx.Err())
		}
	}
	return nil
}

// elsewhere reports whether the Target may select connections of other nodes.
func (t *Target) elsewhere() bool {
	return t.router.app.opts.Broker != nil && !t.local && (!t.some || len(t.rooms) > 0)
}

func (t *Target) selection() Selection { return Selection{Rooms: t.rooms, Except: t.except} }

// publish has the other nodes do what has been done here.
func (t *Target) publish(op Operation) error {
	if !t.elsewhere() {
		return nil
	}
	op.To, op.Volatile = t.selection(), t.volatile
	if op.Kind == OpEmit {
		return t.router.publishEmit(&op)
	}
	sub := t.router.subscription(context.Background())
	if sub == nil {
		return ErrUnreached
	}
	return sub.Publish(&op)
}

// findElsewhere asks the other nodes.
func (t *Target) findElsewhere(ctx context.Context) ([]Member, error) {
	if !t.elsewhere() {
		return nil, nil
	}
	finder, ok := t.router.subscription(ctx).(Finder)
	if !ok {
		return nil, ErrUnreached
	}
	members, err := finder.Find(ctx, t.selection())
	if err != nil {
		return members, fmt.Errorf("wsrouter: find: %w", err)
	}
	return members, nil
}

// encodeArgs encodes arguments for all wires.
func encodeArgs(args []any) (list []Encoded, err error) {
	for _, arg := range args {
		e, err := Encode(arg)
		if err != nil {
			return nil, err
		}
		list = append(list, e)
	}
	return list, nil
}

func anys(list []Encoded) []any {
	args := make([]any, len(list))
	for i, e := range list {
		args[i] = e
	}
	return args
}

// Apply does what another node has published, with the connections of this
// process. It is for Brokers, waits for nobody, and only reads the operation. The
// error says what is wrong with that, or which connections could not join.
func (r *Router) Apply(op *Operation) error {
	t := r.Select(op.To).Local()
	t.volatile = op.Volatile
	switch op.Kind {
	case OpEmit:
		return t.Emit(op.Event, anys(op.Args)...)
	case OpJoin:
		return t.Join(op.Rooms...)
	case OpLeave:
		return t.Leave(op.Rooms...)
	case OpDisconnect:
		code := op.Code
		if code == 0 {
			code = CloseNormal
		}
		return t.Disconnect(code, op.Reason)
	}
	return errors.New("wsrouter: unknown operation")
}

// Select returns the Target of a selection: all of the namespace where it names
// no rooms.
func (r *Router) Select(s Selection) Target {
	return Target{router: r, some: len(s.Rooms) > 0, rooms: s.Rooms, except: s.Except}
}

// HasRoom reports whether any connection of this process is in the room. A Broker
// need not decode what is for rooms that are not here.
func (r *Router) HasRoom(room string) bool { return r.hub.hasRoom(room) }

// Rooms iterates over the rooms of this namespace that any connection of this
// process is in, as they were when the loop began, in no order and without the
// connections' own.
func (r *Router) Rooms() iter.Seq[string] {
	return func(yield func(string) bool) { slices.Values(r.hub.allRooms())(yield) }
}
