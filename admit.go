package wsrouter

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"

	"github.com/wsrouter/wsrouter/adapter"
	"github.com/wsrouter/wsrouter/internal/origin"
	"github.com/wsrouter/wsrouter/internal/sessions"
)

// admit checks whether a client may connect to this namespace: its Origin header
// (403), that there is room for another client (503) of that [Options.ClientKey]
// (429), and that the namespace is neither shutting down nor failed to initialize
// (503). It runs OnInit if nobody has yet, and waits for it for as long as the client
// does.
//
// A client that waits, or is let in, counts as a connection until newLink is called
// with the same request, or the request's context ends.
func (r *Router) admit(req *http.Request) *adapter.Refusal {
	clients := r.app.sessions
	err := r.mayConnect(req)
	if err == nil {
		err = noRoom(clients.Hold(req, r.app.clientKey(req)))
	}
	if req.Context().Done() == nil { // of no server: nothing would end it
		defer clients.LetGo(req)
	}
	if err == nil && r.ready(req.Context()) != nil {
		clients.LetGo(req)
		err = refusal(http.StatusServiceUnavailable, "not available", RefusedInit)
	}
	if err != nil {
		r.app.refused(req, r.name, Refusal(err.Reason), err)
	}
	return err
}

func (r *Router) mayConnect(req *http.Request) *adapter.Refusal {
	switch {
	case !r.app.allowsOrigin(req):
		return refusal(http.StatusForbidden, "origin not allowed", RefusedOrigin)
	case requestHeld(req) > maxRequest:
		return refusal(http.StatusRequestHeaderFieldsTooLarge, "request headers too large", RefusedRequest)
	case r.isClosing():
		return refusal(http.StatusServiceUnavailable, "shutting down", RefusedShutdown)
	case !r.app.take(serving):
		return notServing()
	}
	return nil
}

func notServing() *adapter.Refusal {
	return refusal(http.StatusServiceUnavailable, "this router dials and serves no clients", RefusedInit)
}

// ready says why the namespace has no connections. What it waits for is OnInit,
// which may wait for a network itself: ctx bounds it.
func (r *Router) ready(ctx context.Context) error {
	r.app.freeze()
	if r.app.broken != nil {
		return r.app.broken
	}
	return r.initialize(ctx.Done())
}

// allowsOrigin reports whether a page of the request's Origin may connect.
func (a *app) allowsOrigin(req *http.Request) bool {
	header := req.Header.Get("Origin")
	if header == "" {
		return !embedded(req.Header)
	}
	o := origin.Parse(header)
	for _, pattern := range a.origins {
		if pattern.Match(o) {
			return true
		}
	}
	if allow := a.opts.AllowOrigin; allow != nil {
		return allow(req)
	}
	return o.SameAs(req.Host, req.TLS != nil)
}

// embedded reports whether a page of somebody else's makes a browser ask by a way
// that sends no Origin: as an image, say, or in a frame (W3C Fetch Metadata).
func embedded(h http.Header) bool {
	switch h.Get("Sec-Fetch-Mode") {
	case "no-cors":
		return true
	case "navigate", "nested-navigate":
		site := h.Get("Sec-Fetch-Site")
		return site == "cross-site" || site == "same-site"
	}
	return false
}

// parseOrigins panics for what is no origin, and for what none can be.
func parseOrigins(patterns []string) (list []origin.Pattern) {
	for _, pattern := range patterns {
		p, err := origin.ParsePattern(pattern)
		if err != nil {
			panic(fmt.Sprintf("wsrouter: invalid pattern %q in Options.Origins: %v", pattern, err))
		}
		list = append(list, p)
	}
	return list
}

const (
	maxRequest     = 256 << 10
	headerOverhead = 128 // of one value of a header or form
)

// requestHeld is what a request costs in memory that is kept.
func requestHeld(r *http.Request) int {
	n := len(r.RequestURI) + len(r.Host) + len(r.RemoteAddr)
	if u := r.URL; u != nil {
		n += len(u.Path) + len(u.RawPath) + len(u.RawQuery) + len(u.Host) + len(u.Fragment)
	}
	for _, values := range []map[string][]string{r.Header, r.Trailer, r.Form, r.PostForm} {
		for name, list := range values {
			n += len(name)
			for _, v := range list {
				n += headerOverhead + len(v)
			}
		}
	}
	return n
}

// noRoom is the refusal where there is no room for a client, nil where there is.
func noRoom(outcome sessions.Outcome) *adapter.Refusal {
	switch outcome {
	case sessions.Full:
		return refusal(http.StatusServiceUnavailable, "too many connections", RefusedMaxConns)
	case sessions.ClientFull:
		return refusal(http.StatusTooManyRequests, "too many connections from you", RefusedClient)
	case sessions.Closed:
		return refusal(http.StatusServiceUnavailable, "shutting down", RefusedShutdown)
	}
	return nil
}

// clientKey returns whose connections are counted together; empty without a limit.
func (a *app) clientKey(req *http.Request) string {
	if a.opts.MaxConnsPerClient == unlimited {
		return ""
	}
	if a.opts.ClientKey != nil {
		return a.opts.ClientKey(req)
	}
	host, _, err := net.SplitHostPort(req.RemoteAddr)
	if err != nil {
		return req.RemoteAddr
	}
	return addressKey(host)
}

// addressKey is the address of an IPv4 client, and the network of an IPv6 client:
// whoever has one address of a /64 has them all (RFC 4291 section 2.5.1).
func addressKey(host string) string {
	addr, err := netip.ParseAddr(host)
	if err != nil {
		return host
	}
	if addr = addr.Unmap(); addr.Is4() {
		return addr.String()
	}
	network, _ := addr.Prefix(64) // without a zone
	return network.String()
}

// mayJoin bounds how often a client joins namespaces: MaxOpen at once, which is as
// many as there may be, and MaxOpen a minute.
func (l *link) mayJoin() bool {
	n := l.app.opts.MaxOpen
	return n == unlimited || l.joins.Take(n, float64(n)/60)
}

// StatusError is returned by [Dial] and [Router.Connect] when the server answers
// with an HTTP status instead of a connection.
type StatusError struct {
	StatusCode int
	Text       string // of the answer, at most 1 KB
}

func (e *StatusError) Error() string {
	return fmt.Sprintf("wsrouter: server answered %d %s: %s", e.StatusCode, http.StatusText(e.StatusCode), e.Text)
}

// statusError is a refusal as the side that dialed sees it.
func statusError(err error) error {
	var r *adapter.Refusal
	if errors.As(err, &r) {
		return &StatusError{r.Status, r.Text}
	}
	return err
}
