package wsrouter

import (
	"errors"
	"net/http"
	"strings"

	"github.com/wsrouter/wsrouter/adapter"
	"github.com/wsrouter/wsrouter/internal/plain"
	"github.com/wsrouter/wsrouter/internal/socket"
)

// Subprotocol is the WebSocket subprotocol of PROTOCOL.md. Our clients offer it;
// a client that offers none is served all the same.
const Subprotocol = plain.Subprotocol

// Codec is a variant of the plain protocol, chosen per mount in
// [WSOptions.Codec]. The protocol is written up in PROTOCOL.md.
type Codec uint8

const (
	// JSON is the protocol of PROTOCOL.md and the default.
	JSON = Codec(plain.JSON)

	// NestJSON differs in one thing, for browser clients written against
	// NestJS's WsAdapter: the reply to an event without id is the bare JSON
	// value, without an envelope (a [Response] keeps its envelope, and a nil
	// reply is not sent).
	NestJSON = Codec(plain.NestJSON)
)

// WSOptions are the choices of one plain WebSocket mount.
type WSOptions struct {
	// Codec is the variant of the protocol; zero is JSON.
	Codec Codec

	// AuthFrame wants {"auth":…} as the first frame, within
	// Options.ConnectTimeout; OnConnect runs after it and reads it with
	// Conn.Auth. Browsers cannot set headers, and a token in a query ends up in
	// logs. Without AuthFrame nobody waits for that frame: OnConnect finds no payload,
	// and the log says once that a client has sent one.
	AuthFrame bool

	// Detach makes ServeHTTP return once the client is connected, which about
	// halves what an idle connection costs. The request is then kept beyond its
	// handler: its method, URL, headers and PathValue stay readable, but values
	// in its context that a router or middleware in front takes back when its
	// handler returns (as chi's URL parameters) must not be used any more.
	Detach bool

	// Compression accepts clients' offers of permessage-deflate (RFC 7692), without
	// context takeover: messages of 512 bytes or more are compressed, each for
	// itself, and a broadcast once for all. It saves bytes and costs CPU; an idle
	// connection costs nothing more. Options.MaxMessage is the limit before and
	// after. Do not compress what holds a secret beside text that others choose.
	Compression bool

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
	r.app.take(serving)
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) { r.serveWS(w, req, &o) })
}

func (r *Router) serveWS(w http.ResponseWriter, req *http.Request, opts *WSOptions) {
	mount{host: host{r}, namespace: r, limits: &r.app.limits, opts: opts, strayAuth: r.app.hintAuthFrame}.serve(w, req)
}

// mount is where WebSockets come in. It sees the router as other adapters do.
type mount struct {
	host      adapter.Host
	namespace adapter.Namespace
	limits    *adapter.Limits
	opts      *WSOptions
	strayAuth func() // see plain.Session
}

func (m mount) serve(w http.ResponseWriter, req *http.Request) {
	host := m.host
	if refused := host.Admit(req); refused != nil {
		refused.ServeHTTP(w, req)
		return
	}
	t := new(socket.Transport)
	o := t.Options(m.limits)
	session := m.limits.Window > 0 && m.opts.Codec == JSON // a bare value may look like a frame of the session
	o.Subprotocols = subprotocols(session, m.opts.Subprotocols)
	o.Compression, o.EventLoops = m.opts.Compression, m.limits.EventLoops
	sock, err := socket.Accept(w, req, o)
	if err != nil { // it has answered
		host.Refused(req, string(RefusedUpgrade), err)
		return
	}
	t.Conn = sock
	link, err := host.NewLink(t, adapter.LinkOptions{Request: req, Detached: m.opts.Detach})
	if refused := new(adapter.Refusal); errors.As(err, &refused) {
		end := refused.End()
		sock.Close(end.Code, end.Reason)
		return
	}
	t.Attach(link)
	s := &plain.Session{
		Link: link, Namespace: m.namespace, Codec: plain.Codec(m.opts.Codec), Limits: m.limits,
		WantAuth: m.opts.AuthFrame, Resumable: resumable(sock), StrayAuth: m.strayAuth,
	}
	in := &inbound{Transport: t, session: s, stop: s.Begin()}
	if m.opts.Detach {
		go sock.Serve(in)
		<-link.Settled()
		return
	}
	in.ended = make(chan struct{})
	sock.Serve(in)
	<-in.ended
}

// inbound is a [socket.Handler]: what is read from a WebSocket goes to its session.
type inbound struct {
	*socket.Transport
	session *plain.Session
	stop    func()        // of Session.Begin
	ended   chan struct{} // closed when everything is gone; nil if nobody waits for that
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

// subprotocols are ours, in the order of our choice, and others.
func subprotocols(session bool, others []string) []string {
	ours := []string{plain.SessionSubprotocol, Subprotocol}
	if !session {
		ours = ours[1:]
	}
	return append(ours, others...)
}

// resumable reports whether both ends know sessions.
func resumable(c *socket.Conn) bool {
	return strings.EqualFold(c.Subprotocol(), plain.SessionSubprotocol)
}
