package wsrouter

import (
	"net/http"

	"github.com/wsrouter/wsrouter/adapter"
	"github.com/wsrouter/wsrouter/broker"
)

// NodeOf returns the namespace as Brokers see it.
func NodeOf(r *Router) broker.Node { return newNode(r) }

// SelectedBy returns how many connections of this process are selected by another node.
func SelectedBy(r *Router, s broker.Selection) int {
	t := newNode(r).local(s)
	return len(t.conns())
}

// ServeOn serves plain WebSocket clients for a host that need not be a router's.
func ServeOn(host adapter.Host) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		limits := host.Limits()
		m := mount{host: host, namespace: host.Lookup("/"), limits: &limits}
		m.ServeHTTP(w, req)
	})
}
