package broker

import (
	"context"
	"slices"
	"sync"
)

// Memory is a Broker that joins the routers of one process, for testing what
// happens in a cluster. The zero value is ready for use. It delivers before Publish
// returns, starts no goroutine, and works in a testing/synctest bubble. Its methods
// are safe for concurrent use.
type Memory struct {
	mu    sync.Mutex // guards nodes
	nodes []*membership
}

type membership struct {
	broker *Memory
	node   Node
}

// Subscribe implements [Broker].
func (b *Memory) Subscribe(_ context.Context, node Node) (Subscription, error) {
	m := &membership{b, node}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.nodes = append(slices.Clip(b.nodes), m)
	return m, nil
}

// others returns the other nodes of the same namespace, and whether n itself is
// still subscribed.
func (n *membership) others() (others []Node, subscribed bool) {
	n.broker.mu.Lock()
	defer n.broker.mu.Unlock()
	for _, other := range n.broker.nodes {
		switch {
		case other == n:
			subscribed = true
		case other.node.Name() == n.node.Name():
			others = append(others, other.node)
		}
	}
	return others, subscribed
}

func (n *membership) Publish(op *Operation) error {
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
func (n *membership) Find(_ context.Context, s Selection) (found []Member, err error) {
	others, subscribed := n.others()
	if !subscribed {
		return nil, ErrUnreached
	}
	for _, r := range others {
		found = append(found, r.Members(s)...)
	}
	return found, nil
}

func (n *membership) Close() error {
	n.broker.mu.Lock()
	defer n.broker.mu.Unlock()
	n.broker.nodes = slices.DeleteFunc(slices.Clone(n.broker.nodes), func(other *membership) bool { return other == n })
	return nil
}
