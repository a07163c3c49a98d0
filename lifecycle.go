package wsrouter

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/wsrouter/wsrouter/internal/origin"
)

// This file is a connection's birth and death; shutdown.go has the router's.
//
//	upgrade ─ OnInit once ─ join ─ OnConnect ─┬─ live: events, emits, rooms
//	                                          └─ refused
//	the transport ends ─ handlers return ─ OnDisconnect ─ gone

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

type disconnectFunc = func(ctx context.Context, c *Conn, err error)

// OnDisconnect registers a function that is run once for every connection that
// OnConnect let in, when it has gone and its handlers have returned. err is a
// *[CloseError]; switch on its Cause. ctx is the function's own, with the values
// of [Conn.Context] and [Options.HookTimeout]. The connection's rooms can still
// be read, but it is no target any more. It is not inherited by child namespaces.
func (r *Router) OnDisconnect(fn func(ctx context.Context, c *Conn, err error)) {
	setHook(r, "OnDisconnect", &r.onDisconnect, fn, fn == nil)
}

// app is what the namespaces of one tree share.
type app struct {
	opts     Options
	origins  []origin.Pattern // of opts
	side     atomic.Int32     // a side
	root     *Router
	counters counters
	buffered atomic.Int64  // bytes in all queues, where MaxBuffered is set
	compiled chan struct{} // closed when the handlers' chains are built
	broken   error         // why they could not be; set before compiled is closed

	mu         sync.Mutex // guards everything below
	frozen     bool       // serving has begun
	namespaces map[string]*Router
	links      map[*Link]struct{}
	places     map[*http.Request]*place // of clients that will have a link
	perClient  map[string]int           // both by ClientKey; empty without a limit
}

// freeze ends registration and builds the handlers' chains.
func (a *app) freeze() {
	a.mu.Lock()
	first := !a.frozen
	a.frozen = true
	a.mu.Unlock()
	if first {
		a.broken = protectHook(func() error {
			for _, r := range a.namespaces {
				r.compile()
			}
			return nil
		})
		if a.broken != nil {
			a.opts.Logger.Error("wsrouter: middleware could not be built, no client is served", "err", a.broken)
		}
		a.joinCluster()
		close(a.compiled)
	}
	<-a.compiled
}

// side is the end of its connections that a tree of namespaces is at. It is settled
// by the first of them.
type side int32

const (
	serving side = iota + 1
	dialling
)

// take settles the side, and reports false where it is the other.
func (a *app) take(s side) bool {
	return a.side.CompareAndSwap(0, int32(s)) || a.side.Load() == int32(s)
}

func (a *app) allLinks() []*Link {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Collect(maps.Keys(a.links))
}

// subtree returns the namespace and those below it.
func (r *Router) subtree() (list []*Router) {
	r.app.mu.Lock()
	defer r.app.mu.Unlock()
	for _, ns := range r.app.namespaces {
		if ns.isUnder(r) {
			list = append(list, ns)
		}
	}
	return list
}

func (r *Router) isUnder(top *Router) bool {
	for ns := r; ns != nil; ns = ns.parent {
		if ns == top {
			return true
		}
	}
	return false
}

// isClosing reports whether the namespace, or one above it, shuts down.
func (r *Router) isClosing() bool {
	for ns := r; ns != nil; ns = ns.parent {
		if ns.closing.Load() {
			return true
		}
	}
	return false
}

func (a *app) shutdownError() *CloseError {
	return &CloseError{Code: a.opts.ShutdownCode, Reason: "shutting down", Cause: CauseShutdown}
}

// initState makes OnInit run once. It is no sync.Once, which would hold a mutex
// while user code runs.
type initState struct {
	mu   sync.Mutex    // guards done
	done chan struct{} // closed when OnInit has returned
	err  error         // set before done is closed
}

// initialize waits for OnInit, whoever began it, but not after gone is closed: that
// is the end of the client's request, attempt or link.
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

// Join asks for a connection in a namespace for the link's client, with its
// connect payload, which may be nil. It returns before OnConnect has run; its
// outcome is sent as KindConnect or KindRefuse, after which what OnConnect
// emitted follows. The error is a *[CloseError] if the link or the namespace is
// closing.
func (l *Link) Join(r *Router, format Format, auth []byte) (*Conn, error) {
	c := &Conn{
		id: newID(), link: l, router: r, format: format, auth: auth,
		born: time.Now(), ended: make(chan struct{}), turn: true, connecting: &exchange{},
	}
	c.startLocked(c.connecting)
	if r.initialize(l.closed) != nil {
		return nil, &CloseError{Code: CloseTryAgainLater, Reason: "not available", Cause: CauseLocal}
	}
	c.ctx, c.cancel = context.WithCancelCause(context.WithoutCancel(l.request.Context()))
	if err := l.adopt(c); err != nil {
		return nil, err
	}
	if r.onConnect.fn == nil && l.app.opts.Trace.Connect == nil { // nothing that could take long
		c.connected(nil)
	} else {
		go c.connect()
	}
	return c, nil
}

// adopt makes the connection one of the link's.
func (l *Link) adopt(c *Conn) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.ce != nil:
		return l.ce
	case l.Draining() && len(l.conns) == 0: // it is owed nothing
		l.closeLocked(l.app.shutdownError())
		return l.ce
	case c.router.isClosing():
		return l.app.shutdownError()
	case len(l.conns) >= l.app.opts.MaxOpen:
		return &CloseError{Code: ClosePolicy, Reason: "too many namespaces", Cause: CauseProtocol}
	case !l.mayJoinLocked():
		l.closeLocked(&CloseError{Code: ClosePolicy, Reason: "too many joins", Cause: CauseProtocol})
		return l.ce
	}
	for _, before := range l.conns {
		if before.router == c.router {
			before.parting = false // or the client would take its answers for ours
		}
	}
	c.router.hub.born(c)
	l.conns = append(l.conns, c)
	return nil
}

// connect runs OnConnect; it has the turn, so events wait for it.
func (c *Conn) connect() {
	fn := c.router.onConnect.fn
	if fn == nil {
		c.connected(nil)
		return
	}
	late := time.AfterFunc(c.link.app.opts.ConnectTimeout, func() {
		c.close(&CloseError{Code: ClosePolicy, Reason: "connect timeout", Cause: CauseTimeout})
	})
	done := func(err error) {
		late.Stop()
		c.connected(err)
	}
	done(protect(func() error { return fn(c) }, done))
}

// connected lets the client in, or not, and goes on with its events.
func (c *Conn) connected(err error) {
	if err != nil {
		c.refuse(err)
		return
	}
	l := c.link
	c.router.hub.add(c) // before the client knows; what it is sent is held until then
	welcome, _ := c.format.Encode(&Message{Kind: KindConnect, ID: c.id})
	l.mu.Lock()
	c.live = true
	if l.ce == nil && !c.leaving {
		c.sendHeldLocked(welcome)
	}
	l.mu.Unlock()
	l.app.counters.connects.Add(1)
	c.log(slog.LevelInfo, "wsrouter: connected")
	if t := l.app.opts.Trace; t.Connect != nil {
		l.app.trace(func() { t.Connect(c) })
	}
	l.mu.Lock()
	c.stopLocked(c.connecting)
	c.connecting = nil
	l.mu.Unlock()
	c.work()
}

// sendHeldLocked sends what was emitted in OnConnect, whatever its size: it was
// bounded when it was held.
func (c *Conn) sendHeldLocked(welcome Frame) {
	l := c.link
	if !welcome.empty() {
		c.held = append([]Frame{welcome}, c.held...)
	}
	for _, f := range c.held {
		l.queueLocked(f)
		l.app.counters.eventsOut.Add(1)
	}
	if len(c.held) > 0 {
		l.wakeWriterLocked()
	}
	c.held, c.heldBytes = nil, 0
}

func (c *Conn) refuse(err error) {
	ce := refusal(err)
	l := c.link
	told := c.refusalFrame(err)
	l.mu.Lock()
	reason := RefusedGuard
	if c.ce != nil && c.ce.Cause == CauseTimeout {
		reason = RefusedTimeout
	}
	c.held = nil
	c.draining = true
	c.dropInboxLocked()
	switch {
	case !l.multi:
		l.closeLocked(ce)
	case !c.leaving:
		l.sendLocked(told, sendNow)
		c.leaving, c.ce = true, ce
		go c.end(ce)
	}
	c.stopLocked(c.connecting)
	c.turn = false
	c.signalIdleLocked()
	l.mu.Unlock()
	l.app.refused(l.request, reason, err)
	level := slog.LevelInfo
	if ce.Code == CloseInternal {
		level = slog.LevelError
	}
	c.log(level, "wsrouter: refused", slog.Any("err", err))
}

// refusalFrame tells the client why; data that cannot be encoded keeps it from
// the details only.
func (c *Conn) refusalFrame(err error) (f Frame) {
	failed := protectHook(func() (err2 error) {
		f, err2 = c.format.Encode(&Message{Kind: KindRefuse, Args: []any{err}})
		return err2
	})
	if failed != nil {
		f, _ = c.format.Encode(&Message{Kind: KindRefuse, Args: []any{errInternal}})
	}
	return f
}

// close begins the end of the connection: of the link, where it is the only one.
func (c *Conn) close(ce *CloseError) {
	l := c.link
	goodbye, _ := c.format.Encode(&Message{Kind: KindDisconnect})
	refusal, _ := c.format.Encode(&Message{Kind: KindRefuse, Args: []any{error(ce)}})
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ce != nil || c.leaving {
		return
	}
	c.dropInboxLocked()
	c.leaving, c.ce = true, ce
	if !c.live { // it has never been connected
		goodbye = refusal
	}
	if !l.multi {
		l.closeLocked(ce)
		return
	}
	l.sendLocked(goodbye, sendNow)
	c.failCallsLocked(ce)
	go c.end(ce)
}

// left is called when the client has left this namespace, while its link goes
// on. Events that it sent before are still handled.
func (c *Conn) left() {
	ce := &CloseError{Code: CloseNormal, Cause: CausePeer}
	c.link.mu.Lock()
	defer c.link.mu.Unlock()
	if c.leaving {
		return
	}
	c.leaving, c.ce, c.parting = true, ce, c.live
	c.failCallsLocked(ce)
	for ex := range c.streaming {
		ex.leaveLocked(ce)
	}
	go c.end(ce)
}

// leaveLocked ends a stream whose client has left: it hears nothing more of it.
func (ex *exchange) leaveLocked(ce *CloseError) {
	ex.answered = true
	ex.cancelLocked(ce)
}

// end takes the connection out of the world when its client has gone.
func (c *Conn) end(ce *CloseError) {
	l := c.link
	l.mu.Lock()
	if c.ending {
		l.mu.Unlock()
		<-c.ended
		return
	}
	c.ending = true
	c.draining = true
	l.mu.Unlock()

	defer close(c.ended)
	c.router.hub.remove(c)
	l.mu.Lock()
	if ce.Cause == CausePeer && ce.Code != CloseAbnormal || ce.Cause == CauseProtocol {
		c.settleLocked() // what came before a goodbye, or a mistake, is handled
	}
	c.parting = false
	c.dropInboxLocked()
	idle := c.idleLocked()
	l.mu.Unlock()

	c.cancel(ce)
	c.await(idle)
	live := c.isLive() // OnConnect may have returned just now
	if live && c.router.onDisconnect.fn != nil {
		c.disconnect(ce)
	}
	c.router.hub.forget(c)
	l.mu.Lock()
	l.conns = slices.DeleteFunc(slices.Clone(l.conns), func(other *Conn) bool { return other == c })
	l.mu.Unlock()
	if live {
		c.log(slog.LevelInfo, "wsrouter: disconnected", slog.Duration("duration", time.Since(c.born)),
			slog.String("cause", ce.Cause.String()), slog.Int("code", ce.Code),
			slog.Int64("bytes_in", l.bytesIn.Load()), slog.Int64("bytes_out", l.bytesOut.Load()))
		if t := l.app.opts.Trace; t.Disconnect != nil {
			l.app.trace(func() { t.Disconnect(c, ce) })
		}
	}
}

// settleLocked gives up the lock until all events have been handled, but not for
// longer than HookTimeout.
func (c *Conn) settleLocked() {
	idle := c.idleLocked()
	c.link.mu.Unlock()
	defer c.link.mu.Lock()
	grace := time.NewTimer(c.link.app.opts.HookTimeout)
	defer grace.Stop()
	select {
	case <-idle:
	case <-grace.C:
	}
}

// await waits for handlers whose context has ended, and complains of those that
// take no notice.
func (c *Conn) await(idle <-chan struct{}) {
	select {
	case <-idle:
		return
	default:
	}
	late := time.AfterFunc(c.link.app.opts.HookTimeout, func() {
		c.log(slog.LevelWarn, "wsrouter: handler goes on although its connection has ended")
	})
	defer late.Stop()
	<-idle
}

func (c *Conn) isLive() bool {
	c.link.mu.Lock()
	defer c.link.mu.Unlock()
	return c.live
}

func (c *Conn) disconnect(ce *CloseError) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(c.ctx), c.link.app.opts.HookTimeout)
	defer cancel()
	err := protectHook(func() error { c.router.onDisconnect.fn(ctx, c, ce); return nil })
	if err != nil {
		c.link.app.counters.panics.Add(1)
		c.log(slog.LevelError, "wsrouter: OnDisconnect panicked", slog.Any("err", err))
	}
}

func (c *Conn) log(level slog.Level, msg string, attrs ...slog.Attr) {
	if c.link.client {
		level = min(level, slog.LevelDebug) // the server has its line
	}
	if !c.link.app.opts.Logger.Enabled(c.ctx, level) {
		return
	}
	if !c.link.client {
		ok, leftOut := c.link.mayLog()
		if !ok {
			return
		}
		if leftOut > 0 {
			attrs = append(attrs, slog.Int64("lines_left_out", leftOut))
		}
	}
	attrs = append([]slog.Attr{slog.String("conn", c.id), slog.String("namespace", c.router.name)}, attrs...)
	c.link.app.opts.Logger.LogAttrs(c.ctx, level, msg, attrs...)
}
