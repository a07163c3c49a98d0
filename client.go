package wsrouter

import (
	"context"
	"fmt"
	"io"
	"net/http"

	"github.com/wsrouter/wsrouter/internal/socket"
)

// DialOptions configure a [Client]. They may be nil and are copied.
type DialOptions struct {
	// Router handles what the server sends, and its Options are the client's
	// limits. It is a router of its own: not the server's, and one for all its
	// clients. Its handlers answer the server's requests only: a reply to a mere
	// event is not sent, so that two ends never answer each other for ever.
	Router *Router

	// Header is sent with the handshake. Connect sees it, too.
	Header http.Header

	// HTTPClient does Dial's handshake; nil is http.DefaultClient. Its Timeout
	// is the handshake's, as is the context given to Dial.
	HTTPClient *http.Client

	// Request is the request that Connect's server sees; nil is a GET of "/".
	// Dial ignores it.
	Request *http.Request

	// Auth returns the connect payload, which is sent as the first frame. It is
	// called at each connect. The server's mount must want it, see
	// WSOptions.AuthFrame; with Connect it does.
	Auth func(ctx context.Context) (any, error)
}

// Client is the side that dialled: a service's, or a test's. All its methods are
// safe for concurrent use.
type Client struct {
	conn *Conn
}

// Dial connects to a server's plain WebSocket mount, at a ws, wss, http or https
// URL. ctx bounds the handshake only. The error is a *[StatusError] if the server
// refused with an HTTP status; a refusal by OnConnect comes later, as the
// *[CloseError] of what the client does next.
func Dial(ctx context.Context, url string, opts *DialOptions) (*Client, error) {
	o := opts.withDefaults()
	auth, err := o.auth(ctx)
	if err != nil {
		return nil, err
	}
	limits := &o.Router.app.opts
	t := &wsTransport{pongTimeout: limits.PongTimeout}
	sock, resp, err := socket.Dial(ctx, url, o.HTTPClient, o.Header, socket.Options{
		Subprotocols:   []string{Subprotocol},
		MaxMessage:     int64(limits.MaxMessage),
		MessageTimeout: limits.MessageTimeout,
		WriteTimeout:   limits.WriteTimeout,
		Alive:          func() { t.link.Alive() },
		Control:        func() { t.link.Arrived(Frame{}) },
	})
	if err != nil {
		return nil, dialFailure(err, resp)
	}
	t.socket = sock
	link, err := o.Router.NewLink(t, LinkOptions{Request: handshake(url, o.Header), client: true})
	if err != nil {
		sock.Abort()
		return nil, err
	}
	t.link = link
	return newClient(&o, t, link, auth)
}

func dialFailure(err error, resp *http.Response) error {
	if resp == nil || resp.StatusCode == http.StatusSwitchingProtocols {
		return fmt.Errorf("wsrouter: dial: %w", err)
	}
	text, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<10))
	return &StatusError{StatusCode: resp.StatusCode, Text: string(text)}
}

// handshake is the request that a client's own Conn shows.
func handshake(url string, header http.Header) *http.Request {
	req, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		req, _ = http.NewRequest(http.MethodGet, "/", nil)
	}
	if header != nil {
		req.Header = header.Clone()
	}
	return req
}

// Connect connects a client in memory, without a network: for tests, and for
// parts of one process that talk as if they were apart. The frames, limits,
// order and close codes are those of the network. It returns a *[StatusError]
// where Dial would. In a testing/synctest bubble both routers must have been made
// inside it.
func (r *Router) Connect(ctx context.Context, opts *DialOptions) (*Client, error) {
	o := opts.withDefaults()
	auth, err := o.auth(ctx)
	if err != nil {
		return nil, err
	}
	req := o.Request
	if req == nil {
		req = handshake("http://memory/", o.Header)
		req.RemoteAddr = "pipe"
	}
	if err := r.admit(req); err != nil {
		return nil, err
	}
	server, client := newPipe(&r.app.opts, &o.Router.app.opts)
	if server.link, err = r.NewLink(server, LinkOptions{Request: req}); err != nil {
		return nil, &StatusError{http.StatusServiceUnavailable, "shutting down", RefusedShutdown}
	}
	p := &plain{router: r, link: server.link, wire: server}
	client.link, err = o.Router.NewLink(client, LinkOptions{Request: req, client: true})
	go p.serve(o.Auth != nil)
	if err != nil {
		client.Abort()
		return nil, err
	}
	return newClient(&o, client, client.link, auth)
}

func newClient(o *DialOptions, w wire, l *Link, auth any) (*Client, error) {
	p := &plain{router: o.Router, link: l, wire: w}
	if o.Auth != nil {
		f, err := p.codec.Encode(&Message{Kind: KindAuth, Args: []any{auth}})
		if err != nil {
			go l.End(&CloseError{Code: CloseAbnormal, Cause: CauseLocal})
			w.Abort()
			return nil, fmt.Errorf("wsrouter: dial: auth: %w", err)
		}
		l.send(f, sendNow)
	}
	if !p.join() {
		return nil, l.Err()
	}
	go p.readLoop()
	return &Client{conn: p.conn}, nil
}

func (o *DialOptions) withDefaults() DialOptions {
	var c DialOptions
	if o != nil {
		c = *o
	}
	if c.Router == nil {
		c.Router = New(nil)
	}
	return c
}

func (o *DialOptions) auth(ctx context.Context) (any, error) {
	if o.Auth == nil {
		return nil, nil
	}
	v, err := o.Auth(ctx)
	if err != nil {
		return nil, fmt.Errorf("wsrouter: dial: auth: %w", err)
	}
	return v, nil
}

// Emit sends an event to the server. It waits while the server reads slower than
// the client sends, at most for [Options.WriteTimeout]. See [Conn.Emit] for args
// and errors.
func (c *Client) Emit(event string, args ...any) error {
	return c.conn.emit(event, args, sendWait)
}

// Call sends a request and waits for its answer, see [Conn.Call].
func (c *Client) Call(ctx context.Context, event string, in, out any) error {
	return c.conn.Call(ctx, event, in, out)
}

// Conn returns the client's end of the connection: its Context ends with the
// connection, and handlers of DialOptions.Router see the same Conn.
func (c *Client) Conn() *Conn { return c.conn }

// Close says goodbye to the server with code 1000, after what was sent before,
// and waits until the connection and the client's handlers have ended. In one of
// those handlers use [Conn.Close], which does not wait. It returns nil, also
// when the connection had ended already.
func (c *Client) Close() error {
	c.conn.close(&CloseError{Code: CloseNormal, Cause: CauseLocal})
	<-c.conn.link.done
	return nil
}
