package wsrouter

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"log/slog"
	"slices"
	"time"

	"github.com/wsrouter/wsrouter/adapter"
	"github.com/wsrouter/wsrouter/internal/lazy"
	"github.com/wsrouter/wsrouter/internal/outbox"
	"github.com/wsrouter/wsrouter/internal/tail"
)

// This file lets a connection outlive its link.
//
//	live ── its client is lost ──▶ away ── Window is over, or room is needed ──▶ leaving
//	 ▲                               │
//	 └────────── resume ─────────────┘

// Recovery lets connections outlive the network, see [Options.Recovery].
type Recovery struct {
	// Window is how long a lost client may take to come back; zero means two minutes.
	Window time.Duration

	// MaxBytes is how many bytes are kept of what a client was sent and has not
	// acknowledged, counted like OutboxBytes; zero means 1 MiB. Replies and streams
	// wait when half of that is full. If emits exceed MaxBytes, the oldest frames
	// are forgotten: a client that is lost afterwards cannot resume, and a
	// connection that is already away ends. Clients acknowledge after 64 KiB or one
	// second, so much less than 256 KiB makes streams slow.
	MaxBytes int
}

func (r *Recovery) withDefaults() *Recovery {
	if r == nil {
		return nil
	}
	c := *r
	setDefault(&c.Window, 2*time.Minute, 2*time.Minute)
	setDefault(&c.MaxBytes, 1<<20, 1<<20)
	return &c
}

// OnResume registers a function that is asked whenever a client comes back to a
// connection of the namespace, see [Options.Recovery]. OnConnect does not run then, so
// a client that has been banned since, or whose token has expired, would get past it.
// Therefore a namespace with an OnConnect needs an OnResume; otherwise serving panics.
// [Conn.Request] and [Conn.Auth] are those with which the client comes back. If fn
// returns an error the connection ends, and the client gets a new connection on the
// same transport. If fn takes longer than [Options.ConnectTimeout] the attempt is
// refused with 1013, and the client may try again. The hook is not inherited by child
// namespaces.
func (r *Router) OnResume(fn func(*Conn) error) {
	setHook(r, "OnResume", &r.onResume, fn, fn == nil)
}

// OnAway registers a function that runs when the client of a connection is lost and may
// come back; err says how it was lost. OnResume or OnDisconnect follows, and waits for
// it. OnAway does not run if the client comes back before the server has noticed the
// loss. The hook is not inherited by child namespaces.
func (r *Router) OnAway(fn func(c *Conn, err *CloseError)) {
	setHook(r, "OnAway", &r.onAway, fn, fn == nil)
}

// checkRecovery panics if resuming would bypass a guard. It is called for each client.
func (a *app) checkRecovery() {
	if a.opts.Recovery == nil || a.guarded.Load() {
		return
	}
	for _, r := range a.root.subtree() {
		if r.onConnect.fn != nil && r.onResume.fn == nil {
			panic("wsrouter: namespace " + r.name + " has an OnConnect and no OnResume, which Options.Recovery requires")
		}
	}
	a.guarded.Store(true)
}

// session lets a Conn outlive its link. Conn.mu guards it, except window: its methods
// are called with that lock held.
type session struct {
	window   time.Duration
	tail     *tail.Tail[adapter.Frame]
	secret   string // empty on the side that dialed, until the server has sent it
	received uint64 // frames from the client

	since    time.Time   // when the client was lost; zero while it is connected
	loss     *CloseError // how it was lost
	expiry   *time.Timer
	told     chan struct{}    // closed when OnAway has returned; nil if it was not called
	room     lazy.Signal      // waiting senders may try again
	deaf     bool             // the peer does not acknowledge, so nobody waits for that
	resumed  int              // how often
	resuming chan struct{}    // cap 1; held while OnResume is asked
	lost     chan *CloseError // cap 1; for a client, which looks for a new link
}

func (a *app) newSession(dialed bool) *session {
	o := a.opts.Recovery
	if o == nil { // the router of a client
		o = (&Recovery{}).withDefaults()
	}
	s := &session{window: o.Window, tail: tail.New[adapter.Frame](o.MaxBytes), resuming: make(chan struct{}, 1), lost: make(chan *CloseError, 1)}
	if !dialed {
		s.secret = newSecret()
	}
	return s
}

// window returns zero without recovery.
func (r *Recovery) window() time.Duration {
	if r == nil {
		return 0
	}
	return r.Window
}

// newSecret returns 20 characters of 120 random bits.
func newSecret() string {
	var b [15]byte
	rand.Read(b[:])
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// Away reports whether the client is lost and may come back. In OnDisconnect it reports
// whether the client was away when the connection ended.
func (c *Conn) Away() bool {
	if c.session == nil {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return !c.session.since.IsZero()
}

// isAway reports whether the client may still come back.
func (c *Conn) isAway() bool {
	if c.session == nil {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.phase == connAway
}

// Recovered reports whether the client has been lost and has resumed the connection.
func (c *Conn) Recovered() bool {
	if c.session == nil {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.session.resumed > 0
}

// awayOverhead is what a connection that is away costs, in bytes.
const awayOverhead = 4 << 10

// A loss is one of a connection's losses, see [Conn.tellAway].
type loss struct {
	how    *CloseError
	before <-chan struct{} // told of the previous loss
	told   chan struct{}
}

// lose makes the connection continue without its link. It returns nil if that is not
// possible, for example without a session.
func (s *session) lose(c *Conn, ce *CloseError) *loss {
	if s == nil || s.secret == "" || c.phase != connLive || !ce.isLoss() || s.tail.Torn() || c.lane.Closed() || c.router.isClosing() {
		return nil
	}
	c.phase = connAway
	away := &loss{how: ce, before: s.told}
	since := time.Now()
	s.since, s.loss = since, ce
	s.expiry = time.AfterFunc(s.window, func() { c.expire(since) })
	if c.router.onAway.fn != nil || c.router.app.opts.Trace.Away != nil {
		away.told = make(chan struct{})
		s.told = away.told
	}
	c.link.bytes.Tail(awayOverhead)
	c.router.app.counters.away.Add(1)
	select {
	case s.lost <- ce:
	default:
	}
	return away
}

// tellAway reports a loss, after earlier ones: the connection may have been resumed and
// lost again.
func (c *Conn) tellAway(away *loss) {
	app, ce := c.router.app, away.how
	if away.told != nil {
		go func() {
			defer close(away.told)
			if away.before != nil {
				<-away.before // bounded like a handler
			}
			c.runOnAway(ce)
		}()
	}
	c.log(slog.LevelDebug, "wsrouter: away", slog.String("cause", ce.Cause.String()), slog.Int("code", ce.Code))
	app.relieve()
	if c.router.isClosing() { // whoever shuts it down may have looked before
		c.lapse(app.shutdownError())
	}
}

func (c *Conn) runOnAway(ce *CloseError) {
	if fn := c.router.onAway.fn; fn != nil {
		if err := protectHook(func() error { fn(c, ce); return nil }); err != nil {
			c.router.app.counters.panics.Add(1)
			c.log(slog.LevelError, "wsrouter: OnAway panicked", panicAttrs(err)...)
		}
	}
	if t := c.router.app.opts.Trace; t.Away != nil {
		c.router.app.trace(func() { t.Away(c, ce) })
	}
}

// number reports false for a frame that gets no number.
func (s *session) number(c *Conn, f adapter.Frame) (adapter.Frame, bool) {
	if n, ok := c.format.(adapter.Numbering); ok {
		return n.Number(f, s.secret, s.tail.Sent()+1)
	}
	return f, true
}

// keep numbers and keeps what was held until the client was let in.
func (s *session) keep(c *Conn, frames []adapter.Frame) {
	for i, f := range frames {
		if f, counted := s.number(c, f); counted {
			frames[i] = f
			c.link.bytes.Tail(s.tail.Add(f))
		}
	}
}

// errTailFull is handled by [Conn.placed].
var errTailFull = errors.New("more was sent to a client that is away than Recovery.MaxBytes")

// put sends a frame to a client that may resume. The frame is numbered and kept,
// whether there is a link or not.
func (s *session) put(c *Conn, f adapter.Frame, mode sendMode) (p placed, err error) {
	var counted bool
	p.frame, counted = s.number(c, f)
	switch {
	case c.phase != connAway && mode.waits() && s.unheard(c.format, p.frame):
		return placed{frame: f, link: c.link, outcome: outbox.Full, space: s.room.Next(), needs: needAck}, nil
	case c.phase != connAway:
		p.link = c.link
		p.outcome, p.space = p.link.out.Put(p.frame, c.outboxMode(mode))
		if p.outcome == outbox.Full || p.outcome == outbox.Closed && mode == sendVolatile {
			return p, nil
		}
		if p.outcome == outbox.Closed && c.ce == nil && counted { // nobody has noticed the loss yet
			p.link = nil
		}
	case mode == sendVolatile:
		p.link, p.outcome = c.link, outbox.Full
		return p, nil
	case !counted: // lost with the transport
		return placed{}, nil
	case s.tail.Fits(p.frame.Held(), mode.waits()):
	case mode.waits():
		return placed{frame: f, link: c.link, outcome: outbox.Full, space: s.room.Next(), needs: needReturn}, nil
	default:
		return placed{}, errTailFull
	}
	if counted {
		c.link.bytes.Tail(s.tail.Add(p.frame))
	}
	return p, nil
}

// shun prevents further calls of OnResume, and waits for a running one.
func (c *Conn) shun() {
	if c.session != nil {
		c.session.resuming <- struct{}{} // bounded like a handler
	}
}

// awaitAway waits for OnAway, which comes before other hooks.
func (c *Conn) awaitAway() {
	if c.session == nil {
		return
	}
	c.mu.Lock()
	told := c.session.told
	c.mu.Unlock()
	if told != nil {
		<-told // bounded like a handler
	}
}

// end forgets what was kept for the client.
func (s *session) end(c *Conn) {
	freed, _ := s.tail.Acknowledge(s.tail.Sent())
	c.link.bytes.Tail(-freed)
	c.router.app.sessions.Break(s.secret)
}

// unheard reports whether so much is unacknowledged that senders should wait, if they
// can. That applies only if the wire has acknowledgments and the peer sends them.
func (s *session) unheard(format adapter.Format, f adapter.Frame) bool {
	_, numbering := format.(adapter.Numbering)
	return !numbering && !s.deaf && !s.tail.Fits(f.Held(), true)
}

// stay ends being away.
func (s *session) stay(c *Conn) {
	if c.phase == connAway {
		s.expiry.Stop()
		c.link.bytes.Tail(-awayOverhead)
		c.router.app.counters.away.Add(-1)
	}
	s.room.Happen()
}

// takes counts a frame that has arrived over a link and is not an event. It reports
// false for one that arrives too late.
func (c *Conn) takes(l *link) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.link != l || c.phase == connAway || c.phase == connEnded {
		return false
	}
	c.session.received++
	return true
}

// Received implements [adapter.Recoverable].
func (a *attached) Received() uint64 {
	c := a.conn.Load()
	if c == nil {
		return 0
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.session.received
}

// Secret implements [adapter.Recoverable].
func (a *attached) Secret() string {
	c := a.conn.Load()
	if c == nil {
		return ""
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.session.secret
}

// leave lets a connection go if its client has left before it was decided which
// connection the client gets.
func (a *attached) leave() {
	a.early.Store(true)
	a.decided()
}

func (a *attached) decided() {
	if c := a.conn.Load(); c != nil && a.early.Load() && c.currentLink() == a.link {
		c.left()
	}
}

// Acknowledge implements [adapter.Recoverable].
func (a *attached) Acknowledge(n uint64) bool {
	c := a.conn.Load()
	if c == nil {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.link != a.link || c.phase == connAway {
		return true // too late to matter
	}
	freed, ok := c.session.tail.Acknowledge(n)
	c.link.bytes.Tail(-freed)
	c.session.room.Happen()
	return ok
}

// Refuse implements [adapter.Recoverable].
func (a *attached) Refuse(answer adapter.Frame) {
	if c := a.conn.Load(); c != nil && c.takes(a.link) {
		c.put(answer, sendNow)
	}
}

// ignore stops waiting for acknowledgments.
func (c *Conn) ignore() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.session.deaf = true
}

// ends reports whether all Conns end with the closing link, so that none is away or
// moving to another link. Whoever closes the link may not have reached all of them yet.
func (l *link) ends() bool {
	ce := l.ce.Load()
	return !slices.ContainsFunc(l.conns(), func(c *Conn) bool { return !c.lose(l, ce) })
}

// park keeps a link that has ended, for Conns that are away. Without any the link is
// gone.
func (l *link) park() {
	l.mu.Lock()
	gone := len(l.attached) == 0
	if l.phase = linkParked; gone {
		l.phase = linkGone
	}
	l.mu.Unlock()
	if gone {
		l.leave()
		return
	}
	l.app.sessions.Park(l)
	l.giveWay()
}

// leave removes a link from the tree.
func (l *link) leave() {
	l.bytes.Leave()
	if l.bytes.Merged() { // which has its own request
		l.bytes.Keep(-l.request.Held())
	}
	l.app.sessions.Remove(l)
}

// lapse ends all Conns of a link that are away. It reports false if none is.
func (l *link) lapse() bool {
	l.mu.Lock()
	away := l.phase == linkParked
	l.mu.Unlock()
	for _, c := range l.conns() {
		away = c.lapse(nil) || away
	}
	if away {
		l.bytes.Leave()
	}
	return away
}

// giveWay ends parked links that take room from others, see MaxConns.
func (l *link) giveWay() {
	if l.app.opts.Recovery == nil {
		return
	}
	client := l.app.clientKey(l.request.HTTP())
	for old, ok := l.app.sessions.Surplus(client); ok; old, ok = l.app.sessions.Surplus(client) {
		old.lapse()
	}
}
