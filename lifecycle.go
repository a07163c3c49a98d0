package wsrouter

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"reflect"
	"sync"
	"time"

	"github.com/wsrouter/wsrouter/adapter"
	"github.com/wsrouter/wsrouter/internal/rooms"
)

// This file is a connection's birth and death; shutdown.go has the router's.
//
//	upgrade ─ OnInit once ─ join ─ OnConnect ─┬─ live: events, emits, rooms
//	                                          └─ refused
//	the transport ends ─ handlers return ─ OnDisconnect ─ gone

// connPhase is where a Conn is in its life.
//
//	connecting ──▶ live ◀──▶ away
//	    │           │ │        │
//	    │           │ └▶ parting: its client has left, what it asked before is answered
//	    ▼           ▼      ▼   │
//	  leaving ◀────────────────┘
//	    ▼
//	  ended: OnDisconnect has run
type connPhase uint8

const (
	connConnecting connPhase = iota
	connLive
	connAway // it has no link, and may get another: entered by nobody yet
	connParting
	connLeaving
	connEnded
)

// guardPhase is what OnConnect makes of a client. It goes on although the client
// leaves meanwhile.
//
//	pending ─┬─▶ admitted: OnDisconnect will run
//	         └─▶ refused
type guardPhase uint8

const (
	guardPending guardPhase = iota
	guardAdmitted
	guardRefused
)

// OnInit registers a function that is run once, before the namespace's first
// client. Clients that come meanwhile wait for it; if it fails they, and all
// later ones, get 503.
func (r *Router) OnInit(fn func(*Router) error) {
	setHook(r, "OnInit", &r.onInit, fn, fn == nil)
}

// OnConnect registers the guard of the namespace: it is run for every client,
// over every transport, before any of its events is handled. Until it returns
// nil the connection is in no room and no broadcast reaches it; what is emitted
// to it is held, and its events wait.
//
// An error refuses the client: a *[CloseError] with its code and reason, a
// *[WsError] with 1008 and its message, any other, or a panic, with 1011 and no
// details. It has [Options.ConnectTimeout], and [Conn.Context] ends when the
// client goes away meanwhile. It is not inherited by child namespaces.
func (r *Router) OnConnect(fn func(*Conn) error) {
	setHook(r, "OnConnect", &r.onConnect, fn, fn == nil)
}

type disconnectFunc = func(ctx context.Context, c *Conn, err *CloseError)

// OnDisconnect registers a function that is run once for every connection that
// OnConnect let in, when it has gone and its handlers have returned. err is never
// nil; switch on its Cause. ctx is the function's own, with the values of
// [Conn.Context] and [Options.HookTimeout]. The connection's rooms can still be
// read, but it is no target any more. It is not inherited by child namespaces.
func (r *Router) OnDisconnect(fn func(ctx context.Context, c *Conn, err *CloseError)) {
	setHook(r, "OnDisconnect", &r.onDisconnect, fn, fn == nil)
}

// initState makes OnInit run once. It is no sync.Once, which would hold a mutex
// while user code runs.
type initState struct {
	mu   sync.Mutex    // guards done
	done chan struct{} // closed when OnInit has returned
	err  error         // set before done is closed
}

// initialize waits for OnInit, whoever began it, but not after gone is closed.
func (r *Router) initialize(gone <-chan struct{}) error {
	if r.onInit.fn == nil {
		return nil
	}
	r.init.mu.Lock()
	if r.init.done == nil {
		r.init.done = make(chan struct{})
		go r.runInit()
	}
	r.init.mu.Unlock()
	select {
	case <-r.init.done:
		return r.init.err
	case <-gone:
		return errNotReady
	}
}

var errNotReady = errors.New("wsrouter: OnInit has not returned")

func (r *Router) runInit() {
	r.init.err = protectHook(func() error { return r.onInit.fn(r) })
	if r.init.err != nil {
		r.app.opts.Logger.Error("wsrouter: OnInit failed", "namespace", r.name, "err", r.init.err)
	}
	close(r.init.done)
}

// maxNamespaces is how many namespaces one link may be in.
const maxNamespaces = 1000

// Join implements [adapter.Link].
func (l *link) Join(ns adapter.Namespace, format adapter.Format, auth []byte) (adapter.Conn, error) {
	if !reflect.ValueOf(format).Comparable() {
		return nil, errors.New("wsrouter: values of this adapter.Format cannot be compared")
	}
	r := ns.(*Router)
	c := &Conn{
		router: r, request: l.request, format: format, auth: bytes.Clone(auth), dialed: l.dialed, link: l,
		born: time.Now(), done: make(chan struct{}), ended: make(chan struct{}),
	}
	c.member = rooms.Member[*Conn]{Value: c, ID: rooms.NewID()}
	c.ctx, c.cancel = context.WithCancelCause(context.WithoutCancel(l.request.Context()))
	a := &attached{conn: c, link: l}
	if err := l.attach(a); err != nil {
		c.cancel(err)
		return nil, err
	}
	if r.onInit.fn == nil && r.onConnect.fn == nil && r.app.opts.Trace.Connect == nil { // nothing that could take long
		c.admit()
		return a, nil
	}
	first := &request{conn: c, link: l, msg: new(adapter.Message)}
	c.lane.Begin(&first.item)
	go c.connect(first)
	return a, nil
}

// attach makes a connection one of the link's.
func (l *link) attach(a *attached) error {
	r := a.conn.router
	for _, c := range l.conns() {
		if c.router == r {
			c.hush() // or the client would take its answers for ours
		}
	}
	l.mu.Lock()
	err := l.attachLocked(a)
	idle := len(l.attached) == 0
	l.mu.Unlock()
	if err == errTooManyJoins {
		l.close(&CloseError{Code: ClosePolicy, Reason: "too many joins", Cause: CauseProtocol})
		return adapter.ErrClosing
	}
	if err == adapter.ErrClosing && idle { // of a tree that shuts down: it is owed nothing
		l.close(l.app.shutdownError())
	}
	if err == nil {
		l.bytes.Keep(len(a.conn.auth))
		l.app.sessions.addConn(a.conn)
		l.app.relieve()
	}
	return err
}

var errTooManyJoins = errors.New("too many joins")

func (l *link) attachLocked(a *attached) error {
	switch {
	case l.phase != linkOpen, l.app.root.isClosing():
		return adapter.ErrClosing
	case a.conn.router.isClosing():
		return refusal(503, "shutting down", RefusedShutdown)
	case len(l.attached) >= maxNamespaces:
		return refusal(503, "too many namespaces", RefusedMaxConns)
	}
	if !l.mayJoinLocked() {
		return errTooManyJoins
	}
	for _, other := range l.attached {
		if other.conn.router == a.conn.router && !other.left {
			return adapter.ErrJoined
		}
	}
	l.attached = append(l.attached, a)
	return nil
}

// connect runs OnConnect; it has the turn, so events wait for it. Should that call
// runtime.Goexit, another goroutine goes on.
func (c *Conn) connect(first *request) {
	returned := false
	decide := func(err error) {
		if err == nil {
			c.admit()
		} else {
			c.refuse(err)
		}
		if next, _ := c.lane.Next(&first.item); next != nil {
			c.work(next.Value)
		}
	}
	defer func() {
		if !returned {
			go decide(errGoexit())
		}
	}()
	err := c.askGuard()
	returned = true
	decide(err)
}

// askGuard runs OnConnect, and OnInit before if that has not been run.
func (c *Conn) askGuard() error {
	if c.router.initialize(c.done) != nil {
		return &CloseError{Code: CloseTryAgainLater, Reason: "not available", Cause: CauseLocal}
	}
	fn := c.router.onConnect.fn
	if fn == nil {
		return nil
	}
	late := time.AfterFunc(c.router.app.opts.ConnectTimeout, func() {
		c.close(&CloseError{Code: ClosePolicy, Reason: "connect timeout", Cause: CauseTimeout})
	})
	defer late.Stop()
	return protect(func() error { return fn(c) })
}

// admit lets the client in.
func (c *Conn) admit() {
	c.router.rooms.Add(&c.member) // before the client knows; what it is sent is held until then
	welcome, _ := c.format.Encode(&adapter.Message{Kind: adapter.KindConnect, ID: c.ID()})
	c.mu.Lock()
	c.guard = guardAdmitted
	l := c.link
	held, bytes := c.takeHeldLocked(welcome)
	wake := false
	if c.phase == connConnecting {
		c.phase = connLive
		wake = c.forceLocked(held)
	}
	c.mu.Unlock()
	l.bytes.Out(-bytes)
	if wake {
		go l.flush()
	}
	app := c.router.app
	app.counters.connects.Add(1)
	c.log(slog.LevelInfo, "wsrouter: connected")
	if t := app.opts.Trace; t.Connect != nil {
		app.trace(func() { t.Connect(c) })
	}
}

// takeHeldLocked returns what was emitted in OnConnect, behind the welcome.
func (c *Conn) takeHeldLocked(welcome adapter.Frame) (frames []adapter.Frame, bytes int) {
	frames, bytes = c.held, c.heldBytes
	if !welcome.IsZero() {
		frames = append([]adapter.Frame{welcome}, frames...)
	}
	c.held, c.heldBytes = nil, 0
	return frames, bytes
}

// forceLocked sends frames whatever their size: they were bounded when they were
// held. It reports whether the caller has to flush.
func (c *Conn) forceLocked(frames []adapter.Frame) (wake bool) {
	wake, ok := c.link.out.Force(frames)
	if ok {
		for _, f := range frames {
			c.link.bytes.Out(f.Held())
		}
		c.router.app.counters.eventsOut.Add(int64(len(frames)))
	}
	return wake
}

// refuse does not let the client in.
func (c *Conn) refuse(err error) {
	ce := guardError(err)
	told := c.refusalFrame(err)
	c.mu.Lock()
	c.guard = guardRefused
	reason := RefusedGuard
	if c.ce != nil && c.ce.Cause == CauseTimeout {
		reason = RefusedTimeout
	}
	_, bytes := c.takeHeldLocked(adapter.Frame{})
	l, first := c.link, c.leaveLocked(ce)
	c.mu.Unlock()
	l.bytes.Out(-bytes)
	c.lane.Close()
	c.dropWaiting()
	switch {
	case !l.multi:
		l.close(ce)
	case first:
		l.leaving(c)
		l.Send(told)
		go c.end(ce)
	}
	c.router.app.refused(c.request, reason, err)
	level := slog.LevelInfo
	if ce.Code == CloseInternal {
		level = slog.LevelError
	}
	c.log(level, "wsrouter: refused", slog.Any("err", err))
}

// refusalFrame tells the client why; data that cannot be encoded keeps it from
// the details only.
func (c *Conn) refusalFrame(err error) (f adapter.Frame) {
	told := toldOf(err)
	m := &adapter.Message{Kind: adapter.KindRefuse, Args: []any{told}}
	failed := protect(func() (err2 error) { // MarshalJSON is user code
		f, err2 = c.format.Encode(m)
		return err2
	})
	if failed != nil {
		m.Args[0] = adapter.Told{Message: told.Message}
		f, _ = c.format.Encode(m)
	}
	return f
}

// toldOf is what the client may know of a refusal.
func toldOf(err error) adapter.Told {
	var ws *WsError
	var ce *CloseError
	switch {
	case errors.As(err, &ws):
		return adapter.Told{Message: ws.Message, Data: ws.data()}
	case errors.As(err, &ce):
		return adapter.Told{Message: ce.Reason}
	}
	return adapter.Told{Message: errInternal.Message}
}

// leaveLocked is the beginning of the end. It reports whether nobody has begun it.
func (c *Conn) leaveLocked(ce *CloseError) (first bool) {
	if c.phase >= connParting {
		return false
	}
	c.phase, c.ce = connLeaving, ce
	c.failCallsLocked(ce)
	close(c.done)
	return true
}

// close begins the end of the connection: of the link, where it is the only one.
func (c *Conn) close(ce *CloseError) {
	c.mu.Lock()
	connecting, l := c.phase == connConnecting, c.link
	first := c.leaveLocked(ce)
	c.mu.Unlock()
	if !first {
		return
	}
	c.dropWaiting()
	if !l.multi {
		l.close(ce)
		return
	}
	l.leaving(c)
	if connecting { // it has never been connected
		l.Send(c.refusalFrame(ce))
	} else {
		goodbye, _ := c.format.Encode(&adapter.Message{Kind: adapter.KindDisconnect})
		l.Send(goodbye)
	}
	go c.end(ce)
}

// cut ends the link of the connection at once.
func (c *Conn) cut(ce *CloseError) {
	c.currentLink().cut(ce)
}

// lose is called when the link closes.
func (c *Conn) lose(ce *CloseError) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.leaveLocked(ce)
}

// left is called when the client has left this namespace, while its link goes
// on. Events that it sent before are still handled.
func (c *Conn) left() {
	ce := &CloseError{Code: CloseNormal, Cause: CausePeer}
	c.mu.Lock()
	live, l := c.phase == connLive, c.link
	first := c.leaveLocked(ce)
	if first && live {
		c.phase = connParting
	}
	for r := range c.streams {
		r.leaveLocked(ce)
	}
	c.mu.Unlock()
	if first {
		l.leaving(c)
		go c.end(ce)
	}
}

// hush lets a connection whose client has left answer nothing more.
func (c *Conn) hush() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.phase == connParting {
		c.phase = connLeaving
	}
}

// leaveLocked ends a stream whose client has left: it hears nothing more of it.
func (r *request) leaveLocked(ce *CloseError) {
	r.giveLocked()
	r.cancelLocked(ce)
}

// end takes the connection out of the world when its client has gone.
func (c *Conn) end(ce *CloseError) {
	if c.ending.Swap(true) {
		<-c.ended
		return
	}
	defer close(c.ended)
	c.lane.Close()
	c.router.rooms.Remove(&c.member)
	if ce.Cause == CausePeer && ce.Code != CloseAbnormal || ce.Cause == CauseProtocol {
		c.settle() // what came before a goodbye, or a mistake, is handled
	}
	c.hush()
	c.dropWaiting()
	c.cancel(ce)
	c.await()
	admitted := c.wasAdmitted() // OnConnect may have returned just now
	if admitted && c.router.onDisconnect.fn != nil {
		c.disconnect(ce)
	}
	c.router.rooms.Forget(&c.member)
	l := c.forget()
	if !admitted {
		return
	}
	c.log(slog.LevelInfo, "wsrouter: disconnected", slog.Duration("duration", time.Since(c.born)),
		slog.String("cause", ce.Cause.String()), slog.Int("code", ce.Code),
		slog.Int64("bytes_in", l.bytesIn.Load()), slog.Int64("bytes_out", l.bytesOut.Load()))
	if t := c.router.app.opts.Trace; t.Disconnect != nil {
		c.router.app.trace(func() { t.Disconnect(c, ce) })
	}
}

// settle waits until all events have been handled, but not for longer than
// HookTimeout.
func (c *Conn) settle() {
	grace := time.NewTimer(c.router.app.opts.HookTimeout)
	defer grace.Stop()
	select {
	case <-c.lane.Idle():
	case <-grace.C:
	}
}

// await waits for handlers whose context has ended, and complains of those that
// take no notice.
func (c *Conn) await() {
	idle := c.lane.Idle()
	select {
	case <-idle:
		return
	default:
	}
	late := time.AfterFunc(c.router.app.opts.HookTimeout, func() {
		c.log(slog.LevelWarn, "wsrouter: handler goes on although its connection has ended")
	})
	defer late.Stop()
	<-idle
}

func (c *Conn) wasAdmitted() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.guard == guardAdmitted
}

func (c *Conn) disconnect(ce *CloseError) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(c.ctx), c.router.app.opts.HookTimeout)
	defer cancel()
	err := protectHook(func() error { c.router.onDisconnect.fn(ctx, c, ce); return nil })
	if err != nil {
		c.router.app.counters.panics.Add(1)
		c.log(slog.LevelError, "wsrouter: OnDisconnect panicked", slog.Any("err", err))
	}
}

// forget takes the connection off its link, and out of what the tree knows.
func (c *Conn) forget() *link {
	c.mu.Lock()
	c.phase = connEnded
	l := c.link
	l.bytes.Keep(-len(c.auth) - c.data)
	c.mu.Unlock()
	l.detach(c)
	c.router.app.sessions.removeConn(c)
	return l
}

// dropWaiting forgets events whose handlers have not been called.
func (c *Conn) dropWaiting() {
	dropped := c.lane.Drop()
	if len(dropped) == 0 {
		return
	}
	c.mu.Lock()
	for _, r := range dropped {
		delete(c.open, r.msg.ID)
	}
	c.mu.Unlock()
	for _, r := range dropped {
		r.link.resume(r.letGo())
	}
	c.router.app.counters.discarded.Add(int64(len(dropped)))
}
