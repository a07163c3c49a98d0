package wsrouter

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"

	"github.com/wsrouter/wsrouter/adapter"
	"github.com/wsrouter/wsrouter/internal/lazy"
	"github.com/wsrouter/wsrouter/internal/pipe"
	"github.com/wsrouter/wsrouter/internal/plain"
	"github.com/wsrouter/wsrouter/internal/socket"
	"github.com/wsrouter/wsrouter/internal/usercode"
)

// DialOptions configure a [Client]. They may be nil and are copied.
type DialOptions struct {
	// Router handles what the server sends, and its Options are the client's limits.
	// Use one for all clients of a kind; it must not serve clients. Nil handles nothing
	// and has default limits.
	//
	// Its handlers only answer requests of the server: a reply to any other event is
	// not sent, so that the two ends never answer each other forever. Its OnConnect
	// runs for each connection and, unlike a server's, may call the other side. That is
	// the place for a client to ask again for what it watches, see [Reconnect].
	//
	// Each attempt to connect over a network, with everything it waits for, is limited
	// by the Router's [Options.ConnectTimeout].
	Router *Router

	// Header is sent with the handshake. Connect uses it, too.
	Header http.Header

	// HeaderFunc returns the header in place of Header. It is called for each attempt,
	// because a token may have expired. HeaderFunc and Auth should return when ctx
	// ends: the attempt fails then, and the next one waits for them.
	HeaderFunc func(ctx context.Context) (http.Header, error)

	// HTTPClient does Dial's handshake; nil means http.DefaultClient. Its Timeout
	// limits the handshake, as does the context given to Dial.
	HTTPClient *http.Client

	// Request is the request that Connect's server sees; nil means a GET of "/" with
	// the header. Dial ignores it.
	Request *http.Request

	// Reconnect makes the client connect again when the connection is lost. Nil means
	// that it does not.
	Reconnect *Reconnect

	// Auth returns the connect payload, which is sent as the first frame. It is called
	// for each attempt. The server's mount must ask for the payload, see
	// WSOptions.AuthFrame; otherwise the connection ends with code 1008. The server of
	// [Router.Connect] always does, so a test does not notice a mount without AuthFrame.
	Auth func(ctx context.Context) (any, error)
}

// Client is the side that dialed, in a service or a test. Make one with [Dial] or
// [Router.Connect]. All methods are safe for concurrent use.
//
// While a client that reconnects has no connection, nothing is queued, unless
// [Reconnect] has Resume. Emit, Call and Pull fail at once with the *[CloseError] of
// the lost connection, and so do calls that were waiting for an answer, whether or not
// the server has handled them. [Client.Ready] waits for the next connection. When the
// client does not come back, they all fail with the reason, which also wraps the
// *CloseError, and the Router's Logger logs it once.
type Client struct {
	opts DialOptions
	dial func(context.Context, greeting) (*Conn, error)

	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	lapsed sync.WaitGroup // for connections that were away until there was another one
	gone   chan struct{}  // closed when there will be no more connections; nil without Reconnect

	// Used by the goroutine that connects: newClient, and then keepConnected.
	attempt int   // since a connection has lasted
	lost    *Conn // may be away; nil at first
	header  usercode.Asked[http.Header]
	auth    usercode.Asked[any]

	back lazy.Signal // there is a new connection

	mu   sync.Mutex // guards what follows
	conn *Conn      // the current connection, or the last one
	err  error      // why the client does not come back
}

// Dial connects to a plain WebSocket mount of a server, at a ws, wss, http or https
// URL. ctx only bounds this first connecting, in which each attempt is limited by
// [Options.ConnectTimeout]. The error is a *[StatusError] if the server refused with an
// HTTP status. A refusal by OnConnect comes later, as the *[CloseError] of whatever the
// client does next.
//
// In a browser or Node, with GOOS=js, Dial uses JavaScript's WebSocket. There Header,
// HeaderFunc and HTTPClient are not supported, a code below 3000 is sent as 1000 when
// closing, and a failed handshake reports no status.
func Dial(ctx context.Context, url string, opts *DialOptions) (*Client, error) {
	if err := checkURL(url); err != nil {
		return nil, err
	}
	o := opts.withDefaults()
	return newClient(ctx, o, func(ctx context.Context, g greeting) (*Conn, error) { return o.dialSocket(ctx, url, g) })
}

// Connect connects a client in memory, without a network: for tests, and for parts of
// one process that talk as if they were separate. Frames, limits, order and close codes
// are those of the network. Connect returns a *[StatusError] where Dial would. In a
// testing/synctest bubble, make both routers inside the bubble.
func (r *Router) Connect(ctx context.Context, opts *DialOptions) (*Client, error) {
	o := opts.withDefaults()
	return newClient(ctx, o, func(ctx context.Context, g greeting) (*Conn, error) { return o.dialPipe(ctx, r, g) })
}

func newClient(ctx context.Context, o DialOptions, dial func(context.Context, greeting) (*Conn, error)) (*Client, error) {
	if !o.Router.app.take(dialing) {
		return nil, errors.New("wsrouter: dial: DialOptions.Router serves clients; use a router that does not")
	}
	c := &Client{opts: o, dial: dial}
	c.header.Fn, c.auth.Fn = o.HeaderFunc, o.Auth
	c.ctx, c.cancel = context.WithCancel(context.WithoutCancel(ctx))
	conn, err := c.connect(ctx)
	if err != nil && o.Reconnect != nil && o.Reconnect.First {
		conn, err = c.retry(ctx, err, comesBack(err))
	}
	if err != nil {
		c.cancel()
		return nil, err
	}
	c.conn = conn
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

func (o *DialOptions) dialSocket(ctx context.Context, url string, g greeting) (*Conn, error) {
	ctx, cancel := context.WithDeadline(ctx, g.until)
	defer cancel()
	t := new(socket.Transport)
	opts := t.Options(&o.Router.app.limits)
	opts.Subprotocols = subprotocols(o.resumes(), nil)
	sock, resp, err := socket.Dial(ctx, url, o.HTTPClient, g.header, opts)
	if err != nil {
		return nil, dialFailure(err, resp)
	}
	t.Conn = sock
	l, err := o.Router.app.newLink(t, adapter.LinkOptions{Request: dialRequest(url, g.header), Dialed: true})
	if err != nil {
		sock.Abort()
		return nil, statusError(err)
	}
	t.Attach(l)
	return o.begin(ctx, t, l, g, resumable(sock))
}

func (o *DialOptions) resumes() bool { return o.Reconnect != nil && o.Reconnect.Resume }

// dialRequest returns the request that the Conn of a Client shows.
func dialRequest(url string, header http.Header) *http.Request {
	req, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		req, _ = http.NewRequest(http.MethodGet, "/", nil)
	}
	if header != nil {
		req.Header = header.Clone()
	}
	return req
}

func (o *DialOptions) dialPipe(ctx context.Context, r *Router, g greeting) (*Conn, error) {
	req := o.Request
	if req == nil {
		req = dialRequest("http://memory/", g.header)
		req.RemoteAddr = "pipe"
	}
	reqCtx, done := context.WithCancel(req.Context()) // ends when the request has been handled, like a server's
	defer done()
	defer context.AfterFunc(ctx, done)()
	req = req.WithContext(reqCtx)
	if refused := r.admit(req); refused != nil {
		return nil, statusError(refused)
	}
	server, client := pipe.New(r.app.limits, o.Router.app.limits)
	serving, err := r.app.newLink(server, adapter.LinkOptions{Request: req})
	if err != nil {
		return nil, statusError(err)
	}
	server.Attach(serving)
	s := r.session(serving, plain.JSON)
	s.WantAuth, s.Resumable = o.Auth != nil, o.resumes() && r.app.opts.Recovery != nil
	go func() {
		defer s.Begin()()
		s.Serve(server)
	}()
	l, err := o.Router.app.newLink(client, adapter.LinkOptions{Request: req, Dialed: true})
	if err != nil {
		client.Abort()
		return nil, statusError(err)
	}
	client.Attach(l)
	return o.begin(ctx, client, l, g, s.Resumable)
}

// begin makes the client's Conn, and first of all sends the auth frame or, if both ends
// support sessions, the session frame.
func (o *DialOptions) begin(ctx context.Context, w plain.Wire, l *link, g greeting, resumable bool) (*Conn, error) {
	s := o.Router.session(l, plain.JSON)
	s.SentAuth = !g.auth.IsZero()
	if resumable {
		s.Resumable = true
		return o.beginSession(ctx, w, l, s, g)
	}
	if g.lost != nil {
		g.lost.lapse(nil)
	}
	l.Send(g.auth)
	s.Begin()
	conn := s.Conn()
	go s.Serve(w)
	if conn == nil {
		return nil, l.gone()
	}
	return conn.(*attached).conn.Load(), nil
}

// beginSession waits for the server's answer only if there is a connection to resume.
func (o *DialOptions) beginSession(ctx context.Context, w plain.Wire, l *link, s *plain.Session, g greeting) (*Conn, error) {
	lost := g.lost.recovery()
	l.Send(plain.SessionFrame(lost, g.auth))
	decided := make(chan *Conn, 1)
	fresh := func() (*attached, *Conn) {
		a, c := &attached{link: l}, l.newRecoverable(o.Router, plain.JSON, nil)
		if l.join(a, c) != nil {
			return nil, nil
		}
		decided <- c
		return a, c
	}
	if lost.Secret == "" {
		a, c := fresh()
		if c != nil {
			s.Welcome = func(welcome adapter.Session) adapter.Conn { c.welcomed(welcome); return a }
			s.Start(a)
		}
		go s.Serve(w)
		if c == nil {
			return nil, l.gone()
		}
		return c, nil
	}
	s.Welcome = func(welcome adapter.Session) adapter.Conn { return g.lost.answered(l, welcome, decided, fresh) }
	go s.Serve(w)
	late := time.NewTimer(time.Until(g.until))
	defer late.Stop()
	select {
	case c := <-decided:
		return c, nil
	case <-l.done.Done():
		if ce := l.gone(); ce.Cause != CauseLocal {
			return nil, ce
		}
		return nil, &dialError{"the connection has been given up in the meantime", nil}
	case <-ctx.Done():
		l.cut(&CloseError{Code: CloseAbnormal, Reason: "given up", Cause: CauseTimeout})
		<-l.done.Done() // waits for handlers
		return nil, &dialError{"no answer from the server", ctx.Err()}
	case <-late.C:
		l.cut(&CloseError{Code: CloseAbnormal, Reason: "no answer", Cause: CauseTimeout})
		return nil, &dialError{"no answer from the server", context.DeadlineExceeded}
	}
}

// recovery returns what a client says about its lost connection; zero if it cannot
// resume it.
func (c *Conn) recovery() adapter.Recovery {
	if c == nil || c.session == nil {
		return adapter.Recovery{}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.phase != connAway {
		return adapter.Recovery{}
	}
	return adapter.Recovery{Secret: c.session.secret, Received: c.session.received}
}

// welcomed stores what the server says about a new connection.
func (c *Conn) welcomed(w adapter.Session) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.session.secret, c.session.window = w.Secret, w.Window
}

// answered continues with the lost connection or a new one, as the server says.
func (c *Conn) answered(l *link, w adapter.Session, decided chan<- *Conn, fresh func() (*attached, *Conn)) adapter.Conn {
	if !w.Resumed {
		c.lapse(nil)
		a, anew := fresh()
		if a == nil {
			return nil
		}
		anew.welcomed(w)
		return a
	}
	a := &attached{link: l}
	if !c.resume(a, nil, adapter.Recovery{Received: w.Received}) {
		l.close(&CloseError{Code: CloseNormal, Reason: "given up meanwhile", Cause: CauseLocal})
		return nil
	}
	decided <- c
	return a
}

// Conn returns the client's end of the current connection, or of the last one. Its
// Context ends with that connection. Handlers of DialOptions.Router see the same Conn.
func (c *Client) Conn() *Conn {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.conn
}

// Emit sends an event to the server. It waits while the server reads more slowly than
// the client sends, at most for [Options.WriteTimeout]. See [Conn.Emit] for args and
// errors, and [Client] for errors while there is no connection.
func (c *Client) Emit(event string, args ...any) error {
	return c.explain(c.Conn().emit(event, args, nil, sendWait))
}

// EmitContext is Emit with the meta of ctx, see [WithMeta]. It emits even if ctx
// has ended.
func (c *Client) EmitContext(ctx context.Context, event string, args ...any) error {
	return c.explain(c.Conn().emit(event, args, metaOf(ctx), sendWait))
}

// Call sends a request and waits for its answer. See [Conn.Call] for in, out and
// errors, and [Client] for errors while there is no connection.
func (c *Client) Call(ctx context.Context, event string, in, out any) error {
	return c.explain(c.Conn().Call(ctx, event, in, out))
}

func (c *Client) pull(ctx context.Context, event string, in any) (*pull, error) {
	p, err := c.Conn().pull(ctx, event, in)
	return p, c.explain(err)
}

// Abort cuts the connection without a goodbye, like a broken network. A client that
// reconnects then comes back; use Abort to test that.
func (c *Client) Abort() {
	c.Conn().currentLink().cut(&CloseError{Code: CloseAbnormal, Cause: CausePeer})
}

// Close sends everything that was emitted before, closes the connection with code
// 1000, and waits until the connection, the client's handlers, and any running Auth
// and HeaderFunc have ended. In one of those functions use [Conn.Close] instead: it
// does not wait, and a connected client does not reconnect after it. Close returns
// nil, even if the connection had already ended.
func (c *Client) Close() error {
	c.cancel()
	conn := c.Conn()
	conn.close(&CloseError{Code: CloseNormal, Cause: CauseLocal})
	<-conn.ended.Done() // bounded by WriteTimeout, 5 s for each close frame, and handlers
	if c.gone != nil {
		<-c.gone
		c.lapsed.Wait()
	}
	return nil
}

// session returns one end of a connection that speaks the plain protocol.
func (r *Router) session(l *link, codec plain.Codec) *plain.Session {
	return &plain.Session{
		Link: l, Namespace: r, Codec: codec, Limits: &r.app.limits, Dialed: l.dialed,
		BadFrame: func(problem string) {
			r.app.opts.Logger.Warn("wsrouter: bad frame from the server", "err", problem)
		},
	}
}
