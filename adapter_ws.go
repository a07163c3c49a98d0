package wsrouter

import (
	"errors"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/wsrouter/wsrouter/adapter"
	"github.com/wsrouter/wsrouter/internal/plain"
	"github.com/wsrouter/wsrouter/internal/socket"
)

// Subprotocol is the WebSocket subprotocol described in PROTOCOL.md. Our clients
// offer it; a client that offers none is served all the same.
const Subprotocol = plain.Subprotocol

// Codec is a variant of the plain protocol, chosen for each mount with
// [WSOptions.Codec]. PROTOCOL.md describes the protocol.
type Codec uint8

const (
	// JSON is the protocol as described in PROTOCOL.md, and the default.
	JSON = Codec(plain.JSON)

	// NestJSON is for browser clients written for NestJS's WsAdapter. It differs in
	// one point: the reply to an event without an id is the bare JSON value,
	// without an envelope. A [Response] keeps its envelope, and a nil reply is not
	// sent.
	NestJSON = Codec(plain.NestJSON)
)

// WSOptions configure one plain WebSocket mount.
type WSOptions struct {
	// Codec is the variant of the protocol; zero means JSON.
	Codec Codec

	// AuthFrame requires {"auth":…} as the first frame, within
	// Options.ConnectTimeout. OnConnect runs after it, and reads it with Conn.Auth.
	// Use it because browsers cannot set headers, and a token in a query ends up in
	// logs.
	AuthFrame bool

	// Detach makes ServeHTTP return as soon as the client is connected, which
	// roughly halves the memory of an idle connection. The request then outlives
	// its handler: its method, URL, headers and PathValue stay readable, but values
	// in its context that a router or middleware reuses when its handler returns
	// (such as chi's URL parameters) must not be used any longer.
	Detach bool

	// Compression accepts clients' offers of permessage-deflate (RFC 7692), without
	// context takeover: messages of 512 bytes or more are compressed, each on its
	// own, and a broadcast once for all. It saves bandwidth and costs CPU; an idle
	// connection costs nothing more. Options.MaxMessage limits a message both
	// compressed and uncompressed. Do not compress secrets together with text that
	// others choose.
	Compression bool

	// Subprotocols are accepted in addition to Subprotocol, which comes first. The
	// first one in this order that the client offers is chosen.
	Subprotocols []string
}

// ServeHTTP serves a WebSocket client of this namespace with default WSOptions. It
// returns when the connection has ended and OnDisconnect has run.
func (r *Router) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	r.serveWS(w, req, &WSOptions{})
}

// Handler returns a handler that serves WebSocket clients of this namespace. opts
// may be nil and is copied. A namespace may be mounted several times. The handler
// is safe for concurrent use.
func (r *Router) Handler(opts *WSOptions) http.Handler {
	var o WSOptions
	if opts != nil {
		o = *opts
		o.Subprotocols = append([]string(nil), opts.Subprotocols...)
	}
	r.app.take(serving)
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) { r.serveWS(w, req, &o) })
}

func (r *Router) serveWS(w http.ResponseWriter, req *http.Request, opts *WSOptions) {
	mount{host: host{r}, namespace: r, opts: opts}.serve(w, req)
}

// mount accepts WebSockets. It sees the router like any other adapter.
type mount struct {
	host      adapter.Host
	namespace adapter.Namespace
	opts      *WSOptions
}

func (m mount) serve(w http.ResponseWriter, req *http.Request) {
	host := m.host
	if refused := host.Admit(req); refused != nil {
		refused.ServeHTTP(w, req)
		return
	}
	t := newWSTransport(host.Limits())
	session := t.limits.Window > 0 && m.opts.Codec == JSON // a bare value may look like a session frame
	o := t.options(t.subprotocols(session, m.opts.Subprotocols))
	o.Compression = m.opts.Compression
	sock, err := socket.Accept(w, req, o)
	if err != nil { // Accept has answered
		host.Refused(req, string(RefusedUpgrade), err)
		return
	}
	t.socket = sock
	link, err := host.NewLink(t, adapter.LinkOptions{Request: req})
	if refused := new(adapter.Refusal); errors.As(err, &refused) {
		end := refused.End()
		sock.Close(end.Code, end.Reason)
		return
	}
	t.attach(link)
	s := &plain.Session{
		Link: link, Namespace: m.namespace, Codec: plain.Codec(m.opts.Codec), Limits: t.limits,
		WantAuth: m.opts.AuthFrame, Resumable: t.resumable(),
	}
	if m.opts.Detach {
		go serve(s, t)
		return
	}
	serve(s, t)
}

func serve(s *plain.Session, w plain.Wire) {
	defer s.Begin()()
	s.Serve(w)
}

// wsTransport is a WebSocket as a [plain.Wire], on either side.
type wsTransport struct {
	adapter.Gate
	socket *socket.Conn
	limits adapter.Limits
	link   atomic.Pointer[adapter.Link] // Shutdown may close it before the transport knows it
	once   sync.Once
	over   chan struct{} // closed when Close or Abort has finished
}

func newWSTransport(limits adapter.Limits) *wsTransport {
	return &wsTransport{Gate: adapter.NewGate(), limits: limits, over: make(chan struct{})}
}

func (t *wsTransport) options(subprotocols []string) socket.Options {
	return socket.Options{
		Subprotocols:   subprotocols,
		MaxMessage:     int64(t.limits.MaxMessage),
		MessageTimeout: t.limits.MessageTimeout,
		WriteTimeout:   t.limits.WriteTimeout,
		Alive:          t.alive,
		Control:        t.control,
	}
}

// subprotocols returns ours, in order of preference, then others.
func (t *wsTransport) subprotocols(session bool, others []string) []string {
	ours := []string{plain.SessionSubprotocol, Subprotocol}
	if !session {
		ours = ours[1:]
	}
	return append(ours, others...)
}

// resumable reports whether both sides support sessions.
func (t *wsTransport) resumable() bool {
	return strings.EqualFold(t.socket.Subprotocol(), plain.SessionSubprotocol)
}

// attach sets the link, before anything is read.
func (t *wsTransport) attach(l adapter.Link) { t.link.Store(&l) }

// Read implements [plain.Wire].
func (t *wsTransport) Read() (data []byte, text bool, end *adapter.End) {
	data, text, err := t.socket.Read()
	if err != nil {
		e := socket.EndOf(err)
		return nil, false, &e
	}
	return data, text, nil
}

// Name implements [adapter.Named].
func (t *wsTransport) Name() string { return "websocket" }

// Write implements [adapter.Transport].
func (t *wsTransport) Write(batch []adapter.Frame) (pending bool, err error) {
	return t.socket.Push(func() error { return t.add(batch) }, (*t.link.Load()).Writable)
}

func (t *wsTransport) add(batch []adapter.Frame) error {
	for _, f := range batch {
		if err := t.socket.WriteShared("", f.Text, true, f.Shared); err != nil {
			return err
		}
	}
	return nil
}

// The socket calls alive and control, in a closing handshake even if there was no
// link.
func (t *wsTransport) alive() {
	if l := t.link.Load(); l != nil {
		(*l).Alive()
	}
}

func (t *wsTransport) control() {
	if l := t.link.Load(); l != nil {
		(*l).Arrived(adapter.Frame{})
	}
}

// Ping implements [adapter.Transport].
func (t *wsTransport) Ping() { t.socket.Ping() }

// Close implements [adapter.Transport].
func (t *wsTransport) Close(e adapter.End) {
	go func() {
		defer t.end()
		t.socket.Close(e.Code, e.Reason)
	}()
}

// Abort implements [adapter.Transport].
func (t *wsTransport) Abort() {
	go func() { // over TLS this may wait
		defer t.end()
		t.socket.Abort()
	}()
}

func (t *wsTransport) end() { t.once.Do(func() { close(t.over) }) }

// Over implements [plain.Wire].
func (t *wsTransport) Over() <-chan struct{} { return t.over }
