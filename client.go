package wsrouter

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"

	"github.com/wsrouter/wsrouter/adapter"
	"github.com/wsrouter/wsrouter/internal/pipe"
	"github.com/wsrouter/wsrouter/internal/plain"
	"github.com/wsrouter/wsrouter/internal/socket"
)

// DialOptions configure a [Client]. They may be nil and are copied.
type DialOptions struct {
	// Router handles what the server sends, and its Options are the client's
	// limits. It is a router of its own, for all clients of a kind: one that
	// serves clients is refused. Its handlers answer the server's requests only: a
	// reply to a mere event is not sent, so that two ends never answer each other
	// for ever.
	Router *Router

	// Header is sent with the handshake. Connect sees it, too.
	Header http.Header

	// HTTPClient does Dial's handshake; nil is http.DefaultClient. Its Timeout
	// is the handshake's, as is the context given to Dial.
	HTTPClient *http.Client

	// Request is the request that Connect's server sees; nil is a GET of "/".
	// Dial ignores it.
	Request *http.Request

	// Reconnect makes the client connect again when the connection is lost; nil
	// does not. The first connect is not repeated: Dial returns its error.
	Reconnect *Reconnect

	// Auth returns the connect payload, which is sent as the first frame. It is
	// called at each connect. The server's mount must want it, see
	// WSOptions.AuthFrame; with Connect it does.
	Auth func(ctx context.Context) (any, error)
}

// Client is the side that dialled: a service's, or a test's. All its methods are
// safe for concurrent use.
//
// Nothing is queued while a client that reconnects is away: Emit, Call and Pull
// fail at once with the *[CloseError] of the connection that was lost, as do
// calls that were waiting for their answer, which the server may have handled or
// not. [Client.Ready] waits for the next connection.
type Client struct {
	opts DialOptions
	dial func(ctx context.Context) (*Conn, error)

	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	gone   chan struct{} // closed when there will be no more connection; nil without Reconnect

	attempt int // of keepConnected

	mu   sync.Mutex    // guards what follows
	conn *Conn         // the current connection, or the last
	back chan struct{} // closed with the next connection; nil if nobody waits
	err  error         // why it does not come back
}

// Dial connects to a server's plain WebSocket mount, at a ws, wss, http or https
// URL. ctx bounds the handshake only. The error is a *[StatusError] if the server
// refused with an HTTP status; a refusal by OnConnect comes later, as the
// *[CloseError] of what the client does next.
func Dial(ctx context.Context, url string, opts *DialOptions) (*Client, error) {
	o := opts.withDefaults()
	return newClient(ctx, o, func(ctx context.Context) (*Conn, error) { return o.dialSocket(ctx, url) })
}

// Connect connects a client in memory, without a network: for tests, and for
// parts of one process that talk as if they were apart. The frames, limits,
// order and close codes are those of the network. It returns a *[StatusError]
// where Dial would. In a testing/synctest bubble both routers must have been made
// inside it.
func (r *Router) Connect(ctx context.Context, opts *DialOptions) (*Client, error) {
	o := opts.withDefaults()
	return newClient(ctx, o, func(ctx context.Context) (*Conn, error) { return o.dialPipe(ctx, r) })
}

func newClient(ctx context.Context, o DialOptions, dial func(context.Context) (*Conn, error)) (*Client, error) {
	if !o.Router.app.take(dialing) {
		return nil, errors.New("wsrouter: dial: DialOptions.Router serves clients: use a router of its own")
	}
	conn, err := dial(ctx)
	if err != nil {
		return nil, err
	}
	c := &Client{opts: o, dial: dial, conn: conn}
	c.ctx, c.cancel = context.WithCancel(context.WithoutCancel(ctx))
	if o.Reconnect != nil {
		c.gone = make(chan struct{})
		go c.keepConnected()
	}
	return c, nil
}

func (o *DialOptions) withDefaults() DialOptions {
	var c DialOptions
	if o != nil {
		c = *o
	}
	if c.Router == nil {
		c.Router = New(nil)
	}
	if c.Reconnect != nil {
		c.Reconnect = c.Reconnect.withDefaults()
	}
	return c
}

func (o *DialOptions) dialSocket(ctx context.Context, url string) (*Conn, error) {
	auth, err := o.authFrame(ctx)
	if err != nil {
		return nil, err
	}
	t := newWSTransport(o.Router.app.limits())
	sock, resp, err := socket.Dial(ctx, url, o.HTTPClient, o.Header, t.options([]string{Subprotocol}))
	if err != nil {
		return nil, dialFailure(err, resp)
	}
	t.socket = sock
	l, err := o.Router.app.newLink(t, adapter.LinkOptions{Request: handshake(url, o.Header), Dialed: true})
	if err != nil {
		sock.Abort()
		return nil, statusError(err)
	}
	t.attach(l)
	return o.begin(t, l, auth)
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

func (o *DialOptions) dialPipe(ctx context.Context, r *Router) (*Conn, error) {
	auth, err := o.authFrame(ctx)
	if err != nil {
		return nil, err
	}
	req := o.Request
	if req == nil {
		req = handshake("http://memory/", o.Header)
		req.RemoteAddr = "pipe"
	}
	reqCtx, done := context.WithCancel(req.Context()) // ends as a server's, when it has been handled
	defer done()
	defer context.AfterFunc(ctx, done)()
	req = req.WithContext(reqCtx)
	if refused := r.admit(req); refused != nil {
		return nil, statusError(refused)
	}
	server, client := pipe.New(r.app.limits(), o.Router.app.limits())
	serving, err := r.app.newLink(server, adapter.LinkOptions{Request: req})
	if err != nil {
		return nil, statusError(err)
	}
	server.Attach(serving)
	s := r.session(serving, plain.JSON)
	s.WantAuth = o.Auth != nil
	go serve(s, server)
	l, err := o.Router.app.newLink(client, adapter.LinkOptions{Request: req, Dialed: true})
	if err != nil {
		client.Abort()
		return nil, statusError(err)
	}
	client.Attach(l)
	return o.begin(client, l, auth)
}

// begin makes the client's Conn, and sends the auth frame before all else.
func (o *DialOptions) begin(w plain.Wire, l *link, auth adapter.Frame) (*Conn, error) {
	l.Send(auth)
	s := o.Router.session(l, plain.JSON)
	s.Begin()
	conn := s.Conn()
	go s.Serve(w)
	if conn == nil {
		return nil, l.gone()
	}
	return conn.(*attached).conn, nil
}

// authFrame returns the connect payload's frame; the zero Frame without Auth.
func (o *DialOptions) authFrame(ctx context.Context) (adapter.Frame, error) {
	if o.Auth == nil {
		return adapter.Frame{}, nil
	}
	auth, err := o.Auth(ctx)
	if err != nil {
		return adapter.Frame{}, fmt.Errorf("wsrouter: dial: auth: %w", err)
	}
	f, err := plain.AuthFrame(auth)
	if err != nil {
		return adapter.Frame{}, fmt.Errorf("wsrouter: dial: auth: %w", err)
	}
	return f, nil
}

// Conn returns the client's end of the current connection, or of the last: its
// Context ends with that connection, and handlers of DialOptions.Router see the
// same Conn.
func (c *Client) Conn() *Conn {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.conn
}

// Emit sends an event to the server. It waits while the server reads slower than
// the client sends, at most for [Options.WriteTimeout]. See [Conn.Emit] for args
// and errors.
func (c *Client) Emit(event string, args ...any) error {
	return c.Conn().emit(event, args, sendWait)
}

// Call sends a request and waits for its answer, see [Conn.Call].
func (c *Client) Call(ctx context.Context, event string, in, out any) error {
	return c.Conn().Call(ctx, event, in, out)
}

func (c *Client) pull(event string, in any) (*pull, error) { return c.Conn().pull(event, in) }

// Abort cuts the connection without a word, as a broken network does. A client
// that reconnects comes back: a test can see how it does.
func (c *Client) Abort() {
	c.Conn().cut(&CloseError{Code: CloseAbnormal, Cause: CausePeer})
}

// Close says goodbye to the server with code 1000, after what was sent before,
// and waits until the connection and the client's handlers have ended. In one of
// those handlers use [Conn.Close], which does not wait, and after which a client
// that was connected does not reconnect. It returns nil, also when the connection had ended already.
func (c *Client) Close() error {
	c.cancel()
	conn := c.Conn()
	conn.close(&CloseError{Code: CloseNormal, Cause: CauseLocal})
	<-conn.ended
	if c.gone != nil {
		<-c.gone
	}
	return nil
}
