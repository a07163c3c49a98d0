package wsrouter

import (
	"errors"
	"net/http"
	"os"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/wsrouter/wsrouter/adapter"
	"github.com/wsrouter/wsrouter/internal/budget"
	"github.com/wsrouter/wsrouter/internal/handshake"
	"github.com/wsrouter/wsrouter/internal/heartbeat"
	"github.com/wsrouter/wsrouter/internal/lazy"
	"github.com/wsrouter/wsrouter/internal/outbox"
	"github.com/wsrouter/wsrouter/internal/quota"
)

// link is one client's transport: everything sent over it goes through the link, in
// order, and the link detects a dead peer. It implements [adapter.Link].
//
//	new ── Join ──▶ open ── close, cut, End ──▶ closing, which has a ce
//	 └──────────────────────────────────────────▶  │ End
//	                    gone ◀─┬─────────────────────┘
//	                           └─ parked ◀── while Conns are away
//
// When a link is closed, what is queued is sent, then a goodbye. When it is cut,
// neither is. What outlives a transport belongs to its Conns. Lock order is Conn.mu,
// then the locks of the leaves; link.mu is held together with none of them but that of
// joins. The transport is called with no lock held.
type link struct {
	app       *app
	transport adapter.Transport
	request   *handshake.Request
	dialed    bool // this side has dialed
	multi     bool // carries several namespaces and outlives them

	out   *outbox.Queue[adapter.Frame]
	bytes *budget.Account[*link]

	frames quota.Bucket // that the client may send
	joins  quota.Bucket // of namespaces
	lines  quota.Lines  // of the log

	heartbeat         heartbeat.Monitor
	bytesIn, bytesOut atomic.Int64
	ce                atomic.Pointer[CloseError] // how it ends, once it is closing
	settled           lazy.Latch                 // closed when a client is let in or refused, or the link ends
	done              lazy.Latch                 // closed when all of the link's connections are gone

	lost atomic.Pointer[CloseError] // what senders were told before that

	mu       sync.Mutex // guards everything below
	phase    linkPhase
	attached []*attached
	asking   []attempt // attempts to resume Conns
}

type linkPhase uint8

const (
	linkNew    linkPhase = iota // it has not joined a namespace
	linkOpen                    // it has; if it is closing, ce is set
	linkParked                  // it has ended, and Conns of it are away
	linkGone
)

// attached is a Conn on a link. It implements [adapter.Conn].
type attached struct {
	conn  atomic.Pointer[Conn] // nil until it is decided which one the client gets
	early atomic.Bool          // the client has left before that was decided
	link  *link
	left  bool // the Conn is leaving the link; guarded by link.mu
}

// newLink registers a client's transport.
func (a *app) newLink(t adapter.Transport, opts adapter.LinkOptions) (*link, error) {
	a.freeze()
	l := &link{
		app:       a,
		transport: t,
		request:   kept(opts),
		dialed:    opts.Dialed,
		multi:     opts.Multiplexed,
		out:       outbox.New[adapter.Frame](a.opts.OutboxBytes),
	}
	l.bytes = a.pool.NewAccount(l, a.opts.InboxBytes, a.opts.MaxMessage)
	l.heartbeat.Start(a.opts.PingInterval, a.sessions.Spread(a.opts.PingInterval), l.checkAlive)
	l.bytes.Keep(l.request.Held())
	refused := a.noRoom(a.sessions.Add(l, opts.Request, a.clientKey(opts.Request)))
	if refused == nil && !opts.Dialed && !a.take(serving) {
		a.sessions.Remove(l)
		refused = notServing()
	}
	if refused != nil {
		l.heartbeat.Stop()
		l.bytes.Leave()
		a.refused(opts.Request, "", Refusal(refused.Reason), refused)
		return nil, refused
	}
	a.relieve()
	return l, nil
}

func kept(opts adapter.LinkOptions) *handshake.Request {
	if opts.Detached {
		return handshake.Pack(opts.Request)
	}
	return handshake.Keep(opts.Request)
}

// Send implements [adapter.Link].
func (l *link) Send(f adapter.Frame) bool {
	if f.IsZero() {
		return true
	}
	outcome, _ := l.out.Put(f, outbox.Now)
	return l.putDone(f, outcome) == nil
}

// putDone finishes after a frame was put into the outbox.
func (l *link) putDone(f adapter.Frame, outcome outbox.Outcome) error {
	switch outcome {
	case outbox.Full:
		l.cut(slowClient())
		return l.gone()
	case outbox.Closed:
		return l.gone()
	}
	l.bytes.Out(f.Held())
	switch outcome {
	case outbox.Wake:
		go l.flush()
	case outbox.InHand:
		l.write(l.out.Hand())
	}
	l.app.relieve()
	return nil
}

// gone returns how the link ends. If its network has failed, nobody may know yet.
func (l *link) gone() *CloseError {
	if ce := l.ce.Load(); ce != nil {
		return ce
	}
	l.lost.CompareAndSwap(nil, &CloseError{Code: CloseAbnormal, Cause: CausePeer})
	return l.lost.Load()
}

// owns reports whether ce is the end of this link.
func (l *link) owns(ce *CloseError) bool { return ce == l.ce.Load() || ce == l.lost.Load() }

// flush writes batches until there are none, or the transport is pending. The
// caller has the right to write.
func (l *link) flush() {
	for {
		batch, freed, step := l.out.Take()
		l.bytes.Out(-freed)
		switch step {
		case outbox.Rest:
			return
		case outbox.Goodbye:
			ce := l.gone()
			l.transport.Close(adapter.End{Code: ce.Code, Reason: reasonText(ce.Reason), Cause: adapter.Cause(ce.Cause)})
			return
		}
		if !l.writeBatch(batch) {
			return
		}
	}
}

// write writes a batch that the caller already has, and what follows.
func (l *link) write(batch []adapter.Frame) {
	if l.writeBatch(batch) {
		l.flush()
	}
}

// writeBatch reports whether the batch has been written; otherwise Writable
// continues.
func (l *link) writeBatch(batch []adapter.Frame) bool {
	size := 0
	for _, f := range batch {
		size += f.Size()
		l.app.traceFrame(l.app.opts.Trace.FrameOut, l, f)
	}
	l.bytesOut.Add(int64(size))
	l.app.counters.bytesOut.Add(int64(size))
	pending, err := l.transport.Write(batch)
	if err != nil {
		l.writeFailed(err)
	}
	return err == nil && !pending
}

// Writable implements [adapter.Link].
func (l *link) Writable(err error) {
	if err != nil {
		l.writeFailed(err)
		return
	}
	l.flush()
}

// writeFailed leaves it to the reader to say how the connection ended, because a
// close frame from the peer may be waiting there. If the reader does not,
// checkAlive will.
func (l *link) writeFailed(err error) {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		l.cut(slowClient())
		return
	}
	l.dropOutbox()
	if l.ce.Load() != nil {
		l.transport.Abort()
		return
	}
	l.heartbeat.WriteFailed()
}

func (l *link) dropOutbox() {
	lost, freed := l.out.Drop()
	l.bytes.Out(-freed)
	if !slices.ContainsFunc(l.conns(), func(c *Conn) bool { return c.session != nil }) { // otherwise it is sent again
		l.app.dropped(l, lost)
	}
}

func slowClient() *CloseError {
	return &CloseError{Code: ClosePolicy, Reason: "slow client", Cause: CauseSlow}
}

// Alive implements [adapter.Link].
func (l *link) Alive() { l.heartbeat.Heard() }

// Arrived implements [adapter.Link].
func (l *link) Arrived(f adapter.Frame) bool {
	l.Alive()
	size := int64(f.Size())
	l.bytesIn.Add(size)
	l.app.counters.bytesIn.Add(size)
	l.app.traceFrame(l.app.opts.Trace.FrameIn, l, f)
	if !l.mayArrive() {
		l.close(&CloseError{Code: ClosePolicy, Reason: "too many frames", Cause: CauseProtocol})
	}
	return l.ce.Load() == nil
}

func (l *link) mayArrive() bool {
	opts := &l.app.opts
	return opts.FrameRate == unlimited || l.frames.Take(opts.FrameBurst, float64(opts.FrameRate))
}

// flow returns what to tell the reader after a message has been counted.
func (l *link) flow(verdict budget.Verdict) adapter.Flow {
	l.app.relieve()
	if verdict == budget.Pause {
		return adapter.Pause
	}
	return adapter.Go
}

// mayJoin limits how often a client joins namespaces: MaxOpen at once, which is as
// many as it may be in, and MaxOpen a minute.
func (l *link) mayJoin() bool {
	n := l.app.opts.MaxOpen
	return n == unlimited || l.joins.Take(n, float64(n)/60)
}

// resume lets the reader continue if a leaf says so, and the readers of links that
// count together with this one. Since it was we who did not read, the peer's
// silence proves nothing.
func (l *link) resume(yes bool) {
	for ; yes && l != nil; l = l.bytes.Heir() {
		l.Alive()
		l.transport.Resume()
	}
}

// checkAlive runs when the peer should have been heard: it asks for a sign of life,
// or ends a link whose peer gave none.
func (l *link) checkAlive() {
	opts := &l.app.opts
	switch l.heartbeat.Check(l.condition(), heartbeat.Timing{Interval: opts.PingInterval, Timeout: opts.PongTimeout}) {
	case heartbeat.Ping:
		l.transport.Ping()
	case heartbeat.Dead:
		l.cut(&CloseError{Code: CloseAbnormal, Reason: "ping timeout", Cause: CauseTimeout})
	case heartbeat.Lost:
		l.cut(&CloseError{Code: CloseAbnormal, Cause: CausePeer})
	}
}

func (l *link) condition() heartbeat.Condition {
	switch out := l.out.State(); {
	case out.Closed: // see writeFailed
		return heartbeat.Broken
	case l.bytes.Paused():
		return heartbeat.Paused
	case out.Writing:
		return heartbeat.Writing
	}
	return heartbeat.Idle
}

// Close implements [adapter.Link].
func (l *link) Close(e adapter.End) { l.close(closeError(e)) }

// close begins the end: nothing more is queued, what is queued is sent, and then
// the peer is told. The first cause counts.
func (l *link) close(ce *CloseError) {
	if !l.beginClose(ce) {
		return
	}
	switch l.out.Close() {
	case outbox.Wake:
		go l.flush()
	case outbox.Closed: // no goodbye can be sent
		l.transport.Abort()
	}
}

// cut ends the link now, and drops what is queued.
func (l *link) cut(ce *CloseError) {
	l.beginClose(ce)
	l.dropOutbox()
	if l.ends() {
		l.bytes.Leave()
		for _, c := range l.conns() {
			c.dropWaiting()
		}
	}
	l.transport.Abort()
}

// beginClose reports whether this call was the first to end the link.
func (l *link) beginClose(ce *CloseError) bool {
	if !l.ce.CompareAndSwap(nil, ce) {
		return false
	}
	l.heartbeat.Stop()
	l.mu.Lock()
	was := l.phase
	l.mu.Unlock()
	if was == linkNew && !l.dialed {
		l.turnedAway(ce)
	}
	if ce.Cause == CauseSlow {
		l.app.counters.slow.Add(1)
	}
	for _, c := range l.conns() {
		c.lose(l, ce)
	}
	l.resume(l.bytes.End())
	return true
}

// turnedAway reports a client that has gone before it joined a namespace, unless it
// left on its own.
func (l *link) turnedAway(ce *CloseError) {
	switch ce.Cause {
	case CauseTimeout:
		l.app.refused(l.request.HTTP(), "", RefusedTimeout, ce)
	case CauseShutdown:
		l.app.refused(l.request.HTTP(), "", RefusedShutdown, ce)
	case CauseProtocol, CauseSlow:
		l.app.refused(l.request.HTTP(), "", RefusedProtocol, ce)
	}
}

// Request implements [adapter.Link].
func (l *link) Request() *http.Request { return l.request.HTTP() }

// Settled implements [adapter.Link].
func (l *link) Settled() <-chan struct{} { return l.settled.Done() }

// End implements [adapter.Link].
func (l *link) End(e adapter.End) (done <-chan struct{}) {
	l.settled.Happen()
	l.beginClose(closeError(e))
	l.dropOutbox()
	if l.ends() {
		l.bytes.Leave()
	}
	go func() {
		var wg sync.WaitGroup
		for _, c := range l.conns() {
			if c.lose(l, l.ce.Load()) { // whoever closes the link may not have reached c yet
				wg.Go(c.end)
			}
		}
		wg.Wait()
		l.park()
		l.done.Happen()
	}()
	return l.done.Done()
}

// conns returns the Conns that have not ended.
func (l *link) conns() []*Conn {
	l.mu.Lock()
	defer l.mu.Unlock()
	list := make([]*Conn, len(l.attached))
	for i, a := range l.attached {
		list[i] = a.conn.Load()
	}
	return list
}

// leaving records that a Conn is leaving: its namespace may be joined again.
func (l *link) leaving(c *Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, a := range l.attached {
		a.left = a.left || a.conn.Load() == c
	}
}

// detach removes a Conn that has ended or has another link. It reports whether
// there are no others.
func (l *link) detach(c *Conn) (empty bool) {
	l.mu.Lock()
	l.attached = slices.DeleteFunc(l.attached, func(a *attached) bool { return a.conn.Load() == c })
	empty = len(l.attached) == 0
	gone := empty && l.phase == linkParked
	if gone {
		l.phase = linkGone
	}
	l.mu.Unlock()
	if gone {
		l.leave()
	}
	return empty
}
