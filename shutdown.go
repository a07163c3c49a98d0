package wsrouter

import (
	"context"
	"fmt"
	"sync"
	"time"
)

const (
	// cutGrace is how long Shutdown waits for handlers and hooks after cutting their
	// connections.
	cutGrace = time.Second

	// spreadShare is the share of the time left before ctx's deadline that
	// ShutdownSpread may take, so that the last connection gets some time, too.
	spreadShare = 0.75
)

// Shutdown shuts down the namespace and its descendants, and waits until they have
// ended; on the root it shuts down the whole tree. From now on new clients are refused
// with 503. Then, for each connection:
//
//   - Running handlers finish, and events that have been read are handled.
//   - Streams end with an exception of code "shutdown", and their producers must close
//     their channels.
//   - Requests that still arrive get the same exception, so that the client may send
//     them to another server.
//   - What is queued is sent.
//   - The connection is closed with [Options.ShutdownCode].
//
// When Shutdown returns nil, OnDisconnect has run for all connections.
//
// With [Options.ShutdownSpread] connections end one after another over that time, but
// before ctx's deadline, so that their clients do not all come back at once. Until its
// turn each connection is served as before.
//
// If ctx ends first, the remaining connections are cut and Shutdown returns ctx's
// error. At the end Shutdown leaves the cluster; if the Broker has not finished that
// when ctx ends, it continues in the background and the error says so.
//
// A handler may call Shutdown with its own context; Shutdown does not wait for that
// handler. If it is called again it waits again. Call it before [http.Server.Shutdown],
// which does not know about these connections.
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
	r.leaveCluster(ctx) // starts it; the error stays the same
	return fmt.Errorf("wsrouter: shutdown: %w", ctx.Err())
}

// spread returns the time over which connections end.
func (r *Router) spread(ctx context.Context) time.Duration {
	spread := r.app.opts.ShutdownSpread
	if deadline, ok := ctx.Deadline(); ok {
		left := time.Duration(spreadShare * float64(time.Until(deadline)))
		spread = min(spread, max(left, 0))
	}
	return spread
}

// Close shuts down the namespace and its descendants at once: it cuts connections, and
// does not wait for handlers, although their contexts end. It waits one second for the
// Broker to leave the cluster; after that the Broker continues in the background. Close
// returns nil.
func (r *Router) Close() error {
	for _, p := range r.stop() {
		p.cut()
	}
	ctx, cancel := context.WithTimeout(context.Background(), cutGrace)
	defer cancel()
	r.leaveCluster(ctx)
	return nil
}

// stop makes the namespace refuse new clients, and returns what it has: one part for
// the connections of each client.
func (r *Router) stop() (parts []*part) {
	clients := r.app.sessions
	r.closing.Store(true)
	if r.parent == nil {
		clients.Close()
	}
	byLink := make(map[*link]*part)
	partOf := func(l *link) *part {
		p := byLink[l]
		if p == nil {
			p = &part{link: l, whole: r.parent == nil || !l.multi}
			byLink[l] = p
			parts = append(parts, p)
		}
		return p
	}
	for _, c := range clients.Conns() {
		if c.router.isUnder(r) {
			p := partOf(c.currentLink())
			p.conns = append(p.conns, c)
			c.lapse(r.app.shutdownError())
		}
	}
	if r.parent == nil {
		for _, l := range clients.Links() {
			partOf(l) // links that have joined nothing yet
		}
	}
	return parts
}

// isClosing reports whether the namespace, or one of its ancestors, is shutting down.
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

// outlive returns the context to shut down with. A handler's own context ends with its
// connection, in the middle of the shutdown the handler asked for. So nobody waits for
// the handler any longer, and of its context only the deadline is kept.
func (r *Router) outlive(ctx context.Context) (context.Context, context.CancelFunc) {
	req, ok := ctx.Value(requestKey{}).(*request)
	if !ok || req.conn.router.app != r.app {
		return ctx, func() {}
	}
	req.release()
	inner := context.WithoutCancel(ctx)
	if deadline, ok := ctx.Deadline(); ok {
		return context.WithDeadline(inner, deadline)
	}
	return inner, func() {}
}

// part is what one client has in a namespace and its descendants.
type part struct {
	link  *link
	conns []*Conn
	whole bool // the link ends with it
}

// shutdown waits for the part's turn and serves it to its end.
func (p *part) shutdown(ctx context.Context, wait time.Duration, abandoned <-chan struct{}) {
	turn := time.NewTimer(wait)
	defer turn.Stop()
	select {
	case <-turn.C:
	case <-p.gone():
	case <-ctx.Done():
	}
	for _, c := range p.conns {
		c.drain(ctx)
	}
	if ctx.Err() != nil {
		p.cut()
	} else {
		p.close()
	}
	if p.whole && !waitFor(p.link.done.Done(), abandoned) {
		return
	}
	for _, c := range p.conns {
		if !waitFor(c.ended.Done(), abandoned) || !waitFor(c.producers.Empty(), abandoned) {
			return
		}
	}
}

// gone returns a channel that is closed when the part has ended before its turn.
func (p *part) gone() <-chan struct{} {
	if len(p.conns) > 0 {
		return p.conns[0].done.Done()
	}
	return p.link.done.Done()
}

// waitFor reports false if the wait was abandoned.
func waitFor(done, abandoned <-chan struct{}) bool {
	select {
	case <-done:
		return true
	case <-abandoned:
		return false
	}
}

// close closes the link, if it ends with the part, and the connections, which may have
// another link by now.
func (p *part) close() {
	if p.whole {
		p.link.close(p.link.app.shutdownError())
	}
	for _, c := range p.conns {
		c.close(p.link.app.shutdownError())
	}
}

func (p *part) cut() {
	if p.whole {
		p.link.cut(p.link.app.shutdownError())
	}
	for _, c := range p.conns {
		if l := c.currentLink(); p.whole && l != p.link {
			l.cut(p.link.app.shutdownError())
		}
		c.close(p.link.app.shutdownError())
	}
}

// drain waits until the connection's events have been handled, and accepts no new ones.
func (c *Conn) drain(ctx context.Context) {
	c.lane.Close()
	c.mu.Lock()
	for r := range c.streams {
		r.cancelLocked(errShutdown)
	}
	c.mu.Unlock()
	select {
	case <-c.lane.Idle():
	case <-c.done.Done():
	case <-ctx.Done():
	}
}
