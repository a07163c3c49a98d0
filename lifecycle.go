package wsrouter

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"
)

// This file is a connection's birth and death, and the router's.
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
	root     *Router
	counters counters
	compiled chan struct{} // closed when the handlers' chains are built

	mu         sync.Mutex // guards everything below
	frozen     bool       // serving has begun
	namespaces map[string]*Router
	links      map[*Link]struct{}
}

// freeze ends registration and builds the handlers' chains.
func (a *app) freeze() {
	a.mu.Lock()
	first := !a.frozen
	a.frozen = true
	a.mu.Unlock()
	if first {
		defer close(a.compiled)
		for _, r := range a.namespaces {
			r.compile()
		}
		return
	}
	<-a.compiled
}

// add registers a link, unless the tree is closing.
func (a *app) add(l *Link) error {
	a.freeze()
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.root.closing.Load() {
		return shutdownError()
	}
	a.links[l] = struct{}{}
	return nil
}

func (a *app) remove(l *Link) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.links, l)
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

func shutdownError() *CloseError {
	return &CloseError{Code: CloseGoingAway, Reason: "shutting down", Cause: CauseShutdown}
}

// initState makes OnInit run once. It is no sync.Once, which would hold a mutex
// while user code runs.
type initState struct {
	mu   sync.Mutex    // guards done
	done chan struct{} // closed when OnInit has returned
	err  error         // set before done is closed
}

func (r *Router) initialize() error {
	if r.onInit.fn == nil {
		return nil
	}
	r.init.mu.Lock()
	first := r.init.done == nil
	if first {
		r.init.done = make(chan struct{})
	}
	r.init.mu.Unlock()
	if first {
		r.init.err = protectHook(func() error { return r.onInit.fn(r) })
		if r.init.err != nil {
			r.app.opts.Logger.Error("wsrouter: OnInit failed", "namespace", r.name, "err", r.init.err)
		}
		close(r.init.done)
	}
	<-r.init.done
	return r.init.err
}

// Join asks for a connection in a namespace for the link's client, with its
// connect payload, which may be nil. It returns before OnConnect has run; its
// outcome is sent as KindConnect or KindRefuse, after which what OnConnect
// emitted follows. The error is a *[CloseError] if the link or the namespace is
// closing.
func (l *Link) Join(r *Router, format Format, auth []byte) (*Conn, error) {
	c := &Conn{
		id: newID(), link: l, router: r, format: format, auth: auth,
		born: time.Now(), ended: make(chan struct{}), turn: true, running: 1,
	}
	c.ctx, c.cancel = context.WithCancelCause(context.WithoutCancel(l.request.Context()))
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.ce != nil:
		return nil, l.ce
	case r.isClosing():
		return nil, shutdownError()
	}
	l.conns = append(l.conns, c)
	go c.connect()
	return c, nil
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
	welcome, _ := c.format.Encode(&Message{Kind: KindConnect, ID: c.id})
	l.mu.Lock()
	c.live = true
	if l.ce == nil {
		c.sendHeldLocked(welcome)
	}
	l.mu.Unlock()
	c.router.hub.add(c)
	l.app.counters.connects.Add(1)
	c.log(slog.LevelInfo, "wsrouter: connected")
	l.mu.Lock()
	c.running--
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
		l.out = append(l.out, f)
		l.outBytes += f.size() + frameOverhead
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
	l.app.counters.refused.Add(1)
	level := slog.LevelInfo
	if ce.Code == CloseInternal {
		level = slog.LevelError
	}
	c.log(level, "wsrouter: refused", slog.Any("err", err))
	told, _ := c.format.Encode(&Message{Kind: KindRefuse, Args: []any{err}})
	l.mu.Lock()
	c.held = nil
	c.draining = true
	c.dropInboxLocked()
	if l.multi {
		l.sendLocked(told, sendNow)
		c.leaving = true
		go c.end(ce)
	} else {
		l.closeLocked(ce)
	}
	c.running--
	c.turn = false
	c.signalIdleLocked()
	l.mu.Unlock()
}

// close begins the end of the connection: of the link, where it is the only one.
func (c *Conn) close(ce *CloseError) {
	l := c.link
	goodbye, _ := c.format.Encode(&Message{Kind: KindDisconnect})
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ce != nil || c.leaving {
		return
	}
	c.dropInboxLocked()
	c.leaving = true
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
	c.leaving = true
	c.failCallsLocked(ce)
	go c.end(ce)
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
	if ce.Cause == CausePeer && ce.Code != CloseAbnormal {
		c.settleLocked() // a client that said goodbye has its events handled
	}
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
	attrs = append([]slog.Attr{slog.String("conn", c.id), slog.String("namespace", c.router.name)}, attrs...)
	c.link.app.opts.Logger.LogAttrs(c.ctx, level, msg, attrs...)
}

// cutGrace is how long Shutdown waits for handlers and hooks after it has cut
// their connections.
const cutGrace = time.Second

// Shutdown ends the namespace and its children, on the root the whole tree, and
// waits for it. New clients get 503 from now on. Each connection is served to
// the end: its running handlers finish, and events that were read are handled;
// streams end with an exception of code "shutdown"; what is queued is sent; then
// it is closed with 1001. OnDisconnect has run for all when Shutdown returns nil.
//
// When ctx ends first, the remaining connections are cut and ctx's error is
// returned. A handler may call Shutdown with its own context: that handler is
// not waited for. Calling it again waits again. Call it before
// [http.Server.Shutdown], which does not know of these connections.
func (r *Router) Shutdown(ctx context.Context) error {
	ctx, cancel := r.outlive(ctx)
	defer cancel()
	parts := r.stop()
	abandoned := make(chan struct{})
	defer close(abandoned)
	done := make(chan struct{})
	go func() {
		defer close(done)
		var wg sync.WaitGroup
		for _, p := range parts {
			wg.Go(func() { p.shutdown(ctx, abandoned) })
		}
		wg.Wait()
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
	}
	for _, p := range parts {
		p.cut()
	}
	select {
	case <-done:
	case <-time.After(cutGrace):
	}
	return fmt.Errorf("wsrouter: shutdown: %w", ctx.Err())
}

// Close ends the namespace and its children at once: connections are cut, and
// handlers are not waited for, although their contexts end. It returns nil.
func (r *Router) Close() error {
	for _, p := range r.stop() {
		p.cut()
	}
	return nil
}

// stop makes the namespace refuse new clients, and returns what it has.
func (r *Router) stop() (parts []part) {
	r.app.mu.Lock()
	r.closing.Store(true)
	links := slices.Collect(maps.Keys(r.app.links))
	r.app.mu.Unlock()
	for _, l := range links {
		if p := l.partOf(r); p.whole || len(p.conns) > 0 {
			parts = append(parts, p)
		}
	}
	return parts
}

// outlive returns the context to shut down with. A handler's own context ends
// with its connection, in the middle of the shutdown that it called for; so its
// event is released, and only a deadline is kept.
func (r *Router) outlive(ctx context.Context) (context.Context, context.CancelFunc) {
	ex, ok := ctx.Value(exchangeKey{}).(*exchange)
	if !ok || ex.conn.router.app != r.app {
		return ctx, func() {}
	}
	ex.release()
	inner := context.WithoutCancel(ctx)
	if deadline, ok := ctx.Deadline(); ok {
		return context.WithDeadline(inner, deadline)
	}
	return inner, func() {}
}

// release makes nobody wait for the event's handler any more.
func (ex *exchange) release() {
	l := ex.conn.link
	l.mu.Lock()
	defer l.mu.Unlock()
	if ex.released {
		return
	}
	ex.released = true
	ex.conn.running--
	ex.conn.passTurnLocked(ex)
	ex.conn.signalIdleLocked()
}

// part is what a link has in a namespace, or below it.
type part struct {
	link  *Link
	conns []*Conn
	whole bool // the link ends with it
}

func (l *Link) partOf(r *Router) part {
	l.mu.Lock()
	defer l.mu.Unlock()
	p := part{link: l}
	for _, c := range l.conns {
		for ns := c.router; ns != nil; ns = ns.parent {
			if ns == r {
				p.conns = append(p.conns, c)
				break
			}
		}
	}
	p.whole = r.parent == nil || !l.multi && len(p.conns) > 0
	return p
}

// shutdown serves the part to its end.
func (p part) shutdown(ctx context.Context, abandoned <-chan struct{}) {
	for _, c := range p.conns {
		c.drain(ctx)
	}
	ends := []<-chan struct{}{p.link.done}
	switch {
	case ctx.Err() != nil:
		p.cut()
	case p.whole:
		p.link.close(shutdownError())
	default:
		ends = nil
		for _, c := range p.conns {
			c.close(shutdownError())
			ends = append(ends, c.ended)
		}
	}
	for _, end := range ends {
		select {
		case <-end:
		case <-abandoned:
		}
	}
}

func (p part) cut() {
	if p.whole {
		p.link.cut(shutdownError())
		return
	}
	for _, c := range p.conns {
		c.close(shutdownError())
	}
}

// drain waits until the connection's events have been handled, and lets no new
// ones in.
func (c *Conn) drain(ctx context.Context) {
	l := c.link
	l.mu.Lock()
	c.draining = true
	for ex := range c.streaming {
		ex.cancel(errShutdown)
	}
	idle := c.idleLocked()
	l.mu.Unlock()
	select {
	case <-idle:
	case <-l.closed:
	case <-ctx.Done():
	}
}
