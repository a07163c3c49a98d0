package wsrouter

import (
	"bytes"
	"errors"
	"log/slog"
	"reflect"
	"slices"
	"time"

	"github.com/wsrouter/wsrouter/adapter"
	"github.com/wsrouter/wsrouter/internal/handshake"
	"github.com/wsrouter/wsrouter/internal/lane"
	"github.com/wsrouter/wsrouter/internal/rooms"
)

// This file gives a client a Conn: a new one, or the one it has lost.

// maxNamespaces is how many namespaces a link may join.
const maxNamespaces = 1000

// Join implements [adapter.Link].
func (l *link) Join(ns adapter.Namespace, format adapter.Format, auth []byte) (adapter.Conn, error) {
	a := &attached{link: l}
	if err := l.join(a, l.newConn(ns, format, auth)); err != nil {
		return nil, err
	}
	return a, nil
}

func (l *link) newConn(ns adapter.Namespace, format adapter.Format, auth []byte) *Conn {
	c := &Conn{
		router: ns.(*Router), request: l.request, format: format, auth: bytes.Clone(auth), dialed: l.dialed, link: l,
		born: time.Now(), base: l.request.Values(), arrival: new(arrival),
	}
	c.member = rooms.Member[*Conn]{Value: c, ID: rooms.NewID()}
	return c
}

// join asks whether a new connection is let in.
func (l *link) join(a *attached, c *Conn) error {
	if !reflect.ValueOf(c.format).Comparable() {
		return errors.New("wsrouter: this adapter.Format is not comparable")
	}
	r := c.router
	turn := new(lane.Item[*request])
	c.lane.Begin(turn) // before the link may end, which waits for what follows
	a.conn.Store(c)
	if err := l.attach(a, c); err != nil {
		a.conn.CompareAndSwap(c, nil) // otherwise it would take what nobody handles
		c.ctx.End(err)
		return err
	}
	if r.onInit.fn == nil && r.onConnect.fn == nil && r.app.opts.Trace.Connect == nil { // nothing may take long
		c.admit()
		if next, _ := c.lane.Next(turn); next != nil { // from a client that was let in just now: see comeBack
			go next.Value.Work()
		}
		return nil
	}
	r.rooms.Wait(&c.member)
	go c.connect(turn)
	return nil
}

// attach attaches a new connection to the link.
func (l *link) attach(a *attached, conn *Conn) error {
	r := conn.router
	joined, idle, err := l.hold(a, r)
	var refused *adapter.Refusal
	switch {
	case err == nil:
		l.bytes.Keep(len(conn.auth))
		l.app.sessions.AddConn(conn)
		if conn.session != nil && conn.session.secret != "" {
			l.app.sessions.Promise(conn.session.secret, conn)
		}
		if r.isClosing() { // whoever shuts it down may have looked before
			conn.close(l.app.shutdownError())
		}
		l.giveWay()
		l.app.relieve()
	case err == adapter.ErrJoined:
		a.conn.Store(joined)
		joined.welcomeAgain()
	case err == errTooManyJoins:
		if idle { // nobody else reports it
			l.app.refused(l.request.HTTP(), r.name, RefusedProtocol, err)
		}
		l.close(&CloseError{Code: ClosePolicy, Reason: err.Error(), Cause: CauseProtocol})
		return adapter.ErrClosing
	case err == adapter.ErrClosing && idle: // the tree is shutting down, and owes the client nothing
		l.close(l.app.shutdownError())
	case errors.As(err, &refused):
		l.app.refused(l.request.HTTP(), r.name, Refusal(refused.Reason), err)
	}
	return err
}

// hold takes a place at the link for a connection. With ErrJoined it returns the Conn
// that has the place. idle reports that nobody was at the link.
func (l *link) hold(a *attached, r *Router) (joined *Conn, idle bool, err error) {
	for _, c := range l.conns() {
		if c.router == r {
			c.hush() // otherwise the client would take its answers for ours
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	idle = !slices.ContainsFunc(l.attached, func(a *attached) bool { return !a.left })
	joined, err = l.attachLocked(a, r)
	return joined, idle, err
}

var errTooManyJoins = errors.New("too many joins")

// attachLocked returns with ErrJoined the Conn that has joined before.
func (l *link) attachLocked(a *attached, r *Router) (joined *Conn, err error) {
	if l.ce.Load() != nil || l.app.root.isClosing() {
		return nil, adapter.ErrClosing
	}
	l.phase = linkOpen
	switch {
	case r.isClosing():
		return nil, l.app.notAnyMore()
	case len(l.attached) >= maxNamespaces:
		return nil, refusal(503, "too many namespaces", RefusedMaxConns)
	}
	if !l.mayJoin() {
		return nil, errTooManyJoins
	}
	for _, other := range l.attached {
		if c := other.conn.Load(); c.router == r && !other.left {
			return c, adapter.ErrJoined
		}
	}
	l.attached = append(l.attached, a)
	return nil, nil
}

// Recover implements [adapter.Link].
func (l *link) Recover(ns adapter.Namespace, format adapter.Format, auth []byte, want adapter.Recovery) (adapter.Conn, error) {
	if l.app.opts.Recovery == nil {
		return l.Join(ns, format, auth)
	}
	a := &attached{link: l}
	c, ok := l.app.sessions.Find(want.Secret)
	if !ok || adapter.Namespace(c.router) != ns || c.format != format {
		if err := l.join(a, l.newRecoverable(ns, format, auth)); err != nil {
			return nil, err
		}
		return a, nil
	}
	switch joined, err := l.asks(attempt{a, c.router}); {
	case err == errTooManyJoins:
		l.close(&CloseError{Code: ClosePolicy, Reason: err.Error(), Cause: CauseProtocol})
		return nil, adapter.ErrClosing
	case joined != nil:
		joined.welcomeAgain()
		return nil, err
	case err != nil:
		return nil, err // the earlier attempt will be answered
	}
	l.bytes.Keep(len(auth))
	l.app.relieve()
	go c.comeBack(a, bytes.Clone(auth), want)
	return a, nil
}

// attempt is an attempt to resume a Conn, until it is decided.
type attempt struct {
	attached *attached
	router   *Router
}

// asks registers an attempt, of which there may be MaxOpen at once. It returns
// ErrJoined if the namespace has been joined, or if there is another attempt whose
// client has not left since.
func (l *link) asks(t attempt) (joined *Conn, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, other := range l.attached {
		if c := other.conn.Load(); c.router == t.router && !other.left {
			return c, adapter.ErrJoined
		}
	}
	for _, other := range l.asking {
		if other.router == t.router && !other.attached.early.Load() {
			return nil, adapter.ErrJoined
		}
	}
	if len(l.asking) >= l.app.opts.MaxOpen {
		return nil, errTooManyJoins
	}
	l.asking = append(l.asking, t)
	return nil, nil
}

// asked removes an attempt.
func (l *link) asked(a *attached) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.asking = slices.DeleteFunc(l.asking, func(t attempt) bool { return t.attached == a })
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
	defer l.asked(a)
	var before introduction
	if c.mayComeBack(l, auth, &before) && c.resume(a, auth, want) {
		return
	}
	c.forgetAttempt(l, &before)
	if l.ce.Load() != nil || l.out.State().Closed {
		return // another attempt may succeed
	}
	if !c.lapse(nil) {
		c.close(&CloseError{Code: CloseResumed, Reason: "not resumed", Cause: CauseLocal})
	}
	fresh := l.newRecoverable(c.router, c.format, auth)
	if err := l.join(a, fresh); err != nil {
		l.notJoined(fresh, err)
	}
}

// notJoined tells a client, after Recover has returned, why it is not let in.
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

// mayComeBack asks OnResume, which sees the request and auth with which the client has
// come back. Several attempts are asked one after another, as long as the connection
// and the link exist.
func (c *Conn) mayComeBack(l *link, auth []byte, before *introduction) bool {
	fn := c.router.onResume.fn
	if fn == nil {
		return true
	}
	limit := time.NewTimer(c.router.app.opts.ConnectTimeout)
	defer limit.Stop()
	select {
	case c.session.resuming <- struct{}{}:
	case <-c.done.Done():
		return false
	case <-l.done.Done():
		return false
	case <-limit.C:
		l.close(lateToConnect())
		return false
	}
	decided := make(chan error, 1)
	go func() {
		defer func() { <-c.session.resuming }()
		err := error(errEnded)
		c.awaitAway()
		if c.introduce(l, auth, before) {
			err = protectHook(func() error { return fn(c) })
		}
		decided <- err
	}()
	select {
	case err := <-decided:
		return c.allowed(err)
	case <-l.done.Done():
		return false
	case <-limit.C:
		l.close(lateToConnect())
		return false
	}
}

// errEnded is the reason not to ask OnResume.
var errEnded = NewError("the connection, or the attempt, has ended")

// introduction is the request and auth that a client has come with. Conn.mu guards
// those of attempts.
type introduction struct {
	request *handshake.Request
	auth    []byte
}

// introduce sets what the client comes back with. It reports false if it is too late
// for that.
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

// introduceLocked sets what the client has come back with.
func (c *Conn) introduceLocked(i introduction) {
	c.link.bytes.Keep(len(i.auth) - len(c.auth))
	c.request, c.auth = i.request, i.auth
}

// forgetAttempt restores the earlier introduction if the client has not come back by
// this link.
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

// allowed reports whether OnResume allows the client back, and logs failures.
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
// reports false if some of that is missing, or the link ends.
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
	l.settled.Happen()
	c.router.app.counters.resumed.Add(1)
	c.log(slog.LevelInfo, "wsrouter: resumed", slog.Duration("away", away))
	if t := c.router.app.opts.Trace; t.Resume != nil {
		c.router.app.trace(func() { t.Resume(c) })
	}
	if ce := l.ce.Load(); ce != nil { // whoever ends the link may have looked before
		c.lose(l, ce)
	}
	return true
}

// resumeLocked returns how many bytes it has put into the outbox, and whether the
// caller must flush it.
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
	c.session.stay(c)
	c.link.bytes.Pass(l.bytes, s.tail.Bytes(), len(c.auth)+c.data)
	c.phase, c.link = connLive, l
	s.resumed++
	return bytes, wake, true
}

// passOn hands over what a client had on this link to the link on which it has come
// back.
func (l *link) passOn(c *Conn, next *link) {
	if l == next {
		return
	}
	next.resume(l.bytes.Merge(next.bytes))
	switch empty := l.detach(c); {
	case empty:
		l.close(&CloseError{Code: CloseResumed, Reason: "resumed elsewhere", Cause: CauseLocal})
	case l.ce.Load() == nil: // the others can resume, too
		l.cut(&CloseError{Code: CloseAbnormal, Reason: "resumed elsewhere", Cause: CausePeer})
	}
}
