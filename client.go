package wsrouter

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"

	"github.com/wsrouter/wsrouter/adapter"
	"github.com/wsrouter/wsrouter/internal/pipe"
	"github.com/wsrouter/wsrouter/internal/plain"
	"github.com/wsrouter/wsrouter/internal/socket"
)

// DialOptions configure a [Client]. They may be nil and are copied.
type DialOptions struct {
	// Router handles what the server sends, and its Options are the client's
	// limits. Make one for all clients of a kind: a router that serves clients is
	// refused. Its handlers answer requests of the server only: a reply to an event
	// that is no request is not sent, so that two ends never answer each other
	// forever. Its OnConnect runs for each connection and, unlike a server's, may
	// call the other side: there a client asks again for what it watches, see
	// [Reconnect]. Nil handles nothing, with default limits.
	//
	// Each attempt to connect over a network, with all that it waits for, has the
	// Router's [Options.ConnectTimeout].
	Router *Router

	// Header is sent with the handshake. Connect sees it, too.
	Header http.Header

	// HeaderFunc returns the header in place of Header. It is called at each
	// attempt, as a token may have expired. It and Auth should return when ctx
	// ends: the attempt fails then, and the next one waits for them.
	HeaderFunc func(ctx context.Context) (http.Header, error)

	// HTTPClient does Dial's handshake; nil is http.DefaultClient. Its Timeout
	// is the handshake's, as is the context given to Dial.
	HTTPClient *http.Client

	// Request is the request that Connect's server sees; nil is a GET of "/" with
	// the header. Dial ignores it.
	Request *http.Request

	// Reconnect makes the client connect again when the connection is lost; nil
	// does not.
	Reconnect *Reconnect

	// Auth returns the connect payload, which is sent as the first frame. It is
	// called at each attempt. The server's mount must want it, see
	// WSOptions.AuthFrame, or the connection ends with code 1008. With [Router.Connect]
	// it always does, so a test does not notice a mount without AuthFrame.
	Auth func(ctx context.Context) (any, error)
}

// Client is the side that dialed: a service's, or a test's. All its methods are
// safe for concurrent use.
//
// Unless [Reconnect] has Resume, nothing is queued while a client that reconnects is
// away: Emit, Call and Pull fail at once with the *[CloseError] of the connection that
// was lost, as do calls that were waiting for an answer, whether or not the server has
// handled them. [Client.Ready] waits for the next connection. When the client does not come
// back, they all fail with the reason, which also wraps the *[CloseError], and the
// Router's Logger gets one line with it.
type Client struct {
	opts DialOptions
	dial func(context.Context, greeting) (*Conn, error)

	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	lapsed sync.WaitGroup // for connections that were away until there was another
	gone   chan struct{}  // closed when there will be no more connection; nil without Reconnect

	// Of whoever connects: newClient, and then keepConnected.
	attempt int   // since a connection lasted
	lost    *Conn // which may be away; nil at first
	header  asked[http.Header]
	auth    asked[any]

	mu   sync.Mutex    // guards what follows
	conn *Conn         // the current connection, or the last
	back chan struct{} // closed with the next connection; nil if nobody waits
	err  error         // why it does not come back
}

// Dial connects to a server's plain WebSocket mount, at a ws, wss, http or https
// URL. ctx bounds this first connecting only, whose attempts have
// [Options.ConnectTimeout] each. The error is a *[StatusError] if the server
// refused with an HTTP status; a refusal by OnConnect comes later, as the
// *[CloseError] of what the client does next.
//
// In a browser, and in Node, GOOS=js dials with the WebSocket of JavaScript: it takes
// neither Header, HeaderFunc nor HTTPClient, closes with 1000 where we would with a
// code below 3000, and a handshake that fails gives no status.
func Dial(ctx context.Context, url string, opts *DialOptions) (*Client, error) {
	if err := checkURL(url); err != nil {
		return nil, err
	}
	o := opts.withDefaults()
	return newClient(ctx, o, func(ctx context.Context, g greeting) (*Conn, error) { return o.dialSocket(ctx, url, g) })
}

// Connect connects a client in memory, without a network: for tests, and for
// parts of one process that talk as if they were apart. The frames, limits,
// order and close codes are those of the network. It returns a *[StatusError]
// where Dial would. In a testing/synctest bubble both routers must have been made
// inside it.
func (r *Router) Connect(ctx context.Context, opts *DialOptions) (*Client, error) {
	o := opts.withDefaults()
	return newClient(ctx, o, func(ctx context.Context, g greeting) (*Conn, error) { return o.dialPipe(ctx, r, g) })
}

func newClient(ctx context.Context, o DialOptions, dial func(context.Context, greeting) (*Conn, error)) (*Client, error) {
	if !o.Router.app.take(dialing) {
		return nil, errors.New("wsrouter: dial: DialOptions.Router serves clients: use a router of its own")
	}
	c := &Client{opts: o, dial: dial}
	c.header.fn, c.auth.fn = o.HeaderFunc, o.Auth
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

// dialRequest is the request that a client's own Conn shows.
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
	reqCtx, done := context.WithCancel(req.Context()) // ends as a server's, when it has been handled
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

// begin makes the client's Conn, and sends the auth frame before all else; or the frame
// of the session, if both ends know of sessions.
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

// beginSession waits for the server's word only where there is a connection to come
// back to.
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
		return nil, &dialError{"the connection was given up meanwhile", nil}
	case <-ctx.Done():
		l.cut(&CloseError{Code: CloseAbnormal, Reason: "given up", Cause: CauseTimeout})
		<-l.done.Done() // handlers
		return nil, &dialError{"no answer from the server", ctx.Err()}
	case <-late.C:
		l.cut(&CloseError{Code: CloseAbnormal, Reason: "no answer", Cause: CauseTimeout})
		return nil, &dialError{"no answer from the server", context.DeadlineExceeded}
	}
}

// recovery is what a client says of a connection that it has lost, zero where it cannot
// come back.
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

// welcomed notes what the server says of a new connection.
func (c *Conn) welcomed(w adapter.Session) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.session.secret, c.session.window = w.Secret, w.Window
}

// answered goes on with a lost connection, or a new one, as the server says.
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
// and errors, and [Client].
func (c *Client) Emit(event string, args ...any) error {
	return c.explain(c.Conn().emit(event, args, nil, sendWait))
}

// EmitContext is Emit with the context's meta, see [WithMeta]. It does not ask whether
// ctx has ended.
func (c *Client) EmitContext(ctx context.Context, event string, args ...any) error {
	return c.explain(c.Conn().emit(event, args, metaOf(ctx), sendWait))
}

// Call sends a request and waits for its answer, see [Conn.Call], and [Client]
// for its errors.
func (c *Client) Call(ctx context.Context, event string, in, out any) error {
	return c.explain(c.Conn().Call(ctx, event, in, out))
}

func (c *Client) pull(ctx context.Context, event string, in any) (*pull, error) {
	p, err := c.Conn().pull(ctx, event, in)
	return p, c.explain(err)
}

// Abort cuts the connection without a word, as a broken network does. A client
// that reconnects comes back: a test can see how it does.
func (c *Client) Abort() {
	c.Conn().currentLink().cut(&CloseError{Code: CloseAbnormal, Cause: CausePeer})
}

// Close says goodbye to the server with code 1000, after what was sent before,
// and waits until the connection and the client's handlers have ended, and Auth and
// HeaderFunc if they run. In one of those handlers use [Conn.Close], which does not
// wait, and after which a client that was connected does not reconnect. It returns
// nil, also when the connection had ended already.
func (c *Client) Close() error {
	c.cancel()
	conn := c.Conn()
	conn.close(&CloseError{Code: CloseNormal, Cause: CauseLocal})
	<-conn.ended.Done() // WriteTimeout, 5 s for each close frame, and handlers
	if c.gone != nil {
		<-c.gone
		c.lapsed.Wait()
	}
	return nil
}

// session is one end of a connection that speaks the plain protocol.
func (r *Router) session(l *link, codec plain.Codec) *plain.Session {
	return &plain.Session{
		Link: l, Namespace: r, Codec: codec, Limits: &r.app.limits, Dialed: l.dialed,
		BadFrame: func(problem string) {
			r.app.opts.Logger.Warn("wsrouter: bad frame from the server", "err", problem)
		},
	}
}
