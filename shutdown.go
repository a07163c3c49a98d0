package wsrouter

import (
	"context"
	"fmt"
	"sync"
	"time"
)

const (
	// cutGrace is how long Shutdown waits for handlers and hooks after it has
	// cut their connections.
	cutGrace = time.Second

	// spreadShare is how much of the time that is left before ctx's deadline
	// ShutdownSpread may take, so that the last connection is served, too.
	spreadShare = 0.75
)

// Shutdown ends the namespace and its children, on the root the whole tree, and
// waits for it. New clients get 503 from now on. Each connection is served to
// the end: its running handlers finish, and events that were read are handled;
// streams end with an exception of code "shutdown", and their producers have to
// close their channels; requests that come meanwhile are answered so, too, and
// may be sent again elsewhere; what is queued is sent; then it is closed with
// [Options.ShutdownCode]. OnDisconnect has run for all when Shutdown returns nil.
//
// With [Options.ShutdownSpread] the connections end one after another over that
// time, but before ctx's deadline, so that their clients do not all come back at
// once; until its turn each is served as ever.
//
// When ctx ends first, the remaining connections are cut and ctx's error is
// returned. Last it leaves the cluster: where the Broker needs longer for that than
// until ctx's end, it does so beside, and the error says so. A handler may call Shutdown with its own context: that handler is
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
		step := r.spread(ctx) / time.Duration(max(len(parts), 1))
		for i, p := range parts {
			wg.Go(func() { p.shutdown(ctx, time.Duration(i)*step, abandoned) })
		}
		wg.Wait()
	}()
	select {
	case <-done:
		return r.leaveCluster(ctx)
	case <-ctx.Done():
	}
	for _, p := range parts {
		p.cut()
	}
	select {
	case <-done:
	case <-time.After(cutGrace):
	}
	r.leaveCluster(ctx) // begins to; the error is the same
	return fmt.Errorf("wsrouter: shutdown: %w", ctx.Err())
}

// spread is the time over which connections end.
func (r *Router) spread(ctx context.Context) time.Duration {
	spread := r.app.opts.ShutdownSpread
	if deadline, ok := ctx.Deadline(); ok {
		left := time.Duration(spreadShare * float64(time.Until(deadline)))
		spread = min(spread, max(left, 0))
	}
	return spread
}

// Close ends the namespace and its children at once: connections are cut, and
// handlers are not waited for, although their contexts end. A Broker has a second
// to let go of it, and goes on beside after that. It returns nil.
func (r *Router) Close() error {
	for _, p := range r.stop() {
		p.cut()
	}
	ctx, cancel := context.WithTimeout(context.Background(), cutGrace)
	defer cancel()
	r.leaveCluster(ctx)
	return nil
}

// stop makes the namespace refuse new clients, and returns what it has.
func (r *Router) stop() (parts []part) {
	r.app.mu.Lock()
	r.closing.Store(true)
	r.app.mu.Unlock()
	for _, l := range r.app.allLinks() {
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
	if ex.released || ex.finished {
		return
	}
	ex.released = true
	ex.conn.stopLocked(ex)
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
		if c.router.isUnder(r) {
			p.conns = append(p.conns, c)
		}
	}
	p.whole = r.parent == nil || !l.multi && len(p.conns) > 0
	return p
}

// shutdown waits for the part's turn and serves it to its end.
func (p part) shutdown(ctx context.Context, wait time.Duration, abandoned <-chan struct{}) {
	turn := time.NewTimer(wait)
	defer turn.Stop()
	select {
	case <-turn.C:
	case <-p.link.closed:
	case <-ctx.Done():
	}
	for _, c := range p.conns {
		c.drain(ctx)
	}
	ends := []<-chan struct{}{p.link.done}
	switch {
	case ctx.Err() != nil:
		p.cut()
	case p.whole:
		p.link.close(p.link.app.shutdownError())
	default:
		ends = nil
		for _, c := range p.conns {
			c.close(p.link.app.shutdownError())
			ends = append(ends, c.ended)
		}
	}
	for _, end := range ends {
		select {
		case <-end:
		case <-abandoned:
		}
	}
	select { // now that no stream can end any more
	case <-p.link.noProducers():
	case <-abandoned:
	}
}

func (p part) cut() {
	if p.whole {
		p.link.cut(p.link.app.shutdownError())
		return
	}
	for _, c := range p.conns {
		c.close(p.link.app.shutdownError())
	}
}

// drain waits until the connection's events have been handled, and lets no new
// ones in.
func (c *Conn) drain(ctx context.Context) {
	l := c.link
	l.mu.Lock()
	c.draining = true
	for ex := range c.streaming {
		ex.cancelLocked(errShutdown)
	}
	idle := c.idleLocked()
	l.mu.Unlock()
	select {
	case <-idle:
	case <-l.closed:
	case <-ctx.Done():
	}
}
