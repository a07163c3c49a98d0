package wsrouter

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/wsrouter/wsrouter/adapter"
)

// This file is about the start and end of a connection; shutdown.go is about the
// router's.
//
//	upgrade ─ OnInit once ─ join ─ OnConnect ─┬─ live: events, emits, rooms
//	                                          └─ refused
//	the transport ends ─ handlers return ─ OnDisconnect ─ gone

// connPhase is where a Conn is in its life.
//
//	connecting ──▶ live ◀──▶ away
//	    │           │ │        │
//	    │           │ └▶ parting: its client has left; earlier requests are still answered
//	    ▼           ▼      ▼   │
//	  leaving ◀────────────────┘
//	    ▼
//	  ended: OnDisconnect has run
type connPhase uint8

const (
	connConnecting connPhase = iota
	connLive
	connAway // its link has gone, and it may get another: see recovery.go
	connParting
	connLeaving
	connEnded
)

// OnInit registers a function that runs once, before the namespace's first client.
// Clients that come meanwhile wait for it. If it returns an error, they and all later
// clients are refused with 503.
func (r *Router) OnInit(fn func(*Router) error) {
	setHook(r, "OnInit", &r.onInit, fn, fn == nil)
}

type disconnectFunc = func(ctx context.Context, c *Conn, err *CloseError)

// OnDisconnect registers a function that runs once for every connection that OnConnect
// has let in, after the connection has ended and its handlers have returned. err is
// never nil; switch on its Cause. ctx is not the connection's: it has the values of
// [Conn.Context], and ends after [Options.HookTimeout]. The connection's rooms can
// still be read, but it is no longer selected by any [Target]. The hook is not
// inherited by child namespaces.
func (r *Router) OnDisconnect(fn func(ctx context.Context, c *Conn, err *CloseError)) {
	setHook(r, "OnDisconnect", &r.onDisconnect, fn, fn == nil)
}

// initState makes OnInit run once. It does not use a sync.Once, which would hold a
// mutex while user code runs.
type initState struct {
	mu   sync.Mutex    // guards done
	done chan struct{} // closed when OnInit has returned
	err  error         // set before done is closed
}

// initialize waits for OnInit, whoever has started it, but not after gone is closed.
func (r *Router) initialize(gone func() <-chan struct{}) error {
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
	case <-gone():
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

// leaveLocked begins the end of the connection. It reports false if that has begun
// already.
func (c *Conn) leaveLocked(ce *CloseError) (first bool) {
	if c.phase >= connParting {
		return false
	}
	if c.session != nil {
		c.session.stay(c)
	}
	c.phase, c.ce = connLeaving, ce
	c.failCallsLocked(ce)
	if c.guard == guardPending && c.arrival.cancel != nil {
		c.arrival.cancel(ce)
	}
	c.done.Happen()
	return true
}

// refuse does not let the client in. It reports false if that is already decided.
func (c *Conn) refuse(reason Refusal, ce *CloseError, err error) bool {
	c.mu.Lock()
	if c.guard != guardPending {
		c.mu.Unlock()
		return false
	}
	c.guard = guardRefused
	_, bytes := c.arrival.held()
	l, first := c.link, c.leaveLocked(ce)
	c.arrival = nil
	c.mu.Unlock()
	l.settled.Happen()
	l.bytes.Out(-bytes)
	c.lane.Close()
	c.dropWaiting()
	if first {
		c.depart(l, ce, err)
	}
	c.router.app.refused(c.Request(), c.router.name, reason, err)
	return true
}

// close begins the end of the connection, and of the link if the connection is the only
// one. If the client is asked to resume, close only closes the link.
func (c *Conn) close(ce *CloseError) {
	c.mu.Lock()
	was, l := c.phase, c.link
	away := c.session.lose(c, ce)
	first := away == nil && c.leaveLocked(ce)
	c.mu.Unlock()
	switch {
	case away != nil:
		l.close(ce)
		c.tellAway(away)
		return
	case !first:
		return
	case was == connAway: // nobody else ends it
		c.dropWaiting()
		go c.end()
		return
	}
	c.dropWaiting()
	var told error
	if was == connConnecting { // it was never let in
		told = ce
	}
	c.depart(l, ce, told)
}

// depart lets the client of a leaving connection go. told is why the client was
// refused, or nil if it was not. A client that loses a single namespace does not ask
// for it again; so if the client should come back, the link ends.
func (c *Conn) depart(l *link, ce *CloseError, told error) {
	if !l.multi || ce.isTemporary() {
		l.close(ce)
		return
	}
	l.leaving(c)
	if told != nil {
		l.Send(c.refusalFrame(told))
	} else {
		goodbye, _ := c.format.Encode(&adapter.Message{Kind: adapter.KindDisconnect})
		l.Send(goodbye)
	}
	go c.end()
}

// expire ends a connection that has been away since that time.
func (c *Conn) expire(since time.Time) {
	c.mu.Lock()
	expired := c.phase == connAway && c.session.since == since // otherwise it has been back
	if expired {
		c.leaveLocked(c.session.loss)
	}
	c.mu.Unlock()
	if expired {
		c.lapsed()
	}
}

// lapse ends a connection that is away, as lost if ce is nil. It reports false if the
// connection is not away.
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
	c.lapsed()
	return true
}

func (c *Conn) lapsed() {
	c.router.app.counters.expired.Add(1)
	c.dropWaiting()
	go c.end()
}

// cut ends the connection at once, and its link with it.
func (c *Conn) cut(ce *CloseError) {
	if !c.lapse(ce) {
		c.currentLink().cut(ce)
	}
}

// lose is called when a link closes. It reports whether the connection ends with the
// link; otherwise it is away now, or has another link.
func (c *Conn) lose(l *link, ce *CloseError) (ends bool) {
	c.mu.Lock()
	if c.link != l || c.phase == connAway {
		c.mu.Unlock()
		return false
	}
	away := c.session.lose(c, ce)
	if away == nil {
		c.leaveLocked(ce)
	}
	c.mu.Unlock()
	if away != nil {
		c.tellAway(away)
	}
	return away == nil
}

// left is called when the client has left this namespace while its link stays. Events
// that it sent before are still handled.
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
		go c.end()
	}
}

// hush makes a connection whose client has left send no more answers.
func (c *Conn) hush() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.phase == connParting {
		c.phase = connLeaving
	}
}

// leaveLocked ends a stream whose client has left; the client gets nothing more of it.
func (r *request) leaveLocked(ce *CloseError) {
	r.giveLocked()
	r.cancelLocked(ce)
}

// end removes a connection whose client has gone.
func (c *Conn) end() {
	if c.ending.Swap(true) {
		<-c.ended.Done()
		return
	}
	defer c.ended.Happen()
	ce := c.leaves()
	c.lane.Close()
	c.router.rooms.Remove(&c.member)
	if ce.Cause == CausePeer && ce.Code != CloseAbnormal || ce.Cause == CauseProtocol {
		c.settle() // what was sent before a goodbye, or before a mistake, is handled
	}
	c.hush()
	c.dropWaiting()
	c.ctx.End(ce)
	c.await()
	c.shun()
	c.awaitAway()
	admitted := c.wasAdmitted() // OnConnect may have returned just now
	if admitted && c.router.onDisconnect.fn != nil {
		c.disconnect(ce)
	}
	c.router.app.leaveAll(c)
	l := c.forget()
	if !admitted {
		return
	}
	attrs := []slog.Attr{slog.Duration("duration", time.Since(c.born)), slog.String("cause", ce.Cause.String()), slog.Int("code", ce.Code)}
	if ce.Reason != "" && ce.Cause != CausePeer { // text from a stranger must not get into logs
		attrs = append(attrs, slog.String("reason", truncate(ce.Reason, 123)))
	}
	c.log(slog.LevelInfo, "wsrouter: disconnected", append(attrs,
		slog.Int64("bytes_in", l.bytesIn.Load()), slog.Int64("bytes_out", l.bytesOut.Load()))...)
	if t := c.router.app.opts.Trace; t.Disconnect != nil {
		c.router.app.trace(func() { t.Disconnect(c, ce) })
	}
}

// leaves returns how the connection leaves.
func (c *Conn) leaves() *CloseError {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ce
}

// settle waits until all events have been handled, but at most for HookTimeout.
func (c *Conn) settle() {
	grace := time.NewTimer(c.router.app.opts.HookTimeout)
	defer grace.Stop()
	select {
	case <-c.lane.Idle():
	case <-grace.C:
	}
}

// await waits for handlers whose context has ended, and logs those that do not react.
func (c *Conn) await() {
	idle := c.lane.Idle()
	select {
	case <-idle:
		return
	default:
	}
	late := time.AfterFunc(c.router.app.opts.HookTimeout, func() {
		c.log(slog.LevelWarn, "wsrouter: handler still running although its connection has ended")
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
	ctx, cancel := context.WithTimeout(c.base, c.router.app.opts.HookTimeout)
	defer cancel()
	if err := protectHook(func() error { c.router.onDisconnect.fn(ctx, c, ce); return nil }); err != nil {
		c.router.app.counters.panics.Add(1)
		c.log(slog.LevelError, "wsrouter: OnDisconnect panicked", panicAttrs(err)...)
	}
}

// forget detaches the connection from its link, and removes it from the tree.
func (c *Conn) forget() *link {
	c.mu.Lock()
	c.phase = connEnded
	l := c.link
	l.bytes.Keep(-len(c.auth) - c.data)
	c.auth = nil // a stopped timer may still refer to c
	if c.session != nil {
		c.session.end(c)
	}
	c.mu.Unlock()
	l.detach(c)
	c.router.app.sessions.RemoveConn(c)
	return l
}

// dropWaiting discards events whose handlers have not been called.
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
