package wsrouter

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"time"

	"github.com/wsrouter/wsrouter/internal/origin"
)

// Admit checks whether a client may connect to this namespace: its Origin header
// (403), that there is room for another client (503) of that [Options.ClientKey]
// (429), and that the namespace is neither shutting down nor failed to initialize
// (503). It runs OnInit if nobody has yet, and waits for it for as long as the client
// does. Adapters call it before they take a client's first request; nil lets it in.
//
// A client that waits, or is let in, counts as a connection until NewLink is called
// with the same request, or the request's context ends.
func (r *Router) Admit(req *http.Request) *StatusError {
	err := r.mayConnect(req)
	if err == nil {
		err = r.app.hold(req)
	}
	if req.Context().Done() == nil { // of no server: nothing would end it
		defer r.app.letGo(req)
	}
	if err == nil && r.ready(req.Context()) != nil {
		r.app.letGo(req)
		err = &StatusError{http.StatusServiceUnavailable, "not available", RefusedInit}
	}
	if err != nil {
		r.app.refused(req, err.reason, err)
	}
	return err
}

func (r *Router) mayConnect(req *http.Request) *StatusError {
	switch {
	case !r.AllowsOrigin(req):
		return &StatusError{http.StatusForbidden, "origin not allowed", RefusedOrigin}
	case r.isClosing():
		return &StatusError{http.StatusServiceUnavailable, "shutting down", RefusedShutdown}
	case !r.app.take(serving):
		return notServing()
	}
	return nil
}

func notServing() *StatusError {
	return &StatusError{http.StatusServiceUnavailable, "this router dials and serves no clients", RefusedInit}
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

// AllowsOrigin reports whether a page of the request's Origin may connect, as
// Admit checks.
func (r *Router) AllowsOrigin(req *http.Request) bool {
	header := req.Header.Get("Origin")
	if header == "" {
		return !embedded(req.Header)
	}
	o := origin.Parse(header)
	for _, pattern := range r.app.origins {
		if pattern.Match(o) {
			return true
		}
	}
	if allow := r.app.opts.AllowOrigin; allow != nil {
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

// Refusal is why a client was not let in, see [Stats] and [Trace].
type Refusal string

// The refusals.
const (
	RefusedOrigin   Refusal = "origin"     // Options.Origins does not have it
	RefusedMaxConns Refusal = "max_conns"  // Options.MaxConns are there
	RefusedClient   Refusal = "max_client" // Options.MaxConnsPerClient are there
	RefusedShutdown Refusal = "shutdown"
	RefusedInit     Refusal = "init"    // OnInit failed or was not waited for, or the router dials
	RefusedUpgrade  Refusal = "upgrade" // no WebSocket handshake
	RefusedGuard    Refusal = "guard"   // OnConnect returned an error
	RefusedTimeout  Refusal = "timeout" // Options.ConnectTimeout was over
)

// refused counts and traces a refusal.
func (a *app) refused(req *http.Request, reason Refusal, err error) {
	a.counters.refusals.add(reason)
	if t := a.opts.Trace; t.Refuse != nil {
		a.trace(func() { t.Refuse(req, reason, err) })
	}
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

// crowdedLocked says why there is no room for another client.
func (a *app) crowdedLocked(key string) *StatusError {
	switch {
	case len(a.links)+len(a.places) >= a.opts.MaxConns:
		return &StatusError{http.StatusServiceUnavailable, "too many connections", RefusedMaxConns}
	case a.perClient[key] >= a.opts.MaxConnsPerClient:
		return &StatusError{http.StatusTooManyRequests, "too many connections from you", RefusedClient}
	}
	return nil
}

// A place is kept for a client that has been admitted and has no link yet: it may
// wait long for OnInit, and then all who wait come at once.
type place struct {
	key  string
	stop func() bool // forgets to let go at the end of the request
}

// hold keeps a place for the client of a request, until add or letGo, or the end of
// the request. Without limits there are none.
func (a *app) hold(req *http.Request) *StatusError {
	key := a.clientKey(req)
	a.mu.Lock()
	defer a.mu.Unlock()
	if err := a.crowdedLocked(key); err != nil {
		return err
	}
	if a.places[req] != nil || a.opts.MaxConns == unlimited && key == "" {
		return nil
	}
	a.places[req] = &place{key, context.AfterFunc(req.Context(), func() { a.letGo(req) })}
	a.countLocked(key, 1)
	return nil
}

func (a *app) letGo(req *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.letGoLocked(req)
}

func (a *app) letGoLocked(req *http.Request) {
	if p := a.places[req]; p != nil {
		p.stop()
		delete(a.places, req)
		a.countLocked(p.key, -1)
	}
}

// countLocked counts the connections of a client, and the places kept for it.
func (a *app) countLocked(key string, n int) {
	if key == "" {
		return
	}
	if a.perClient[key] += n; a.perClient[key] == 0 {
		delete(a.perClient, key)
	}
}

// add registers a link, in the place that Admit has kept. What Admit has checked is
// checked again: there may have been no Admit, and the router may close meanwhile.
func (a *app) add(l *Link) error {
	key := a.clientKey(l.request)
	a.mu.Lock()
	a.letGoLocked(l.request)
	crowded := a.crowdedLocked(key)
	if !l.client && !a.take(serving) {
		crowded = notServing()
	}
	closing := a.root.closing.Load() || a.broken != nil
	if crowded == nil && !closing {
		a.links[l] = struct{}{}
		l.clientKey = key
		a.countLocked(key, 1)
	}
	a.mu.Unlock()
	switch {
	case closing:
		a.refused(l.request, RefusedShutdown, nil)
		return a.shutdownError()
	case crowded != nil:
		a.refused(l.request, crowded.reason, crowded)
		return &CloseError{Code: CloseTryAgainLater, Reason: crowded.Text, Cause: CauseLocal}
	}
	return nil
}

func (a *app) remove(l *Link) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.links, l)
	a.countLocked(l.clientKey, -1)
}

// mayJoinLocked bounds how often a client joins namespaces: MaxOpen at once, which is
// as many as there may be, and MaxOpen a minute.
func (l *Link) mayJoinLocked() bool {
	n := l.app.opts.MaxOpen
	return n == unlimited || l.joins.take(n, float64(n)/60)
}

// A connection with its handshake costs its client about 1 KB, which pays for six
// lines of the log; from then on so do the frames that go over it.
const (
	freeLines = 6
	lineBytes = 256
)

// mayLog keeps a client that joins and leaves for ever from writing more log than
// traffic. It returns how many lines were left out before the one that is allowed.
func (l *Link) mayLog() (ok bool, leftOut int64) {
	if l.lines.Add(1) > freeLines+(l.bytesIn.Load()+l.bytesOut.Load())/lineBytes {
		l.lines.Add(-1)
		l.unlogged.Add(1)
		return false, 0
	}
	return true, l.unlogged.Swap(0)
}

// bucket is what may be done at once, size times, and comes back with time. The zero
// bucket is full.
type bucket struct {
	left   float64
	filled time.Time
}

// take takes one of size, of which rate come back each second.
func (b *bucket) take(size int, rate float64) bool {
	now := time.Now()
	if b.filled.IsZero() {
		b.left = float64(size)
	} else {
		b.left = min(b.left+now.Sub(b.filled).Seconds()*rate, float64(size))
	}
	b.filled = now
	if b.left < 1 {
		return false
	}
	b.left--
	return true
}

// StatusError is returned by [Dial] and [Router.Connect] when the server answers
// with an HTTP status instead of a connection.
type StatusError struct {
	StatusCode int
	Text       string // of the answer, at most 1 KB

	reason Refusal // of Connect
}

// ServeHTTP answers a request with the status and the text; other than with 403 a
// client may try again, in a few seconds.
func (e *StatusError) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	if e.StatusCode != http.StatusForbidden {
		w.Header().Set("Retry-After", "5")
	}
	http.Error(w, e.Text, e.StatusCode)
}

func (e *StatusError) Error() string {
	return fmt.Sprintf("wsrouter: server answered %d %s: %s", e.StatusCode, http.StatusText(e.StatusCode), e.Text)
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
