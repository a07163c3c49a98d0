// Package membership makes a node a member of a broker's cluster, and keeps what it
// emits until it is one.
//
// Whatever the Broker does, nobody waits for it without a bound, and an emit not at
// all: the Broker is asked to subscribe, and to let go, by goroutines of the
// membership, and never called with its lock held.
//
//	outside ─► joining ─┬─► joined ─┐
//	   │          │     └─► failed ─┤
//	   └──────────┴─────────────────┴─► left
package membership

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/wsrouter/wsrouter/broker"
)

const (
	// JoinWait is how long Wait, Find and operations on rooms wait for a Broker that
	// subscribes. Emits are kept meanwhile, and after that.
	JoinWait = 5 * time.Second

	// MaxKept is how many bytes of emits are kept for a Broker that subscribes.
	MaxKept = 1 << 20
)

type state uint8

const (
	outside state = iota // nobody has needed other nodes yet
	joining              // the Broker was asked to subscribe
	joined
	failed // the Broker said never
	left
)

// Membership is that of one node. All methods may be called concurrently.
type Membership struct {
	broker broker.Broker
	node   broker.Node
	log    *slog.Logger
	lost   *atomic.Int64

	mu       sync.Mutex // guards what follows
	state    state
	sub      broker.Subscription // while it is joined
	kept     []*broker.Operation // emits from while it is joining, in order
	bytes    int                 // of kept
	settled  chan struct{}       // from joining on; closed when that is over
	ctx      context.Context     // from joining on; ends when it leaves
	cancel   context.CancelFunc  // ends ctx
	patience <-chan struct{}     // from joining on; closed when nobody is to wait for it any more
	gone     chan struct{}       // from left on; closed when the Broker has let go of it
}

// New returns the membership of a node that is outside. Without a Broker, which may be
// nil, it stays there. What goes wrong is logged where nobody is told, and emits that
// were not published, as there is no subscription, are counted in lost.
func New(b broker.Broker, node broker.Node, log *slog.Logger, lost *atomic.Int64) *Membership {
	return &Membership{broker: b, node: node, log: log, lost: lost}
}

// Join asks the Broker to subscribe the node, unless that was done. It does not wait.
func (m *Membership) Join() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.state != outside || m.broker == nil {
		return
	}
	m.state, m.settled = joining, make(chan struct{})
	m.ctx, m.cancel = context.WithCancel(context.Background())
	patience, cancel := context.WithTimeout(m.ctx, JoinWait)
	context.AfterFunc(patience, cancel)
	m.patience = patience.Done()
	go m.subscribe(m.ctx)
}

func (m *Membership) subscribe(ctx context.Context) {
	sub, err := m.broker.Subscribe(ctx, m.node)
	if err != nil {
		m.log.Error("wsrouter: not subscribed, other nodes are not reached", "err", err)
	}
	kept, now := m.settle(sub)
	for len(kept) > 0 {
		m.publishKept(sub, kept)
		kept, now = m.settle(sub)
	}
	if now == left { // while it was joining; later than that Leave sees to it
		m.unsubscribe(sub)
	}
}

// settle ends joining if nothing is kept, and says in what; otherwise it returns what
// is kept, which has to be published first.
func (m *Membership) settle(sub broker.Subscription) (kept []*broker.Operation, now state) {
	m.mu.Lock()
	defer m.mu.Unlock()
	kept, m.kept, m.bytes = m.kept, nil, 0
	if len(kept) > 0 {
		return kept, m.state
	}
	switch {
	case m.state == left:
	case sub == nil:
		m.state = failed
	default:
		m.state, m.sub = joined, sub
	}
	close(m.settled)
	return nil, m.state
}

func (m *Membership) publishKept(sub broker.Subscription, kept []*broker.Operation) {
	if sub == nil {
		m.lost.Add(int64(len(kept)))
		return
	}
	for _, op := range kept {
		if err := sub.Publish(op); err != nil && !errors.Is(err, broker.ErrUnreached) {
			m.log.Error("wsrouter: not published", "event", op.Event, "err", err)
		}
	}
}

// Wait waits until it is known whether there are other nodes, and joins them if
// nobody has; until ctx ends, but for JoinWait at most.
func (m *Membership) Wait(ctx context.Context) { m.subscription(ctx) }

// subscription returns the node's, after [Membership.Wait]. Nil means that there is
// none.
func (m *Membership) subscription(ctx context.Context) broker.Subscription {
	m.Join()
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

// now returns the subscription, and while the node is joining what to wait for.
func (m *Membership) now() (sub broker.Subscription, settled, patience <-chan struct{}) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.state != joining {
		return m.sub, nil, nil
	}
	return nil, m.settled, m.patience
}

// Publish hands an operation to the other nodes, and joins them if nobody has. An
// emit never waits: it is kept for when the node has joined. Others wait for that,
// for JoinWait at most. Errors are those of [broker.Subscription], and
// [broker.ErrUnreached] where there is none.
func (m *Membership) Publish(op *broker.Operation) error {
	if op.Kind == broker.OpEmit {
		return m.emit(op)
	}
	sub := m.subscription(context.Background())
	if sub == nil {
		return broker.ErrUnreached
	}
	return sub.Publish(op)
}

func (m *Membership) emit(op *broker.Operation) error {
	m.Join()
	kept, sub := m.keep(op)
	switch {
	case kept:
		return nil
	case sub == nil:
		m.lost.Add(1)
		return broker.ErrUnreached
	}
	return sub.Publish(op)
}

// keep keeps an emit while the node is joining, as far as there is room. Else it
// returns the subscription, nil if there is none.
func (m *Membership) keep(op *broker.Operation) (kept bool, sub broker.Subscription) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.state != joining {
		return false, m.sub
	}
	size := op.Size()
	if len(m.kept) > 0 && m.bytes+size > MaxKept {
		return false, nil
	}
	m.kept = append(m.kept, op)
	m.bytes += size
	return true, nil
}

// Find asks the other nodes, see [broker.Finder], and waits as Wait does. The error is
// [broker.ErrUnreached] where there is no subscription that can.
func (m *Membership) Find(ctx context.Context, s broker.Selection) ([]broker.Member, error) {
	finder, ok := m.subscription(ctx).(broker.Finder)
	if !ok {
		return nil, broker.ErrUnreached
	}
	found, err := finder.Find(ctx, s)
	if err != nil {
		err = fmt.Errorf("wsrouter: find: %w", err)
	}
	return found, err
}

// Leave ends the membership forever, beside whoever calls it. What it returns is
// closed when the Broker has let go.
func (m *Membership) Leave() (gone <-chan struct{}) {
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
		go m.unsubscribe(sub)
	default:
		close(m.gone)
	}
	return m.gone
}

func (m *Membership) unsubscribe(sub broker.Subscription) {
	defer close(m.gone)
	if sub == nil {
		return
	}
	if err := sub.Close(); err != nil {
		m.log.Error("wsrouter: subscription not closed", "err", err)
	}
}
