// Package membership makes a node a member of a broker's cluster, and until then
// keeps what the node emits.
//
// Whatever the Broker does, nobody waits for it without a bound, and emits do not
// wait at all: goroutines of the membership ask the Broker to subscribe and to
// close, and never while holding its lock.
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
	// JoinWait is how long Wait, Find and operations on rooms wait for a Broker
	// that is subscribing. Emits are kept until it has subscribed, even beyond
	// JoinWait.
	JoinWait = 5 * time.Second

	// MaxKept is how many bytes of emits are kept for a Broker that is subscribing.
	MaxKept = 1 << 20
)

type state uint8

const (
	outside state = iota // nobody has needed other nodes yet
	joining              // the Broker has been asked to subscribe
	joined
	failed // the Broker has refused
	left
)

// Membership is the membership of one node. All methods are safe for concurrent
// use.
type Membership struct {
	broker broker.Broker
	node   broker.Node
	log    *slog.Logger
	lost   *atomic.Int64

	mu       sync.Mutex // guards what follows
	state    state
	sub      broker.Subscription // while joined
	kept     []*broker.Operation // emits since joining began, in order
	bytes    int                 // of kept
	settled  chan struct{}       // from joining on; closed when joining is over
	ctx      context.Context     // from joining on; ends when the node leaves
	cancel   context.CancelFunc  // ends ctx
	patience <-chan struct{}     // from joining on; closed when nobody should wait any longer
	gone     chan struct{}       // once left; closed when the Broker has let go of the node
}

// New returns the membership of a node that is outside. b may be nil; then the node
// stays outside. Failures that no caller is told are logged, and emits that were
// not published for lack of a subscription are counted in lost.
func New(b broker.Broker, node broker.Node, log *slog.Logger, lost *atomic.Int64) *Membership {
	return &Membership{broker: b, node: node, log: log, lost: lost}
}

// Join asks the Broker to subscribe the node, once. It does not wait.
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
		m.log.Error("wsrouter: Broker did not subscribe, other nodes are not reached", "err", err)
	}
	kept, now := m.settle(sub)
	for len(kept) > 0 {
		m.publishKept(sub, kept)
		kept, now = m.settle(sub)
	}
	if now == left { // left while it was joining; after that Leave closes it
		m.unsubscribe(sub)
	}
}

// settle ends joining if nothing is kept, and returns the new state; otherwise it
// returns what is kept, which must be published first.
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
			m.log.Error("wsrouter: publishing failed", "event", op.Event, "err", err)
		}
	}
}

// Wait waits until it is known whether there are other nodes. It joins them if
// nobody has. It returns when ctx ends, and after JoinWait at the latest.
func (m *Membership) Wait(ctx context.Context) { m.subscription(ctx) }

// subscription returns the node's subscription after [Membership.Wait], or nil if
// there is none.
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

// now returns the subscription and, while the node is joining, what to wait for.
func (m *Membership) now() (sub broker.Subscription, settled, patience <-chan struct{}) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.state != joining {
		return m.sub, nil, nil
	}
	return nil, m.settled, m.patience
}

// Publish hands an operation to the other nodes. It joins them if nobody has. An
// emit never waits: it is kept until the node has joined. Other operations wait for
// that, for JoinWait at most. Errors are those of [broker.Subscription], and
// [broker.ErrUnreached] if there is no subscription.
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

// keep keeps an emit while the node is joining and there is room. Otherwise it
// returns the subscription, or nil if there is none.
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

// Find asks the other nodes, see [broker.Finder], and waits like Wait. The error is
// [broker.ErrUnreached] if there is no subscription that can ask them.
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

// Leave ends the membership for good. It does not wait; the channel is closed when
// the Broker has let go of the node.
func (m *Membership) Leave() (gone <-chan struct{}) {
	m.mu.Lock()
	defer m.mu.Unlock()
	was, sub := m.state, m.sub
	if was == left {
		return m.gone
	}
	m.state, m.sub, m.gone = left, nil, make(chan struct{})
	switch was {
	case joining: // subscribe closes it
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
		m.log.Error("wsrouter: closing the Broker's subscription failed", "err", err)
	}
}
