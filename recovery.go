package wsrouter

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"github.com/wsrouter/wsrouter/adapter"
	"github.com/wsrouter/wsrouter/internal/outbox"
	"github.com/wsrouter/wsrouter/internal/tail"
)

// This file is how a connection outlives its link.
//
//	live ── its client is lost ──▶ away ── Window is over, or room is needed ──▶ leaving
//	 ▲                               │
//	 └────────── resume ─────────────┘

// Recovery lets connections outlive the network, see [Options.Recovery].
type Recovery struct {
	// Window is for how long a client that was lost may come back; zero is two
	// minutes.
	Window time.Duration

	// MaxBytes is how many bytes are kept of what one client was sent and has not
	// said to have, as OutboxBytes counts them; zero is 1 MiB. What is sent beyond
	// that makes the oldest be forgotten: then the client cannot come back to the
	// connection if it is lost.
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
// connection of the namespace, see [Options.Recovery]. OnConnect is not: so a
// namespace that has an OnConnect needs an OnResume, or serving panics, since who is
// banned or has an old token would pass. [Conn.Request] and [Conn.Auth] are those with
// which the client has come back. If fn returns an error the connection ends, and the
// client has to connect anew, as when it takes longer than [Options.ConnectTimeout].
func (r *Router) OnResume(fn func(*Conn) error) {
	setHook(r, "OnResume", &r.onResume, fn, fn == nil)
}

// OnAway registers a function that is called when the client of a connection is lost
// and may come back; err says how. What follows is OnResume or OnDisconnect, which wait
// for it.
func (r *Router) OnAway(fn func(c *Conn, err *CloseError)) {
	setHook(r, "OnAway", &r.onAway, fn, fn == nil)
}

// checkRecovery panics where a guard would be passed by.
func (a *app) checkRecovery() {
	if a.opts.Recovery == nil {
		return
	}
	for _, r := range a.root.subtree() {
		if r.onConnect.fn != nil && r.onResume.fn == nil {
			panic("wsrouter: namespace " + r.name + " has an OnConnect and no OnResume, which Options.Recovery requires")
		}
	}
}

// session is what lets a Conn outlive its link. Conn.mu guards it, but for window.
type session struct {
	window   time.Duration
	tail     *tail.Tail[adapter.Frame]
	secret   string // empty at the end that has dialed, until the server has told it
	received uint64 // frames of the client's

	since    time.Time   // when the client was lost; zero while it is there
	loss     *CloseError // how
	expiry   *time.Timer
	told     chan struct{}    // closed when OnAway has returned; nil if it was not called
	room     chan struct{}    // closed when waiting senders may try again; nil if there are none
	deaf     bool             // the peer does not acknowledge: nobody waits for that
	resumed  int              // how often
	resuming chan struct{}    // cap 1; held by whoever asks OnResume
	lost     chan *CloseError // cap 1; for a client, which looks for a new link
}

func (a *app) newSession(dialed bool) *session {
	o := a.opts.Recovery.orDefault()
	s := &session{window: o.Window, tail: tail.New[adapter.Frame](o.MaxBytes), resuming: make(chan struct{}, 1), lost: make(chan *CloseError, 1)}
	if !dialed {
		s.secret = newSecret()
	}
	return s
}

// window is zero without recovery.
func (r *Recovery) window() time.Duration {
	if r == nil {
		return 0
	}
	return r.Window
}

func (r *Recovery) orDefault() *Recovery {
	if r == nil {
		r = (&Recovery{}).withDefaults()
	}
	return r
}

// newSecret returns 20 characters of 120 random bits.
func newSecret() string {
	var b [15]byte
	rand.Read(b[:])
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// Away reports whether the client is lost and may come back. In OnDisconnect it tells
// whether it has not come back in time.
func (c *Conn) Away() bool {
	if c.session == nil {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return !c.session.since.IsZero()
}

// isAway reports whether the client may come back still.
func (c *Conn) isAway() bool {
	if c.session == nil {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.phase == connAway
}

// Recovered reports whether the client has been lost and has come back.
func (c *Conn) Recovered() bool {
	if c.session == nil {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.session.resumed > 0
}

// isLoss reports whether a client that ends so may come back to its connection.
func (e *CloseError) isLoss() bool {
	return e.Code == CloseResume || e.Code == CloseAbnormal && (e.Cause == CausePeer || e.Cause == CauseTimeout)
}

// awayOverhead is what a connection costs that is away, in bytes.
const awayOverhead = 4 << 10

// A loss is one of a connection's, for [Conn.tellAway].
type loss struct {
	how    *CloseError
	before <-chan struct{} // the told of the last one
	told   chan struct{}
}

// goAwayLocked makes the connection go on without its link; nil where it does not.
func (c *Conn) goAwayLocked(ce *CloseError) *loss {
	s := c.session
	if s == nil || s.secret == "" || c.phase != connLive || !ce.isLoss() || s.tail.Torn() || c.lane.Closed() || c.router.isClosing() {
		return nil
	}
	c.phase = connAway
	away := &loss{how: ce, before: s.told}
	s.since, s.loss = time.Now(), ce
	s.expiry = time.AfterFunc(s.window, func() { c.lapse(nil) })
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

// tellAway tells those who want to know, of one loss after another: it may have come
// back meanwhile, and be lost again.
func (c *Conn) tellAway(away *loss) {
	app, ce := c.router.app, away.how
	if away.told != nil {
		go func() {
			defer close(away.told)
			if away.before != nil {
				<-away.before // as for a handler
			}
			c.runOnAway(ce)
		}()
	}
	c.log(slog.LevelDebug, "wsrouter: away", slog.String("cause", ce.Cause.String()), slog.Int("code", ce.Code))
	app.relieve()
	if c.router.isClosing() { // and who shuts it down may have looked before
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

// lapse ends a connection that is away, as it was lost if ce is nil. It reports false
// where it is not away.
func (c *Conn) lapse(ce *CloseError) bool {
	c.mu.Lock()
	if c.phase != connAway {
		c.mu.Unlock()
		return false
	}
	if ce == nil {
		ce = c.session.loss
	}
	c.leaveLocked(ce)
	c.mu.Unlock()
	c.router.app.counters.expired.Add(1)
	c.dropWaiting()
	go c.end()
	return true
}

// numberLocked reports false for a frame that gets no number.
func (c *Conn) numberLocked(f adapter.Frame) (adapter.Frame, bool) {
	if n, ok := c.format.(adapter.Numbering); ok {
		return n.Number(f, c.session.secret, c.session.tail.Sent()+1)
	}
	return f, true
}

// keepLocked numbers and keeps what was held until the client was let in.
func (c *Conn) keepLocked(frames []adapter.Frame) {
	for i, f := range frames {
		if f, counted := c.numberLocked(f); counted {
			frames[i] = f
			c.link.bytes.Tail(c.session.tail.Add(f))
		}
	}
}

// errTailFull is for [Conn.placed] to handle.
var errTailFull = errors.New("more was sent to a client that is away than Recovery.MaxBytes")

// putNumberedLocked is putLocked for a connection that its client may come back to:
// the frame is numbered and kept, whether there is a link or not.
func (c *Conn) putNumberedLocked(f adapter.Frame, mode sendMode) (p placed, err error) {
	s := c.session
	p.frame = f
	var counted bool
	p.frame, counted = c.numberLocked(f)
	switch {
	case c.phase != connAway && mode.waits() && s.unheardLocked(c.format, p.frame):
		return placed{frame: f, link: c.link, outcome: outbox.Full, space: s.roomLocked(), unheard: true}, nil
	case c.phase != connAway:
		p.link = c.link
		p.outcome, p.space = p.link.out.Put(p.frame, c.outboxMode(mode))
		if p.outcome == outbox.Full || p.outcome == outbox.Closed && mode == sendVolatile {
			return p, nil
		}
		if p.outcome == outbox.Closed && c.ce == nil && counted { // nobody knows yet that the client is lost
			p.link = nil
		}
	case mode == sendVolatile:
		p.link, p.outcome = c.link, outbox.Full
		return p, nil
	case !counted: // it goes with the transport
		return placed{}, nil
	case s.tail.Fits(p.frame.Held(), mode.waits()):
	case mode.waits():
		return placed{frame: f, link: c.link, outcome: outbox.Full, space: s.roomLocked(), away: true}, nil
	default:
		return placed{}, errTailFull
	}
	if counted {
		c.link.bytes.Tail(s.tail.Add(p.frame))
	}
	return p, nil
}

// shun lets OnResume be asked no more, and waits for it to return.
func (c *Conn) shun() {
	if c.session != nil {
		c.session.resuming <- struct{}{} // as for a handler
	}
}

// awaitAway waits for OnAway, which others follow.
func (c *Conn) awaitAway() {
	if c.session == nil {
		return
	}
	c.mu.Lock()
	told := c.session.told
	c.mu.Unlock()
	if told != nil {
		<-told // as for a handler
	}
}

// endLocked forgets what was kept for the client.
func (s *session) endLocked(c *Conn) {
	freed, _ := s.tail.Acknowledge(s.tail.Sent())
	c.link.bytes.Tail(-freed)
	c.router.app.sessions.Break(s.secret)
}

// unheardLocked reports whether so much is not acknowledged that who can wait does. Only
// where the wire has acknowledgments, and the peer sends them.
func (s *session) unheardLocked(format adapter.Format, f adapter.Frame) bool {
	_, numbering := format.(adapter.Numbering)
	return !numbering && !s.deaf && !s.tail.Fits(f.Held(), true)
}

// stayLocked ends being away.
func (c *Conn) stayLocked() {
	if c.phase == connAway {
		c.session.expiry.Stop()
		c.link.bytes.Tail(-awayOverhead)
		c.router.app.counters.away.Add(-1)
	}
	c.session.wakeLocked()
}

// wakeLocked lets those try again who wait for room in the tail.
func (s *session) wakeLocked() {
	if s.room != nil {
		close(s.room)
		s.room = nil
	}
}

func (s *session) roomLocked() <-chan struct{} {
	if s.room == nil {
		s.room = make(chan struct{})
	}
	return s.room
}

// takes counts a frame that has come over a link, and is no event. It reports false for
// what comes too late.
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

// leave lets a connection go whose client has left before it was decided to which one
// it has come back.
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
		return true // too late to mean anything
	}
	freed, ok := c.session.tail.Acknowledge(n)
	c.link.bytes.Tail(-freed)
	c.session.wakeLocked()
	return ok
}

// Refuse implements [adapter.Recoverable].
func (a *attached) Refuse(answer adapter.Frame) {
	if c := a.conn.Load(); c != nil && c.takes(a.link) {
		c.put(answer, sendNow)
	}
}

// Recover implements [adapter.Link].
func (l *link) Recover(ns adapter.Namespace, format adapter.Format, auth []byte, want adapter.Recovery) (adapter.Conn, error) {
	if l.app.opts.Recovery == nil {
		return l.Join(ns, format, auth)
	}
	a := &attached{link: l}
	if want.Secret != "" {
		if c, ok := l.app.sessions.Find(want.Secret); ok && adapter.Namespace(c.router) == ns && c.format == format {
			if !l.asks(1) {
				l.close(&CloseError{Code: ClosePolicy, Reason: errTooManyJoins.Error(), Cause: CauseProtocol})
				return nil, adapter.ErrClosing
			}
			l.bytes.Keep(len(auth))
			l.app.relieve()
			go c.comeBack(a, bytes.Clone(auth), want)
			return a, nil
		}
	}
	if err := l.join(a, l.newRecoverable(ns, format, auth)); err != nil {
		return nil, err
	}
	return a, nil
}

func (l *link) newRecoverable(ns adapter.Namespace, format adapter.Format, auth []byte) *Conn {
	c := l.newConn(ns, format, auth)
	c.session = l.app.newSession(l.dialed)
	return c
}

// comeBack gives a client its connection back, or a new one.
func (c *Conn) comeBack(a *attached, auth []byte, want adapter.Recovery) {
	defer a.decided()
	l := a.link
	defer l.app.relieve()
	defer l.bytes.Keep(-len(auth))
	defer l.asks(-1)
	var before introduction
	if c.mayComeBack(l, auth, &before) && c.resume(a, auth, want) {
		return
	}
	c.forgetAttempt(l, &before)
	if l.ce.Load() != nil || l.out.State().Closed {
		return // another attempt may have more luck
	}
	if !c.lapse(nil) {
		c.close(&CloseError{Code: CloseResumed, Reason: "not resumed", Cause: CauseLocal})
	}
	fresh := l.newRecoverable(c.router, c.format, auth)
	if err := l.join(a, fresh); err != nil {
		l.notJoined(fresh, err)
	}
}

// notJoined tells a client whom nobody waits for why it is not let in.
func (l *link) notJoined(c *Conn, err error) {
	var refused *adapter.Refusal
	switch {
	case !errors.As(err, &refused):
	case l.multi:
		l.Send(c.refusalFrame(refused))
	default:
		l.Close(refused.End())
	}
}

// mayComeBack asks OnResume, which sees with what the client has come back. Of several
// attempts one after another is asked, for as long as there are the connection and the
// link.
func (c *Conn) mayComeBack(l *link, auth []byte, before *introduction) bool {
	fn := c.router.onResume.fn
	if fn == nil {
		return true
	}
	limit := time.NewTimer(c.router.app.opts.ConnectTimeout)
	defer limit.Stop()
	select {
	case c.session.resuming <- struct{}{}:
	case <-c.done:
		return false
	case <-l.done:
		return false
	case <-limit.C:
		l.close(lateToConnect())
		return false
	}
	decided := make(chan error, 1)
	go func() {
		defer func() { <-c.session.resuming }()
		err := errGoexit()
		defer func() { decided <- err }()
		c.awaitAway()
		if c.introduce(l, auth, before) {
			err = protect(func() error { return fn(c) })
		} else {
			err = errEnded
		}
	}()
	select {
	case err := <-decided:
		return c.allowed(err)
	case <-l.done:
		return false
	case <-limit.C:
		l.close(lateToConnect())
		return false
	}
}

// errEnded is why there is nothing to ask OnResume for.
var errEnded = NewError("the connection, or the attempt, has ended")

// introduction is with what a client has come. Conn.mu guards those of attempts.
type introduction struct {
	request *http.Request
	auth    []byte
}

// introduce notes with what the client wants to come back. It reports false where
// there is no use in that.
func (c *Conn) introduce(l *link, auth []byte, before *introduction) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.phase != connLive && c.phase != connAway || l.ce.Load() != nil {
		return false
	}
	*before = introduction{c.request, c.auth}
	c.introduceLocked(introduction{l.request, auth})
	return true
}

// introduceLocked notes with what the client has come back.
func (c *Conn) introduceLocked(i introduction) {
	c.link.bytes.Keep(len(i.auth) - len(c.auth))
	c.request, c.auth = i.request, i.auth
}

// forgetAttempt keeps nothing of a client that has not come back by a link.
func (c *Conn) forgetAttempt(l *link, before *introduction) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if before.request != nil && c.request == l.request && c.link != l && c.phase != connEnded {
		c.introduceLocked(*before)
	}
}

func lateToConnect() *CloseError {
	return &CloseError{Code: CloseTryAgainLater, Reason: "connect timeout", Cause: CauseTimeout}
}

// allowed logs a failure of OnResume.
func (c *Conn) allowed(err error) bool {
	var ws *WsError
	var ce *CloseError
	var p *panicError
	switch {
	case err == nil:
		return true
	case errors.As(err, &p):
		c.router.app.counters.panics.Add(1)
		c.log(slog.LevelError, "wsrouter: OnResume panicked", panicAttrs(err)...)
	case errors.As(err, &ws), errors.As(err, &ce) && ce.Cause == 0:
	default:
		c.router.app.counters.errors.Add(1)
		c.log(slog.LevelError, "wsrouter: OnResume failed", slog.Any("err", err))
	}
	return false
}

// resume moves the connection to a link, and sends what its client has missed. It
// reports false where that is not all there, or the link ends.
func (c *Conn) resume(a *attached, auth []byte, want adapter.Recovery) bool {
	l := a.link
	a.conn.Store(c)
	joined, _, err := l.hold(a, c.router)
	if err != nil {
		if joined == c {
			c.welcomeAgain()
			return true
		}
		a.conn.Store(nil)
		return false
	}
	c.mu.Lock()
	old, away := c.link, time.Duration(0)
	size, wake, ok := c.resumeLocked(l, want)
	if ok && !c.session.since.IsZero() {
		away = time.Since(c.session.since)
		c.session.since = time.Time{}
	}
	if ok {
		c.introduceLocked(introduction{l.request, auth})
	}
	c.mu.Unlock()
	if !ok {
		l.detach(c)
		a.conn.Store(nil)
		return false
	}
	l.bytes.Out(size)
	if wake {
		go l.flush()
	}
	old.passOn(c, l)
	c.router.app.counters.resumed.Add(1)
	c.log(slog.LevelInfo, "wsrouter: resumed", slog.Duration("away", away))
	if t := c.router.app.opts.Trace; t.Resume != nil {
		c.router.app.trace(func() { t.Resume(c) })
	}
	if ce := l.ce.Load(); ce != nil { // and who ends the link may have looked before
		c.lose(l, ce)
	}
	return true
}

// resumeLocked returns how many bytes it has put into the outbox, and whether the
// caller has to flush it.
func (c *Conn) resumeLocked(l *link, want adapter.Recovery) (bytes int, wake, ok bool) {
	s := c.session
	if c.phase != connLive && c.phase != connAway || c.lane.Closed() {
		return 0, false, false
	}
	frames, ok := s.tail.After(want.Received)
	if !ok {
		return 0, false, false
	}
	if !c.dialed {
		frames = append([]adapter.Frame{c.welcome(true)}, frames...)
	}
	wake, ok = l.out.Force(frames)
	if !ok {
		return 0, false, false
	}
	for _, f := range frames {
		bytes += f.Held()
	}
	freed, _ := s.tail.Acknowledge(want.Received)
	c.link.bytes.Tail(-freed)
	c.stayLocked()
	c.phase, c.link = connLive, l
	s.resumed++
	return bytes, wake, true
}

// passOn hands what a client had by its link to the one by which it has come back.
func (l *link) passOn(c *Conn, next *link) {
	if l == next {
		return
	}
	if l.bytes.Merge(next.bytes) {
		l.next.Store(next)
	}
	switch empty := l.detach(c); {
	case empty:
		l.close(&CloseError{Code: CloseResumed, Reason: "resumed elsewhere", Cause: CauseLocal})
	case l.ce.Load() == nil: // the others can come back, too
		l.cut(&CloseError{Code: CloseAbnormal, Reason: "resumed elsewhere", Cause: CausePeer})
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

// ignore ends waiting for acknowledgments.
func (c *Conn) ignore() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.session.deaf = true
}
