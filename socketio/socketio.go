// Package socketio serves Socket.IO clients with a wsrouter router. Handlers, rooms
// and hooks are the same as over plain WebSocket; the client is an unmodified
// socket.io-client v4.
//
//	http.Handle("/ws", router)                            // plain WebSocket
//	http.Handle("/socket.io/", socketio.New(router, nil)) // Socket.IO
//
// The package speaks Socket.IO v5 over Engine.IO v4: long-polling, WebSocket, and
// the upgrade from one to the other. Socket.IO's terms have these counterparts:
//
//   - A namespace is the router's namespace with the same name.
//   - The auth payload is [wsrouter.Conn.Auth].
//   - An event with an ack is a request: [wsrouter.Context.Reply] answers one from
//     the client, and [wsrouter.Conn.Call] sends one to it.
//   - Several arguments are what [wsrouter.Context.Args] binds.
//
// A []byte travels as a binary attachment, in both directions. Bound to an any it
// is a []byte; Raw shows base64 in its place. Bytes behind an embedded pointer to
// an unexported struct, and in what a MarshalJSON produces, are sent as base64.
//
// Socket.IO cannot cancel a request (other than by leaving the namespace), cannot
// pull a stream with credit, and cannot transmit a close code. The items of a
// stream are emitted; if the client asked for an ack it comes after the last item.
//
// # Limits
//
// The router's limits apply. MaxMessage bounds the body of a request and a
// WebSocket message, and also an event together with its attachments, of which
// there may be [Options.MaxAttachments]. A client that is in no namespace after
// ConnectTimeout is closed. A client may join MaxOpen namespaces at once, and as
// many a minute; beyond that it is closed.
//
// # Which clients reconnect
//
// A client that receives CONNECT_ERROR or DISCONNECT does not reconnect on its own;
// a client whose transport ends does. Therefore the whole transport ends, with all
// its namespaces, if the client should come back: when OnConnect refuses with 1011,
// 1012 or 1013 or takes longer than ConnectTimeout, and after Close and Disconnect
// with one of these codes. A second CONNECT for a namespace is answered like the
// first, once OnConnect has decided about the first.
//
// # Recovery
//
// With [wsrouter.Options.Recovery] a client from version 4.6 on resumes each of its
// namespaces on its own, and gets the events it has missed. Events that ask for an
// ack, and acks, are lost with the transport, as with Node's server. A goodbye is a
// DISCONNECT, or a WebSocket's code 1001, which browsers send when a page is left.
// Any other end that the client's side brings about is a loss, including the end of
// the Engine.IO session and polls that stop. In an auth payload with a pid, the
// keys pid and offset belong to the client, and Auth does not show them. After
// Close with [wsrouter.CloseResume] the transport ends and the client comes back
// with a new payload.
//
// # Refusals
//
// Refused clients are counted and logged, see [wsrouter.Refusal]: Engine.IO's
// errors with the reasons below; a client that breaks the protocol before it is in
// a namespace, for example because it uses another parser, as
// wsrouter.RefusedProtocol; and one that sends no CONNECT in time as
// wsrouter.RefusedTimeout.
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
	"github.com/wsrouter/wsrouter/internal/usercode"
)

// Options configure one Socket.IO mount. Limits, timeouts and origins are those of
// the router.
type Options struct {
	// Namespaces are the full names of the namespaces that can be reached through
	// this mount; nil means all.
	Namespaces []string

	// Errors says how a client is told that an event failed. The zero value is
	// ErrorsBoth.
	Errors ErrorMode

	// MaxAttachments is how many attachments an event or ack may have. Zero means
	// 10, as in Node's parser. Negative means that only MaxMessage limits them;
	// each attachment beyond ten then counts 64 bytes more. A client that sends
	// more is closed, and the log says so. A handler that sends more gets an error.
	MaxAttachments int

	// Cookie is set by the polling handshake, with the session's id as its value,
	// for load balancers that use it for sticky sessions. Nil sets none.
	Cookie *http.Cookie

	// Node names this server in the ids of its sessions, like the a in "a.…", for a
	// proxy that finds the server of a request by the sid in its query. It may
	// contain letters, digits, "-" and "_"; otherwise New panics. Clients can read
	// it. Empty leaves it out.
	Node string

	// Detach lets the handler of a WebSocket return once the client is in a
	// namespace, as [wsrouter.WSOptions.Detach] does.
	Detach bool

	// Credentials lets pages of the router's Origins, and those that its
	// AllowOrigin accepts, send cookies with their requests. New panics if an
	// origin may be anybody's: a pattern must name the end of the host, after the
	// last dot.
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
// may be nil and is copied. Mount the handler at any path that ends in a slash;
// tell the client the path unless it is "/socket.io/". For clients with
// addTrailingSlash: false mount it at "/socket.io", too. New panics if an option is
// invalid. The handler is safe for concurrent use.
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
		panic("socketio: Options.Credentials needs Origins that name their hosts")
	}
	if strings.Trim(h.opts.Node, nodeLetters) != "" {
		panic(fmt.Sprintf("socketio: invalid Options.Node %q", h.opts.Node))
	}
	return h
}

// isOpen reports whether anybody may have a page that matches the pattern.
func isOpen(pattern string) bool {
	p, err := origin.ParsePattern(pattern) // the router has checked it
	return err != nil || p.Open()
}

// Reasons for which requests are refused, in addition to the router's. They are
// Engine.IO's errors; code 4, Forbidden, is wsrouter.RefusedOrigin.
const (
	RefusedTransport wsrouter.Refusal = "transport"   // code 0: no transport is named, or an unknown one
	RefusedSession   wsrouter.Refusal = "session"     // code 1: the sid is unknown, for example after a restart or on another server
	RefusedMethod    wsrouter.Refusal = "method"      // code 2: a handshake that is not a GET
	RefusedRequest   wsrouter.Refusal = "bad_request" // code 3: the request does not fit the session or the transport
	RefusedVersion   wsrouter.Refusal = "version"     // code 5: EIO is not 4, for example with clients before version 3
	RefusedNamespace wsrouter.Refusal = "namespace"   // a CONNECT for a namespace that does not exist
)

// The errors of Engine.IO. Clients know them by their code.
type engineError struct {
	Code    int    `json:"code"`
	Message string `json:"message"`
	status  int
	reason  wsrouter.Refusal // empty if the router has counted it
}

// Error returns the code and the message, for logs.
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

// refuse answers a request with an error and reports it. The read deadline is for a
// body that net/http waits for; the server sets its own deadline for the next
// request.
func (h *handler) refuse(w http.ResponseWriter, r *http.Request, e *engineError) {
	if r.ContentLength != 0 {
		http.NewResponseController(w).SetReadDeadline(time.Now().Add(h.limits.WriteTimeout))
	}
	if e.reason != "" {
		h.host.Refused(r, string(e.reason), e)
	}
	e.write(w, isUpgrade(r))
}

// write answers a request. An upgrade is answered with the bare text and 400, as by
// the reference; but errors that are not the client's mistake, after which it may
// retry, keep their status.
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
// WebSocket. The order of the checks is that of the reference.
func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !isUpgrade(r) {
		h.serve(w, r, false)
		return
	}
	// A WebSocket is accepted in another goroutine: this one lasts as long as the
	// connection, and its stack can stay half as large.
	var in *inbound
	usercode.Elsewhere(func() { in = h.serve(w, r, true) })
	if in != nil {
		in.read()
	}
}

// serve answers a request. It returns the WebSocket that a session has got by it, if
// any.
func (h *handler) serve(w http.ResponseWriter, r *http.Request, upgrade bool) *inbound {
	h.allowOrigin(w, r)
	q := r.URL.Query()
	transport, sid := q.Get("transport"), q.Get("sid")
	switch {
	case r.Method == http.MethodOptions && h.limits.CrossOrigin:
		h.preflight(w, r)
		return nil
	case isScript(r.URL.Path) && transport == "":
		noScript(w)
		return nil
	case transport != "polling" && transport != "websocket":
		h.refuse(w, r, errTransport)
		return nil
	case sid != "":
		return h.serveSession(w, r, sid, upgrade)
	}
	err := h.checkHandshake(r, transport, upgrade)
	switch {
	case err != nil:
		h.refuse(w, r, err)
	case upgrade:
		return h.handshakeWebSocket(w, r)
	default:
		h.handshakePolling(w, r)
	}
	return nil
}

// isScript reports whether a page asks for the client script, which Node's server
// has at this path: socket.io.js, its variants, and their source maps.
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

func (h *handler) serveSession(w http.ResponseWriter, r *http.Request, sid string, upgrade bool) *inbound {
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
		return s.upgrade(w, r)
	case r.Method == http.MethodGet && r.ContentLength != 0: // net/http would wait for the body before it answers
		h.refuse(w, r, errRequest)
	case r.Method == http.MethodGet:
		s.poll(w, r)
	case r.Method == http.MethodPost:
		s.post(w, r)
	default:
		w.WriteHeader(http.StatusInternalServerError) // like the reference
	}
	return nil
}

func (h *handler) session(sid string) *session {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.sessions[sid]
}

// crowd is the number of sessions from which on heartbeats are spread.
const crowd = 1000

// addSession returns when the session is first pinged. Of many that come at once,
// some are pinged earlier.
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

// removeSession forgets a session, except for its id if a poll of its client may be
// under way.
func (h *handler) removeSession(s *session, polls bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.sessions, s.sid)
	if polls {
		h.left.add(s.sid, time.Now())
	}
}

// hasLeft reports, once, whether the client of a session that is gone has just said
// goodbye.
func (h *handler) hasLeft(sid string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.left.take(sid, time.Now())
}

const nodeLetters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

// newSID returns 20 random characters, preceded by Options.Node. A session's id is
// a secret of its client: whoever knows it can speak for the client.
func (h *handler) newSID() string {
	var b [15]byte
	rand.Read(b[:])
	sid := base64.RawURLEncoding.EncodeToString(b[:])
	if h.opts.Node != "" {
		return h.opts.Node + "." + sid
	}
	return sid
}

// allowOrigin sets the CORS headers for a page of another origin that may connect.
// Errors have them, too; otherwise the page could not read them.
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
