package wsrouter

import (
	"fmt"
	"net"
	"net/http"
	"net/url"
	"path"
	"strings"
)

// Admit checks whether a client may connect to this namespace: its Origin header
// (403), that there is room for another client (503) of that [Options.ClientKey]
// (429), and that the namespace is neither shutting down nor failed to initialize
// (503). It runs OnInit if nobody has yet. Adapters call it before they take a
// client's first request; nil lets it in.
func (r *Router) Admit(req *http.Request) *StatusError {
	return r.admit(req, req.Context().Done())
}

// admit waits for OnInit until gone is closed.
func (r *Router) admit(req *http.Request, gone <-chan struct{}) *StatusError {
	r.app.freeze()
	key := r.app.clientKey(req)
	r.app.mu.Lock()
	err := r.app.crowdedLocked(key)
	r.app.mu.Unlock()
	switch {
	case !originAllowed(req, r.app.opts.Origins):
		err = &StatusError{http.StatusForbidden, "origin not allowed", RefusedOrigin}
	case r.isClosing():
		err = &StatusError{http.StatusServiceUnavailable, "shutting down", RefusedShutdown}
	case err != nil:
	case r.app.broken != nil, r.initialize(gone) != nil:
		err = &StatusError{http.StatusServiceUnavailable, "not available", RefusedInit}
	}
	if err != nil {
		r.app.refused(req, err.reason, err)
	}
	return err
}

// AllowsOrigin reports whether a page of the request's Origin may connect, as
// Admit checks.
func (r *Router) AllowsOrigin(req *http.Request) bool {
	return originAllowed(req, r.app.opts.Origins)
}

// Refusal is why a client was not let in, see [Stats] and [Trace].
type Refusal string

// The refusals.
const (
	RefusedOrigin   Refusal = "origin"     // Options.Origins does not have it
	RefusedMaxConns Refusal = "max_conns"  // Options.MaxConns are there
	RefusedClient   Refusal = "max_client" // Options.MaxConnsPerClient are there
	RefusedShutdown Refusal = "shutdown"
	RefusedInit     Refusal = "init"    // OnInit failed
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
	return host
}

// crowdedLocked says why there is no room for another client.
func (a *app) crowdedLocked(key string) *StatusError {
	switch {
	case len(a.links) >= a.opts.MaxConns:
		return &StatusError{http.StatusServiceUnavailable, "too many connections", RefusedMaxConns}
	case a.perClient[key] >= a.opts.MaxConnsPerClient:
		return &StatusError{http.StatusTooManyRequests, "too many connections from you", RefusedClient}
	}
	return nil
}

// add registers a link. What Admit has checked is checked again: others may have
// come meanwhile.
func (a *app) add(l *Link) error {
	key := a.clientKey(l.request)
	a.mu.Lock()
	crowded := a.crowdedLocked(key)
	closing := a.root.closing.Load() || a.broken != nil
	if crowded == nil && !closing {
		a.links[l] = struct{}{}
		if l.clientKey = key; key != "" {
			a.perClient[key]++
		}
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
	if l.clientKey == "" {
		return
	}
	if a.perClient[l.clientKey]--; a.perClient[l.clientKey] == 0 {
		delete(a.perClient, l.clientKey)
	}
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

// originAllowed reports whether a browser's page may connect. Others send no
// Origin header.
func originAllowed(req *http.Request, patterns []string) bool {
	origin := req.Header.Get("Origin")
	if origin == "" {
		return true
	}
	u, err := url.Parse(origin)
	if err != nil || u.Host == "" { // "null", from a file or a sandboxed frame
		u = &url.URL{Scheme: "null", Host: "null"}
	} else if strings.EqualFold(u.Host, req.Host) {
		return true
	}
	host := strings.ToLower(u.Host)
	for _, pattern := range patterns {
		target := host
		if strings.Contains(pattern, "://") {
			target = strings.ToLower(u.Scheme) + "://" + host
		}
		if ok, _ := path.Match(strings.ToLower(pattern), target); ok {
			return true
		}
	}
	return false
}

func checkOrigins(patterns []string) {
	for _, pattern := range patterns {
		if _, err := path.Match(pattern, ""); err != nil || pattern == "" {
			panic(fmt.Sprintf("wsrouter: invalid pattern %q in Options.Origins", pattern))
		}
	}
}
