package wsrouter

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"sync"
	"time"

	"github.com/wsrouter/wsrouter/broker"
	"github.com/wsrouter/wsrouter/payload"
)

// This file is a namespace as a node of a cluster, see [broker.Broker].

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
	sub      broker.Subscription // while it is joined
	kept     []*broker.Operation // emits from while it is joining, in order
	bytes    int                 // of kept
	settled  chan struct{}       // from joining on; closed when that is over
	ctx      context.Context     // from joining on; ends when it leaves
	cancel   context.CancelFunc  // ends ctx
	patience <-chan struct{}     // from joining on; closed when nobody is to wait for it any more
	gone     chan struct{}       // from left on; closed when the Broker has let go of it
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
	m.ctx, m.cancel = context.WithCancel(context.Background())
	patience, cancel := context.WithTimeout(m.ctx, joinWait)
	context.AfterFunc(patience, cancel)
	m.patience = patience.Done()
	go r.subscribe(m.ctx)
}

func (r *Router) subscribe(ctx context.Context) {
	m := &r.membership
	sub, err := r.app.opts.Broker.Subscribe(ctx, newNode(r))
	if err != nil {
		r.app.opts.Logger.Error("wsrouter: not subscribed, other nodes are not reached", "namespace", r.name, "err", err)
	}
	for kept := m.settle(sub); len(kept) > 0; kept = m.settle(sub) {
		r.publishKept(sub, kept)
	}
	if m.hasLeft() {
		r.unsubscribe(sub)
	}
}

func (m *membership) hasLeft() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.state == left
}

// settle ends joining if nothing is kept; otherwise it returns what is, which has
// to be published first.
func (m *membership) settle(sub broker.Subscription) (kept []*broker.Operation) {
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

func (r *Router) publishKept(sub broker.Subscription, kept []*broker.Operation) {
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
func (r *Router) subscription(ctx context.Context) broker.Subscription {
	r.join()
	m := &r.membership
	sub, settled, patience := m.now()
	if settled == nil {
		return sub
	}
	select {
	case <-settled:
	case <-patience:
	case <-ctx.Done():
	}
	sub, _, _ = m.now()
	return sub
}

// now returns the subscription, and while the namespace is joining what to wait for.
func (m *membership) now() (sub broker.Subscription, settled, patience <-chan struct{}) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.state != joining {
		return m.sub, nil, nil
	}
	return nil, m.settled, m.patience
}

// publishEmit hands an emit to the other nodes, or keeps it for when the namespace
// has joined them. It never waits.
func (r *Router) publishEmit(op *broker.Operation) error {
	r.join()
	kept, sub := r.membership.keep(op)
	switch {
	case kept:
		return nil
	case sub == nil:
		r.app.counters.unpublished.Add(1)
		return ErrUnreached
	}
	return sub.Publish(op)
}

// keep keeps an emit while the namespace is joining, as far as there is room. Else
// it returns the subscription, nil if there is none.
func (m *membership) keep(op *broker.Operation) (kept bool, sub broker.Subscription) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.state != joining {
		return false, m.sub
	}
	size := op.Size()
	if len(m.kept) > 0 && m.bytes+size > maxKept {
		return false, nil
	}
	m.kept = append(m.kept, op)
	m.bytes += size
	return true, nil
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
		m.cancel()
	case joined:
		m.cancel()
		go r.unsubscribe(sub)
	default:
		close(m.gone)
	}
	return m.gone
}

func (r *Router) unsubscribe(sub broker.Subscription) {
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

func (t *Target) selection() broker.Selection {
	return broker.Selection{Rooms: t.rooms, Except: t.except}
}

// publish has the other nodes do what has been done here.
func (t *Target) publish(op broker.Operation) error {
	if !t.elsewhere() {
		return nil
	}
	op.To, op.Volatile = t.selection(), t.volatile
	if op.Kind == broker.OpEmit {
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
	finder, ok := t.router.subscription(ctx).(broker.Finder)
	if !ok {
		return nil, ErrUnreached
	}
	found, err := finder.Find(ctx, t.selection())
	members := make([]Member, len(found))
	for i, m := range found {
		members[i] = Member{ID: m.ID, Rooms: m.Rooms, Data: m.Data}
	}
	if err != nil {
		return members, fmt.Errorf("wsrouter: find: %w", err)
	}
	return members, nil
}

// maxAsked is how many connections of a node are asked at once, see Call of
// [broker.Node]: each is a goroutine, and a question costs whoever asks nothing.
const maxAsked = 4096

// node is a namespace as a Broker sees it. It implements [broker.Node].
type node struct {
	router *Router
	turns  chan struct{} // has one for each connection that is asked
}

func newNode(r *Router) node { return node{r, make(chan struct{}, maxAsked)} }

// local is the Target of a selection: all of the namespace where it names no rooms.
func (n node) local(s broker.Selection) Target {
	t := Target{router: n.router, local: true}
	if len(s.Rooms) > 0 {
		t = t.To(s.Rooms...)
	}
	return t.Except(s.Except...)
}

func (n node) Name() string { return n.router.name }

func (n node) Apply(op *broker.Operation) error {
	t := n.local(op.To)
	t.volatile = op.Volatile
	switch op.Kind {
	case broker.OpEmit:
		return t.Emit(op.Event, payload.Args(op.Args)...)
	case broker.OpJoin:
		return t.Join(op.Rooms...)
	case broker.OpLeave:
		return t.Leave(op.Rooms...)
	case broker.OpDisconnect:
		code := op.Code
		if code == 0 {
			code = CloseNormal
		}
		return t.Disconnect(code, op.Reason)
	}
	return errors.New("wsrouter: unknown operation")
}

func (n node) HasRoom(room string) bool { return n.router.rooms.Has(room) }

func (n node) Rooms() iter.Seq[string] {
	return func(yield func(string) bool) { slices.Values(n.router.rooms.All())(yield) }
}

func (n node) Members(s broker.Selection) []broker.Member {
	t := n.local(s)
	conns := t.conns()
	members := make([]broker.Member, len(conns))
	for i, c := range conns {
		members[i] = broker.Member{ID: c.ID(), Rooms: c.Rooms(), Data: c.member.Data(), Request: c.request}
	}
	return members
}

func (n node) Call(ctx context.Context, s broker.Selection, event string, args []payload.Value) (int, iter.Seq[payload.Value]) {
	t := n.local(s)
	conns := t.conns()
	return len(conns), func(yield func(payload.Value) bool) { n.ask(ctx, conns, event, payload.Args(args), yield) }
}

// ask sends a request to each of the connections, in their turns, and yields the
// answers. It returns when none of them is asked any more.
func (n node) ask(ctx context.Context, conns []*Conn, event string, args []any, yield func(payload.Value) bool) {
	var asking sync.WaitGroup
	defer asking.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	came := make(chan Answer)
	for waiting := 0; waiting > 0 || len(conns) > 0; {
		turns := n.turns
		if len(conns) == 0 {
			turns = nil
		}
		select {
		case turns <- struct{}{}:
			c := conns[0]
			asking.Go(func() { n.askOne(ctx, c, event, args, came) })
			conns, waiting = conns[1:], waiting+1
		case a := <-came:
			if waiting--; a.Err == nil && !yield(a.data) {
				return
			}
		case <-ctx.Done():
			return
		}
	}
}

// askOne asks a connection, whose turn it is.
func (n node) askOne(ctx context.Context, c *Conn, event string, args []any, came chan<- Answer) {
	defer func() { <-n.turns }()
	data, err := c.ask(ctx, event, args)
	select {
	case came <- Answer{data: data, Err: err}:
	case <-ctx.Done():
	}
}
