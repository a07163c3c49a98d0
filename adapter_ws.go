package wsrouter

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"path"
	"strings"
	"time"

	"github.com/wsrouter/wsrouter/internal/socket"
)

// Subprotocol is the WebSocket subprotocol of PROTOCOL.md. Our clients offer it;
// a client that offers none is served all the same.
const Subprotocol = "wsrouter.v1"

// WSOptions are the choices of one plain WebSocket mount.
type WSOptions struct {
	// Codec is the variant of the protocol; zero is JSON.
	Codec Codec

	// AuthFrame wants {"auth":…} as the first frame, within
	// Options.ConnectTimeout; OnConnect runs after it and reads it with
	// Conn.Auth. Browsers cannot set headers, and a token in a query ends up in
	// logs.
	AuthFrame bool

	// Detach makes ServeHTTP return once the client is connected, which about
	// halves what an idle connection costs. The request is then kept beyond its
	// handler: its method, URL, headers and PathValue stay readable, but values
	// in its context that a router or middleware in front takes back when its
	// handler returns (as chi's URL parameters) must not be used any more.
	Detach bool

	// Subprotocols are accepted besides Subprotocol, the first that the client
	// offers, too, wins.
	Subprotocols []string
}

// ServeHTTP serves a WebSocket client of this namespace with default WSOptions.
// It returns when the connection has ended and OnDisconnect has run.
func (r *Router) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	r.serveWS(w, req, &WSOptions{})
}

// Handler returns a handler that serves WebSocket clients of this namespace. The
// options may be nil and are copied. A namespace may be mounted several times.
func (r *Router) Handler(opts *WSOptions) http.Handler {
	var o WSOptions
	if opts != nil {
		o = *opts
		o.Subprotocols = append([]string(nil), opts.Subprotocols...)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) { r.serveWS(w, req, &o) })
}

func (r *Router) serveWS(w http.ResponseWriter, req *http.Request, opts *WSOptions) {
	if !r.Admit(w, req) {
		return
	}
	t := &wsTransport{}
	limits := &r.app.opts
	sock, err := socket.Accept(w, req, socket.Options{
		Subprotocols:   append([]string{Subprotocol}, opts.Subprotocols...),
		MaxMessage:     int64(limits.MaxMessage),
		MessageTimeout: limits.MessageTimeout,
		WriteTimeout:   limits.WriteTimeout,
		Alive:          func() { t.link.Alive(0) },
	})
	if err != nil {
		return // it has answered
	}
	t.socket, t.pongTimeout = sock, limits.PongTimeout
	link, err := r.NewLink(t, LinkOptions{Request: req})
	if err != nil {
		ce := new(CloseError)
		errors.As(err, &ce)
		sock.Close(ce.Code, ce.Reason)
		return
	}
	t.link = link
	p := &plain{router: r, link: link, wire: t, codec: opts.Codec}
	if opts.Detach {
		go p.serve(opts.AuthFrame)
		return
	}
	p.serve(opts.AuthFrame)
}

// Admit checks whether a client may connect to this namespace: its Origin header
// (403), and that the namespace is neither shutting down nor failed to
// initialize (503 with Retry-After). It runs OnInit if nobody has yet. If it
// returns false it has answered the request. Adapters call it before they take
// a client's first request.
func (r *Router) Admit(w http.ResponseWriter, req *http.Request) bool {
	err := r.admit(req)
	if err == nil {
		return true
	}
	if err.StatusCode == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "5")
	}
	http.Error(w, err.Text, err.StatusCode)
	return false
}

func (r *Router) admit(req *http.Request) *StatusError {
	r.app.freeze()
	switch {
	case !originAllowed(req, r.app.opts.Origins):
		return &StatusError{http.StatusForbidden, "origin not allowed"}
	case r.isClosing():
		return &StatusError{http.StatusServiceUnavailable, "shutting down"}
	case r.initialize() != nil:
		return &StatusError{http.StatusServiceUnavailable, "not available"}
	}
	return nil
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

// wsTransport is the WebSocket as a [Transport], at either end.
type wsTransport struct {
	socket      *socket.Conn
	link        *Link
	pongTimeout time.Duration
}

func (t *wsTransport) read() ([]byte, bool, error) {
	data, text, err := t.socket.Read()
	if err != nil {
		return nil, false, readFailure(err)
	}
	return data, text, nil
}

func readFailure(err error) *CloseError {
	if code, reason, ok := socket.CloseStatus(err); ok {
		return &CloseError{Code: code, Reason: reason, Cause: CausePeer}
	}
	switch {
	case errors.Is(err, socket.ErrTooBig):
		return tooBig()
	case errors.Is(err, socket.ErrTimeout):
		return &CloseError{Code: ClosePolicy, Reason: "message took too long", Cause: CauseTimeout}
	case errors.Is(err, socket.ErrProtocol):
		return &CloseError{Code: CloseProtocol, Reason: "protocol error", Cause: CauseProtocol, err: err}
	}
	return &CloseError{Code: CloseAbnormal, Cause: CausePeer, err: err}
}

func (t *wsTransport) Write(batch []Frame) error {
	t.socket.Begin()
	for _, f := range batch {
		if err := t.socket.Write(f.Text, true); err != nil {
			return err
		}
	}
	return t.socket.End()
}

func (t *wsTransport) Ping()                         { t.socket.Ping(t.pongTimeout) }
func (t *wsTransport) Close(code int, reason string) { t.socket.Close(code, reason) }
func (t *wsTransport) Abort()                        { t.socket.Abort() }
