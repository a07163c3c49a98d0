package wsrouter

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"
	"sync"

	"github.com/wsrouter/wsrouter/adapter"
)

// admit checks whether a client may connect to this namespace: its Origin header
// (403), that there is room for another client (503) of that [Options.ClientKey]
// (429), and that the namespace is neither shutting down nor failed to initialize
// (503). It runs OnInit if nobody has yet, and waits for it until gone is closed.
func (r *Router) admit(req *http.Request, gone <-chan struct{}) *adapter.Refusal {
	r.app.freeze()
	var err *adapter.Refusal
	switch crowded := r.app.sessions.crowded(req); {
	case !originAllowed(req, r.app.opts.Origins):
		err = refusal(http.StatusForbidden, "origin not allowed", RefusedOrigin)
	case requestHeld(req) > maxRequest:
		err = refusal(http.StatusRequestHeaderFieldsTooLarge, "request headers too large", RefusedRequest)
	case r.isClosing():
		err = refusal(http.StatusServiceUnavailable, "shutting down", RefusedShutdown)
	case crowded != nil:
		err = crowded
	case r.app.broken != nil, r.initialize(gone) != nil:
		err = refusal(http.StatusServiceUnavailable, "not available", RefusedInit)
	}
	if err != nil {
		r.app.refused(req, Refusal(err.Reason), err)
	}
	return err
}

func refusal(status int, text string, reason Refusal) *adapter.Refusal {
	return &adapter.Refusal{Status: status, Text: text, Reason: string(reason)}
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

	// RefusedRequest is that of a client whose request cannot be kept for as long
	// as it is connected: its headers hold more than 256 KiB, at 128 bytes for
	// each value besides its letters.
	RefusedRequest Refusal = "request"
)

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

// refused counts and traces a refusal.
func (a *app) refused(req *http.Request, reason Refusal, err error) {
	a.counters.refusals.add(reason)
	if t := a.opts.Trace; t.Refuse != nil {
		a.trace(func() { t.Refuse(req, reason, err) })
	}
}

// sessions knows the clients of a tree: their transports, for which there has to
// be room, and their Conns, which may outlive those.
type sessions struct {
	opts *Options

	mu        sync.Mutex // guards everything below
	closed    bool       // the tree shuts down, or its handlers could not be built
	byLink    map[*link]struct{}
	conns     map[*Conn]struct{}
	perClient map[string]int // links by ClientKey; empty without a limit
}

func newSessions(opts *Options) *sessions {
	return &sessions{
		opts:      opts,
		byLink:    make(map[*link]struct{}),
		conns:     make(map[*Conn]struct{}),
		perClient: make(map[string]int),
	}
}

// clientKey returns whose connections are counted together; empty without a limit.
func (s *sessions) clientKey(req *http.Request) string {
	if s.opts.MaxConnsPerClient == unlimited {
		return ""
	}
	if s.opts.ClientKey != nil {
		return s.opts.ClientKey(req)
	}
	host, _, err := net.SplitHostPort(req.RemoteAddr)
	if err != nil {
		return req.RemoteAddr
	}
	return host
}

// crowded says why there is no room for another client, nil if there is.
func (s *sessions) crowded(req *http.Request) *adapter.Refusal {
	key := s.clientKey(req)
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.crowdedLocked(key)
}

func (s *sessions) crowdedLocked(key string) *adapter.Refusal {
	switch {
	case len(s.byLink) >= s.opts.MaxConns:
		return refusal(http.StatusServiceUnavailable, "too many connections", RefusedMaxConns)
	case s.perClient[key] >= s.opts.MaxConnsPerClient:
		return refusal(http.StatusTooManyRequests, "too many connections from you", RefusedClient)
	}
	return nil
}

// add registers a link. What admit has checked is checked again: others may have
// come meanwhile.
func (s *sessions) add(l *link) *adapter.Refusal {
	key := s.clientKey(l.request)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return refusal(http.StatusServiceUnavailable, "shutting down", RefusedShutdown)
	}
	if crowded := s.crowdedLocked(key); crowded != nil {
		return crowded
	}
	s.byLink[l] = struct{}{}
	if l.clientKey = key; key != "" {
		s.perClient[key]++
	}
	return nil
}

func (s *sessions) remove(l *link) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.byLink, l)
	if l.clientKey == "" {
		return
	}
	if s.perClient[l.clientKey]--; s.perClient[l.clientKey] == 0 {
		delete(s.perClient, l.clientKey)
	}
}

// close lets no more links in.
func (s *sessions) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
}

func (s *sessions) addConn(c *Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.conns[c] = struct{}{}
}

func (s *sessions) removeConn(c *Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
}

func (s *sessions) links() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.byLink)
}

func (s *sessions) all() []*link {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Collect(maps.Keys(s.byLink))
}

func (s *sessions) allConns() []*Conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Collect(maps.Keys(s.conns))
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
