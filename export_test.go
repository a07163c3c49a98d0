package wsrouter

import "github.com/wsrouter/wsrouter/broker"

// NodeOf is the namespace as Brokers see it.
func NodeOf(r *Router) broker.Node { return node{r} }

// SelectedBy returns how many connections of this process another node selects.
func SelectedBy(r *Router, s broker.Selection) int {
	t := node{r}.local(s)
	return len(t.conns())
}
