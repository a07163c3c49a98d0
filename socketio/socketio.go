// Package socketio serves Socket.IO clients with a wsrouter router: the same
// handlers, rooms and hooks as over plain WebSocket, for an unmodified
// socket.io-client v4.
//
//	http.Handle("/ws", router)                            // plain WebSocket
//	http.Handle("/socket.io/", socketio.New(router, nil)) // Socket.IO
//
// It speaks Socket.IO v5 over Engine.IO v4: long-polling, WebSocket, and the
// upgrade from one to the other. A Socket.IO namespace is the router's of the
// same name; the connect payload is [wsrouter.Conn.Auth]; an ack is a request,
// which [wsrouter.Context.Reply] answers and [wsrouter.Conn.Call] sends. The
// arguments of an event are what [wsrouter.Context.Args] binds. A []byte travels
// as a binary attachment, in both directions.
//
// What Socket.IO cannot do: cancel a request other than by leaving, pull a
// stream with credit, and tell a close code. The items of a stream are emitted,
// and an ack that was asked for comes at its end.
//
// The package is written against what wsrouter exports for adapters, from the
// bottom up: engine.go and packet.go are the two layers of packets, attachment.go
// the bytes in them, format.go turns messages into packets; session.go is one
// client's connection over polling.go and websocket.go; namespace.go lets it into
// namespaces and hands its events to them; this file finds the session.
package socketio

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"slices"
	"sync"

	"github.com/wsrouter/wsrouter"
)

// Options are the choices of one Socket.IO mount. The limits, times and origins
// are the router's.
type Options struct {
	// Namespaces are those that can be reached through this mount; nil is all.
	Namespaces []string

	// Errors says how a failed event is told; the zero value emits "exception"
	// and acks.
	Errors ErrorMode

	// Cookie is set on the polling handshake with the session's id as its value,
	// for load balancers that stick to a server by it. Nil sets none.
	Cookie *http.Cookie

	// Credentials lets pages of the router's Origins send cookies with their
	// requests. With the origin "*" New panics.
	Credentials bool
}

// handler is one mount.
type handler struct {
	router *wsrouter.Router
	opts   Options
	limits wsrouter.Options

	mu       sync.Mutex // guards sessions
	sessions map[string]*session
}

// New returns a handler that serves Socket.IO clients of the router's tree. opts
// may be nil and is copied. Mount it at any path that ends in a slash, and tell
// the client where it is not "/socket.io/".
func New(router *wsrouter.Router, opts *Options) http.Handler {
	h := &handler{router: router, limits: router.Options(), sessions: make(map[string]*session)}
	if opts != nil {
		h.opts = *opts
		h.opts.Namespaces = slices.Clone(opts.Namespaces)
	}
	if h.opts.Credentials && slices.Contains(h.limits.Origins, "*") {
		panic("socketio: credentials for every origin: name the origins")
	}
	return h
}

// The errors of Engine.IO, which a client knows by their code.
type engineError struct {
	Code    int    `json:"code"`
	Message string `json:"message"`
	status  int
}

var (
	errTransport = &engineError{0, "Transport unknown", http.StatusBadRequest}
	errSession   = &engineError{1, "Session ID unknown", http.StatusBadRequest}
	errMethod    = &engineError{2, "Bad handshake method", http.StatusBadRequest}
	errRequest   = &engineError{3, "Bad request", http.StatusBadRequest}
	errVersion   = &engineError{5, "Unsupported protocol version", http.StatusBadRequest}
)

func (e *engineError) write(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(e.status)
	json.NewEncoder(trimNewline{w}).Encode(e)
}

// trimNewline takes away the newline that json.Encoder ends with: clients compare
// the bytes.
type trimNewline struct{ http.ResponseWriter }

func (t trimNewline) Write(p []byte) (int, error) {
	_, err := t.ResponseWriter.Write(p[:len(p)-1])
	return len(p), err
}

// ServeHTTP answers one request of a client: a handshake, a poll, a post, or a
// WebSocket. The order of the checks is the reference's.
func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h.allowOrigin(w, r)
	q := r.URL.Query()
	transport, sid := q.Get("transport"), q.Get("sid")
	upgrade := isUpgrade(r)
	switch {
	case r.Method == http.MethodOptions && r.Header.Get("Access-Control-Request-Method") != "" && len(h.limits.Origins) > 0:
		h.preflight(w, r)
		return
	case transport != "polling" && transport != "websocket":
		errTransport.write(w)
		return
	case sid != "":
		h.serveSession(w, r, sid, upgrade)
		return
	}
	err := h.checkHandshake(r, transport, upgrade)
	switch {
	case err != nil:
		err.write(w)
	case upgrade:
		h.handshakeWebSocket(w, r)
	default:
		h.handshakePolling(w, r)
	}
}

func (h *handler) checkHandshake(r *http.Request, transport string, upgrade bool) *engineError {
	switch {
	case r.Method != http.MethodGet:
		return errMethod
	case (transport == "websocket") != upgrade:
		return errRequest
	case r.URL.Query().Get("EIO") != "4":
		return errVersion
	}
	if err := h.router.Admit(r); err != nil {
		if err.StatusCode == http.StatusForbidden {
			return &engineError{4, "Forbidden", http.StatusForbidden}
		}
		return &engineError{3, err.Text, err.StatusCode}
	}
	return nil
}

func (h *handler) serveSession(w http.ResponseWriter, r *http.Request, sid string, upgrade bool) {
	s := h.session(sid)
	switch {
	case s == nil:
		errSession.write(w)
	case r.URL.Query().Get("EIO") != "4":
		errRequest.write(w)
	case upgrade:
		s.upgrade(w, r)
	case r.URL.Query().Get("transport") != "polling" || s.isWebSocket():
		errRequest.write(w)
	case r.Method == http.MethodGet:
		s.poll(w, r)
	case r.Method == http.MethodPost:
		s.post(w, r)
	default:
		w.WriteHeader(http.StatusInternalServerError) // as the reference
	}
}

func (h *handler) session(sid string) *session {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.sessions[sid]
}

func (h *handler) addSession(s *session) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.sessions[s.sid] = s
}

func (h *handler) removeSession(s *session) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.sessions, s.sid)
}

// newSID returns 20 random characters. A session's id is a secret of its client:
// whoever has it can speak for it.
func newSID() string {
	var b [15]byte
	rand.Read(b[:])
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// allowOrigin sets the CORS headers for a page of another origin that may
// connect; they stand on errors, too, or the page could not read them.
func (h *handler) allowOrigin(w http.ResponseWriter, r *http.Request) {
	origin := r.Header.Get("Origin")
	if len(h.limits.Origins) == 0 || origin == "" {
		return
	}
	w.Header().Add("Vary", "Origin")
	if !h.router.AllowsOrigin(r) {
		return
	}
	w.Header().Set("Access-Control-Allow-Origin", origin)
	if h.opts.Credentials {
		w.Header().Set("Access-Control-Allow-Credentials", "true")
	}
}

func (h *handler) preflight(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Access-Control-Allow-Methods", "GET,POST")
	w.Header().Set("Access-Control-Allow-Headers", r.Header.Get("Access-Control-Request-Headers"))
	w.Header().Add("Vary", "Access-Control-Request-Headers")
	w.WriteHeader(http.StatusNoContent)
}
