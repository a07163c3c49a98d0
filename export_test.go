package wsrouter

import "github.com/wsrouter/wsrouter/broker"

// NodeOf is the namespace as Brokers see it.
func NodeOf(r *Router) broker.Node { return newNode(r) }

// SelectedBy returns how many connections of this process another node selects.
func SelectedBy(r *Router, s broker.Selection) int {
	t := newNode(r).local(s)
	return len(t.conns())
}
