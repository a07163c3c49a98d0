package wsrouter

import (
	"errors"
	"net/http"
	"strings"

	"github.com/wsrouter/wsrouter/adapter"
	"github.com/wsrouter/wsrouter/internal/plain"
	"github.com/wsrouter/wsrouter/internal/socket"
	"github.com/wsrouter/wsrouter/internal/usercode"
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
	// logs. Without AuthFrame nothing waits for that frame: OnConnect finds no payload,
	// and the log says once that a client has sent one.
	AuthFrame bool

	// Detach makes ServeHTTP return once the client has been let in or refused, which
	// leaves an idle connection some two fifths of its memory. The request then
	// outlives its handler, as a copy: its method, URL, headers and PathValues stay
	// readable, but values in its context that a router or middleware reuses when its
	// handler returns (such as chi's URL parameters) must be used in OnConnect only.
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
func (r *Router) ServeHTTP(w http.ResponseWriter, req *http.Request) { r.mount.ServeHTTP(w, req) }

// Handler returns a handler that serves WebSocket clients of this namespace. opts
// may be nil and is copied. A namespace may be mounted several times. The handler
// is safe for concurrent use.
func (r *Router) Handler(opts *WSOptions) http.Handler {
	m := newMount(r)
	if opts != nil {
		m.opts = *opts
		m.opts.Subprotocols = append([]string(nil), opts.Subprotocols...)
	}
	r.app.take(serving)
	return m
}

// mount accepts WebSockets. It sees the router like any other adapter.
type mount struct {
	host      adapter.Host
	namespace adapter.Namespace
	limits    *adapter.Limits
	opts      WSOptions
	strayAuth func() // see plain.Session
}

func newMount(r *Router) *mount {
	return &mount{host: host{r}, namespace: r, limits: &r.app.limits, strayAuth: r.app.hintAuthFrame}
}

// ServeHTTP lets another goroutine accept the client, unless this one returns soon.
// Otherwise it lasts as long as the connection, and half as much stack is enough.
func (m *mount) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	if m.opts.Detach {
		if in := m.accept(w, req); in != nil {
			go in.Conn.Serve(in)
			<-in.session.Link.Settled()
		}
		return
	}
	var in *inbound
	usercode.Elsewhere(func() { in = m.accept(w, req) })
	if in != nil {
		in.ended = make(chan struct{})
		in.Conn.Serve(in)
		<-in.ended
	}
}

// accept returns nil if the client is refused.
func (m *mount) accept(w http.ResponseWriter, req *http.Request) *inbound {
	if refused := m.host.Admit(req); refused != nil {
		refused.ServeHTTP(w, req)
		return nil
	}
	t := new(socket.Transport)
	o := t.Options(m.limits)
	session := m.limits.Window > 0 && m.opts.Codec == JSON // a bare value may look like a session frame
	o.Subprotocols = subprotocols(session, m.opts.Subprotocols)
	o.Compression, o.EventLoops = m.opts.Compression, m.limits.EventLoops
	sock, err := socket.Accept(w, req, o)
	if err != nil { // Accept has answered
		m.host.Refused(req, string(RefusedUpgrade), err)
		return nil
	}
	t.Conn = sock
	link, err := m.host.NewLink(t, adapter.LinkOptions{Request: req, Detached: m.opts.Detach})
	if refused := new(adapter.Refusal); errors.As(err, &refused) {
		end := refused.End()
		sock.Close(end.Code, end.Reason)
		return nil
	}
	t.Attach(link)
	s := &plain.Session{
		Link: link, Namespace: m.namespace, Codec: plain.Codec(m.opts.Codec), Limits: m.limits,
		WantAuth: m.opts.AuthFrame, Resumable: resumable(sock), StrayAuth: m.strayAuth,
	}
	return &inbound{Transport: t, session: s, stop: s.Begin()}
}

// inbound is the [socket.Handler] that passes what is read from a WebSocket to its
// session.
type inbound struct {
	*socket.Transport
	session *plain.Session
	stop    func()        // ends the waiting that Session.Begin started
	ended   chan struct{} // closed when the socket is released; nil if nobody waits for that
}

func (in *inbound) Message(data []byte, text bool) (adapter.Flow, adapter.Turn) {
	return in.session.Message(data, text)
}

func (in *inbound) End(err error) {
	in.session.End(in.Transport, socket.EndOf(err))
	in.stop()
	if in.ended != nil {
		close(in.ended)
	}
}

// subprotocols returns ours, in order of preference, then others.
func subprotocols(session bool, others []string) []string {
	ours := []string{plain.SessionSubprotocol, Subprotocol}
	if !session {
		ours = ours[1:]
	}
	return append(ours, others...)
}

// resumable reports whether both sides support sessions.
func resumable(c *socket.Conn) bool {
	return strings.EqualFold(c.Subprotocol(), plain.SessionSubprotocol)
}
