package wsrouter

import (
	"errors"
	"net/http"
	"os"

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
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) { r.serveWS(w, req, &o) })
}

func (r *Router) serveWS(w http.ResponseWriter, req *http.Request, opts *WSOptions) {
	if err := r.Admit(req); err != nil {
		err.ServeHTTP(w, req)
		return
	}
	t := &wsTransport{}
	limits := &r.app.opts
	sock, err := socket.Accept(w, req, socket.Options{
		Subprotocols:   append([]string{Subprotocol}, opts.Subprotocols...),
		MaxMessage:     int64(limits.MaxMessage),
		MessageTimeout: limits.MessageTimeout,
		WriteTimeout:   limits.WriteTimeout,
		Compression:    opts.Compression,
		Alive:          t.alive,
		Control:        t.control,
	})
	if err != nil { // it has answered
		r.app.refused(req, RefusedUpgrade, err)
		return
	}
	t.socket = sock
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

// wsTransport is the WebSocket as a [Transport], at either end.
type wsTransport struct {
	socket *socket.Conn
	link   *Link
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
	case errors.Is(err, os.ErrDeadlineExceeded):
		return slowClient()
	case errors.Is(err, socket.ErrTimeout):
		return &CloseError{Code: ClosePolicy, Reason: "message took too long", Cause: CauseTimeout}
	case errors.Is(err, socket.ErrUTF8):
		return &CloseError{Code: CloseInvalidUTF8, Reason: "invalid UTF-8", Cause: CauseProtocol}
	case errors.Is(err, socket.ErrProtocol):
		return &CloseError{Code: CloseProtocol, Reason: "protocol error", Cause: CauseProtocol, err: err}
	}
	return &CloseError{Code: CloseAbnormal, Cause: CausePeer, err: err}
}

func (t *wsTransport) Write(batch []Frame) error {
	t.socket.Begin()
	failed := t.add(batch)
	if err := t.socket.End(); failed == nil {
		failed = err
	}
	return failed
}

// WriteNow implements [NowWriter].
func (t *wsTransport) WriteNow(batch []Frame) (rest []Frame, err error) {
	if !t.socket.BeginNow() {
		return batch, nil
	}
	t.add(batch)
	if all, err := t.socket.EndNow(); all || err != nil {
		return nil, err
	}
	return batch[:0], nil
}

func (t *wsTransport) add(batch []Frame) error {
	for _, f := range batch {
		if err := t.socket.WriteShared("", f.Text, true, f.shared); err != nil {
			return err
		}
	}
	return nil
}

// alive and control are called by the socket: in a closing handshake also when
// there was no link for it.
func (t *wsTransport) alive() {
	if t.link != nil {
		t.link.Alive()
	}
}

func (t *wsTransport) control() {
	if t.link != nil {
		t.link.Arrived(Frame{})
	}
}

func (t *wsTransport) Ping()                         { t.socket.Ping() }
func (t *wsTransport) Close(code int, reason string) { t.socket.Close(code, reason) }
func (t *wsTransport) Abort()                        { t.socket.Abort() }
