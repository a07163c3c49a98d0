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
// as a binary attachment, in both directions: an any gets a []byte, and Raw shows
// base64 in its place. Only behind an embedded pointer to an unexported struct, and
// in what a MarshalJSON makes, bytes are sent as base64.
//
// What Socket.IO cannot do: cancel a request other than by leaving, pull a
// stream with credit, and tell a close code. The items of a stream are emitted,
// and an ack that was asked for comes at its end.
//
// The router's limits hold here, too. MaxMessage is what a request's body or a
// WebSocket message may have, and an event together with its attachments, of
// which there may be [Options.MaxAttachments]. ConnectTimeout is also the time until
// a client without a namespace is closed. A client joins MaxOpen namespaces at once,
// and as many a minute; then it is closed.
//
// A client that is told CONNECT_ERROR or DISCONNECT does not come back by itself,
// one whose transport ends does. So the transport ends, with all its namespaces,
// for a client that shall come back: when OnConnect refuses with 1011, 1012 or 1013
// or takes longer than ConnectTimeout, and after Close and Disconnect with one of
// these codes. A second CONNECT for a namespace is not answered before OnConnect has
// decided about the first, then as that was.
//
// With [wsrouter.Options.Recovery] a client from version 4.6 on comes back to each of
// its namespaces by itself, and gets the events that it has missed. Events that want an
// ack, and acks, are not kept: they go with the transport, as with Node's server. A
// goodbye is a DISCONNECT, or a WebSocket's code 1001, by which browsers leave a page;
// any other end that the client's side brings about is a loss, also that of the
// Engine.IO session, and polls that stop. The keys pid and offset of a payload that has
// a pid are the client's own, and Auth does not show them. After Close with
// [wsrouter.CloseResume] the transport ends, and the client comes back with a new
// payload.
//
// What is refused is counted and logged as [wsrouter.Refusal] says: Engine.IO's
// errors by the reasons below, a client that breaks the protocol before it is in a
// namespace, for example as it has another parser, as wsrouter.RefusedProtocol, one
// without a CONNECT in time as wsrouter.RefusedTimeout.
//
// The package is written against what wsrouter exports for adapters, from the
// bottom up: engine.go and packet.go are the two layers of packets; attachment.go
// takes bytes out of what is sent, placeholder.go puts them back into what comes;
// format.go turns messages into packets; recovery.go numbers them, for clients that
// come back; session.go is one client's connection over polling.go and websocket.go;
// namespace.go lets it into namespaces and hands its events to them; this file finds
// the session.
package socketio

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math"
	mathrand "math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/wsrouter/wsrouter"
	"github.com/wsrouter/wsrouter/adapter"
	"github.com/wsrouter/wsrouter/internal/origin"
)

// Options are the choices of one Socket.IO mount. The limits, times and origins
// are the router's.
type Options struct {
	// Namespaces are those that can be reached through this mount; nil is all.
	Namespaces []string

	// Errors says how a failed event is told; the zero value emits "exception"
	// and acks.
	Errors ErrorMode

	// MaxAttachments is how many attachments an event or ack may have; zero is 10, as
	// in Node's parser, negative is no limit but MaxMessage, of which each beyond ten
	// then takes 64 bytes more. A client that sends more is closed, and the log
	// says so; what a handler sends with more is an error.
	MaxAttachments int

	// Cookie is set on the polling handshake with the session's id as its value,
	// for load balancers that stick to a server by it. Nil sets none.
	Cookie *http.Cookie

	// Node names this server in the ids of its sessions, as a in "a.…", for a proxy
	// that finds the server of a request by the sid in its query: letters, digits,
	// "-" and "_", or New panics. Clients can read it. Empty leaves it out.
	Node string

	// Detach makes the handler of a WebSocket return once the client is in a namespace,
	// as [wsrouter.WSOptions.Detach] does.
	Detach bool

	// Credentials lets pages of the router's Origins, and those that its AllowOrigin
	// lets connect, send cookies with their requests. New panics for an origin that
	// anybody's page may have: of a pattern the end of the host, behind the last
	// dot, has to be named.
	Credentials bool
}

// handler is one mount.
type handler struct {
	host   adapter.Host
	opts   Options
	limits adapter.Limits

	mu       sync.Mutex // guards what follows
	sessions map[string]*session
	left     leavers
}

// New returns a handler that serves Socket.IO clients of the router's tree. opts
// may be nil and is copied. Mount it at any path that ends in a slash, and tell
// the client where it is not "/socket.io/"; for clients with addTrailingSlash:
// false mount it at "/socket.io", too.
func New(router *wsrouter.Router, opts *Options) http.Handler { return serve(router.Adapter(), opts) }

func serve(host adapter.Host, opts *Options) *handler {
	h := &handler{host: host, limits: host.Limits(), sessions: make(map[string]*session)}
	if opts != nil {
		h.opts = *opts
		h.opts.Namespaces = slices.Clone(opts.Namespaces)
	}
	if h.opts.MaxAttachments == 0 {
		h.opts.MaxAttachments = usualAttachments
	} else if h.opts.MaxAttachments < 0 {
		h.opts.MaxAttachments = math.MaxInt
	}
	if h.opts.Credentials && slices.ContainsFunc(h.limits.Origins, isOpen) {
		panic("socketio: credentials for every origin: name the origins")
	}
	if strings.Trim(h.opts.Node, nodeLetters) != "" {
		panic(fmt.Sprintf("socketio: invalid Options.Node %q", h.opts.Node))
	}
	return h
}

// isOpen reports whether anybody may have a page of that pattern.
func isOpen(pattern string) bool {
	p, err := origin.ParsePattern(pattern) // which the router has seen
	return err != nil || p.Open()
}

// Reasons for which requests are refused, besides the router's: Engine.IO's errors.
// Code 4, Forbidden, is wsrouter.RefusedOrigin.
const (
	RefusedTransport wsrouter.Refusal = "transport"   // code 0: there is no such transport, or none is named
	RefusedSession   wsrouter.Refusal = "session"     // code 1: the sid is not known, as after a restart or on another server
	RefusedMethod    wsrouter.Refusal = "method"      // code 2: a handshake that is no GET
	RefusedRequest   wsrouter.Refusal = "bad_request" // code 3: what does not fit the session or the transport
	RefusedVersion   wsrouter.Refusal = "version"     // code 5: EIO is not 4, as of clients before version 3
	RefusedNamespace wsrouter.Refusal = "namespace"   // a CONNECT for a namespace that is not there
)

// The errors of Engine.IO, which a client knows by their code.
type engineError struct {
	Code    int    `json:"code"`
	Message string `json:"message"`
	status  int
	reason  wsrouter.Refusal // empty where the router has counted it
}

// Error is for logs.
func (e *engineError) Error() string {
	return fmt.Sprintf("Engine.IO code %d: %s", e.Code, e.Message)
}

var (
	errTransport   = &engineError{0, "Transport unknown", http.StatusBadRequest, RefusedTransport}
	errSession     = &engineError{1, "Session ID unknown", http.StatusBadRequest, RefusedSession}
	errMethod      = &engineError{2, "Bad handshake method", http.StatusBadRequest, RefusedMethod}
	errRequest     = &engineError{3, "Bad request", http.StatusBadRequest, RefusedRequest}
	errUnavailable = &engineError{3, "Bad request", http.StatusServiceUnavailable, ""}
	errForbidden   = &engineError{4, "Forbidden", http.StatusForbidden, ""}
	errVersion     = &engineError{5, "Unsupported protocol version", http.StatusBadRequest, RefusedVersion}
)

// refuse answers a request with an error, and makes that known. The read deadline is
// for a body, for which net/http waits; the server sets its own for what comes next.
func (h *handler) refuse(w http.ResponseWriter, r *http.Request, e *engineError) {
	if r.ContentLength != 0 {
		http.NewResponseController(w).SetReadDeadline(time.Now().Add(h.limits.WriteTimeout))
	}
	if e.reason != "" {
		h.host.Refused(r, string(e.reason), e)
	}
	e.write(w, isUpgrade(r))
}

// write answers a request. One for an upgrade gets the bare text with 400, as
// from the reference; but what is no mistake of the client's, and may be tried
// again, keeps its status.
func (e *engineError) write(w http.ResponseWriter, upgrade bool) {
	header := w.Header()
	status, body := e.status, []byte(e.Message)
	if status == http.StatusServiceUnavailable || status == http.StatusTooManyRequests {
		header.Set("Retry-After", "5")
	} else if upgrade {
		status = http.StatusBadRequest
	}
	header.Set("Content-Type", "text/html")
	if upgrade {
		header.Set("Connection", "close")
	} else {
		header.Set("Content-Type", "application/json")
		body, _ = json.Marshal(e)
	}
	w.WriteHeader(status)
	w.Write(body)
}

// ServeHTTP answers one request of a client: a handshake, a poll, a post, or a
// WebSocket. The order of the checks is the reference's.
func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h.allowOrigin(w, r)
	q := r.URL.Query()
	transport, sid := q.Get("transport"), q.Get("sid")
	upgrade := isUpgrade(r)
	switch {
	case r.Method == http.MethodOptions && h.limits.CrossOrigin:
		h.preflight(w, r)
		return
	case isScript(r.URL.Path) && transport == "":
		noScript(w)
		return
	case transport != "polling" && transport != "websocket":
		h.refuse(w, r, errTransport)
		return
	case sid != "":
		h.serveSession(w, r, sid, upgrade)
		return
	}
	err := h.checkHandshake(r, transport, upgrade)
	switch {
	case err != nil:
		h.refuse(w, r, err)
	case upgrade:
		h.handshakeWebSocket(w, r)
	default:
		h.handshakePolling(w, r)
	}
}

// isScript reports whether a page asks for the client, which Node's server has at
// this path: socket.io.js, and variants and source maps of it.
func isScript(path string) bool {
	name := path[strings.LastIndexByte(path, '/')+1:]
	return strings.HasPrefix(name, "socket.io.") && (strings.HasSuffix(name, ".js") || strings.HasSuffix(name, ".js.map"))
}

func noScript(w http.ResponseWriter) {
	http.Error(w, "This server does not have the client's script. It is in the npm package socket.io-client, version 4, "+
		"as dist/socket.io.js; for other ways see https://socket.io/docs/v4/client-installation/.", http.StatusNotFound)
}

func (h *handler) checkHandshake(r *http.Request, transport string, upgrade bool) *engineError {
	switch {
	case r.Method != http.MethodGet:
		return errMethod
	case (transport == "websocket") != upgrade:
		return errRequest
	}
	err := h.host.Admit(r)
	switch {
	case err != nil && err.Status == http.StatusForbidden:
		return errForbidden
	case err != nil:
		return &engineError{errRequest.Code, err.Text, err.Status, ""}
	case r.URL.Query().Get("EIO") != "4":
		return errVersion
	}
	return nil
}

func (h *handler) serveSession(w http.ResponseWriter, r *http.Request, sid string, upgrade bool) {
	q := r.URL.Query()
	s := h.session(sid)
	switch {
	case s == nil && q.Get("transport") == "polling" && !upgrade && r.Method == http.MethodGet && h.hasLeft(sid):
		pollOfLeaver(w)
	case s == nil:
		h.refuse(w, r, errSession)
	case upgrade != (q.Get("transport") == "websocket"), !upgrade && s.isWebSocket(), q.Get("EIO") != "4":
		h.refuse(w, r, errRequest)
	case upgrade:
		s.upgrade(w, r)
	case r.Method == http.MethodGet && r.ContentLength != 0: // net/http would wait for the body before it answers
		h.refuse(w, r, errRequest)
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

// crowd is how many sessions are so many that their heartbeats are spread.
const crowd = 1000

// addSession returns when the session is first pinged: of many that come at the
// same moment, some earlier.
func (h *handler) addSession(s *session) time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.sessions[s.sid] = s
	first := h.limits.PingInterval
	if len(h.sessions) > crowd {
		first -= mathrand.N(first/4 + 1)
	}
	return first
}

// removeSession forgets a session, all but its id if a poll of its client may be on
// the way.
func (h *handler) removeSession(s *session, polls bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.sessions, s.sid)
	if polls {
		h.left.add(s.sid, time.Now())
	}
}

// hasLeft reports, once, whether the client of a session that is gone has said
// goodbye a moment ago.
func (h *handler) hasLeft(sid string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.left.take(sid, time.Now())
}

const nodeLetters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

// newSID returns 20 random characters, behind Options.Node. A session's id is a
// secret of its client: whoever has it can speak for it.
func (h *handler) newSID() string {
	var b [15]byte
	rand.Read(b[:])
	sid := base64.RawURLEncoding.EncodeToString(b[:])
	if h.opts.Node != "" {
		return h.opts.Node + "." + sid
	}
	return sid
}

// allowOrigin sets the CORS headers for a page of another origin that may
// connect; they stand on errors, too, or the page could not read them.
func (h *handler) allowOrigin(w http.ResponseWriter, r *http.Request) {
	page := r.Header.Get("Origin")
	if !h.limits.CrossOrigin || page == "" {
		return
	}
	w.Header().Add("Vary", "Origin")
	if !h.host.AllowsOrigin(r) {
		return
	}
	w.Header().Set("Access-Control-Allow-Origin", page)
	if h.opts.Credentials {
		w.Header().Set("Access-Control-Allow-Credentials", "true")
	}
}

func (h *handler) preflight(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Access-Control-Allow-Methods", "GET,POST")
	if asked := r.Header.Get("Access-Control-Request-Headers"); asked != "" {
		w.Header().Set("Access-Control-Allow-Headers", asked)
	}
	w.Header().Add("Vary", "Access-Control-Request-Headers")
	w.WriteHeader(http.StatusNoContent)
}
