package wsrouter

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"
)

// Broker joins routers, mostly those of several processes, into a cluster: with
// one in [Options.Broker], [Target], [Router.Emit] and [Router.Find] reach the
// connections of all nodes, unless the Target is Local. A node is a namespace of
// one router. Package redisbroker has a Broker for Redis; [MemoryBroker] is for
// tests. A Broker may be shared by several routers, its methods are called
// concurrently.
//
// Every Broker promises what follows; wsroutertest.TestBroker holds it to that.
//
//  1. Delivery. What a node publishes reaches every other node of the same
//     namespace name that is subscribed, at most once, and none of another name.
//  2. Own messages. Nothing comes back to the node that published it: the router
//     has done its own part before.
//  3. Order. What one goroutine publishes for the same rooms arrives in that
//     order. Between publishers, or sets of rooms, there is none.
//  4. No wait. Publish returns at once. What cannot be handed on yet waits in a
//     queue that is bounded in bytes; what does not fit is dropped, and counted.
//  5. Bytes. An Operation is shared and read-only from Publish on: a Broker may
//     keep it, and neither side ever writes to it. Text arrives as it was; numbers
//     may be written differently, as 1.0 for 1; bytes arrive as bytes.
//  6. Subscribe returns when what other nodes publish from then on arrives. It
//     waits for the network a few seconds at most: if that is away it returns nil,
//     and the node joins as soon as it is back. An error means never.
//  7. Away. While the network is away nothing arrives, and what others published
//     meanwhile is lost. The Broker comes back by itself. Emits that are published
//     may wait in the queue until then; operations on rooms are not kept, and
//     Publish says [ErrUnreached].
//  8. Close of a Subscription ends its node: after it has returned nothing more is
//     begun, and Publish says ErrUnreached. The Broker itself belongs to whoever
//     made it, and is closed after the routers have been shut down.
//  9. Garbage. What is no Operation is dropped and counted. Nothing that comes in
//     panics, blocks for ever or grows without a bound.
//
// A Broker acts on a node by [Router.Apply], and by what else a Router has: for
// the connections of this process that is Local of a [Target].
type Broker interface {
	// Subscribe makes a namespace a node. It is called once for each namespace
	// when serving begins, or before its first operation.
	Subscribe(r *Router) (Subscription, error)
}

// Subscription is one node's end of a [Broker]. Its methods are called
// concurrently.
type Subscription interface {
	// Publish hands an operation to all other nodes. An error wraps ErrUnreached,
	// or says what cannot be encoded.
	Publish(op *Operation) error

	// Close ends the node. It does not close the Broker.
	Close() error
}

// Finder is implemented by Subscriptions that can ask other nodes.
type Finder interface {
	// Find returns the connections of all other nodes that s selects. Nodes that
	// do not answer before ctx ends, or after a time of the Broker's own, are
	// left out, and then the error, which wraps ErrUnreached, says so.
	Find(ctx context.Context, s Selection) ([]Member, error)
}

// BrokerReporter is implemented by Brokers that can tell how they are.
type BrokerReporter interface {
	BrokerStats() BrokerStats
}

// BrokerStats is a part of [Stats]. All counts are since the Broker was made.
type BrokerStats struct {
	Away      time.Duration // for how long it cannot reach the others; zero is not
	Queued    int           // bytes that wait to be published
	Published int64         // operations
	Received  int64         // operations and questions of others
	Dropped   int64         // operations not published, as the queue was full or the network away
	Malformed int64         // messages that were none
}

// ErrUnreached is wrapped by the errors of cluster-wide operations that did not
// reach other nodes, or not all of them. Those of this process are done.
var ErrUnreached = errors.New("wsrouter: other nodes were not reached")

// Selection is what a [Target] selects, so it names as many rooms at most.
type Selection struct {
	Rooms  []string // the connections in any of them; none selects all
	Except []string // but for those in any of these
}

// OpKind says what an [Operation] does.
type OpKind uint8

// The operations.
const (
	OpEmit OpKind = iota + 1
	OpJoin
	OpLeave
	OpDisconnect
)

// Operation is what a node has the others do with the connections that To
// selects. It is plain data, which encoding/json and the like carry.
type Operation struct {
	Kind OpKind
	To   Selection

	Event    string    // of OpEmit
	Args     []Encoded // of OpEmit
	Volatile bool      // of OpEmit, see [Target.Volatile]

	Rooms []string // of OpJoin and OpLeave

	Code   int // of OpDisconnect; zero is 1000
	Reason string
}

// MemoryBroker joins routers of one process, for tests of what happens in a
// cluster. The zero value is ready for use. It delivers before Publish returns,
// starts no goroutine, and works in a testing/synctest bubble.
type MemoryBroker struct {
	mu    sync.Mutex // guards nodes
	nodes []*memoryNode
}

type memoryNode struct {
	broker *MemoryBroker
	router *Router
}

// Subscribe implements [Broker].
func (b *MemoryBroker) Subscribe(r *Router) (Subscription, error) {
	node := &memoryNode{b, r}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.nodes = append(slices.Clip(b.nodes), node)
	return node, nil
}

// others returns the nodes of the same namespace; false if n is none any more.
func (n *memoryNode) others() (others []*Router, subscribed bool) {
	n.broker.mu.Lock()
	defer n.broker.mu.Unlock()
	for _, other := range n.broker.nodes {
		switch {
		case other == n:
			subscribed = true
		case other.router.Name() == n.router.Name():
			others = append(others, other.router)
		}
	}
	return others, subscribed
}

func (n *memoryNode) Publish(op *Operation) error {
	others, subscribed := n.others()
	if !subscribed {
		return ErrUnreached
	}
	for _, r := range others {
		r.Apply(op)
	}
	return nil
}

// Find implements [Finder].
func (n *memoryNode) Find(ctx context.Context, s Selection) (found []Member, err error) {
	others, subscribed := n.others()
	if !subscribed {
		return nil, ErrUnreached
	}
	for _, r := range others {
		members, _ := r.Select(s).Local().Find(ctx)
		found = append(found, members...)
	}
	return found, nil
}

func (n *memoryNode) Close() error {
	n.broker.mu.Lock()
	defer n.broker.mu.Unlock()
	n.broker.nodes = slices.DeleteFunc(slices.Clone(n.broker.nodes), func(other *memoryNode) bool { return other == n })
	return nil
}
