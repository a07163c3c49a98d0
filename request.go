package wsrouter

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/wsrouter/wsrouter/adapter"
	"github.com/wsrouter/wsrouter/internal/budget"
	"github.com/wsrouter/wsrouter/internal/lane"
	"github.com/wsrouter/wsrouter/internal/plain"
)

// request is one event from the peer, from the queue to its last frame. It waits
// for its turn, is handled, and ends when its handler has returned, see finish.
// Independently of that it has an answer:
//
//	none ── Stream ──▶ streaming
//	  │                  │ finish, or the client has left
//	  └─ Reply, finish ──┴──▶ given: the last frame has been sent, or is about to be
type request struct {
	conn *Conn
	msg  adapter.Message
	item lane.Item[*request]
	own  Context // what its handler gets
	link *link   // the link it came over, which holds its bytes

	traced bool // EventEnd must be called; used by whoever handles it

	// Guarded by Conn.mu.
	answer answerPhase
	ctx    context.Context // nil until somebody asks for it, which most handlers do not
	cancel context.CancelCauseFunc
	inner  context.Context // of the last WithContext; nil if there was none
	cause  error           // why ctx ends, or will end as soon as it is made; nil while it goes on
	credit int64           // items that the client takes; negative means any number
	more   chan struct{}
	failed error // error of middleware that was to replace the reply
}

type answerPhase uint8

const (
	answerNone answerPhase = iota
	answerStreaming
	answerGiven
)

// Causes with which an event's context ends, and other outcomes.
var (
	errCanceled = NewError("canceled").WithCode(CodeCanceled).WithCause(context.Canceled)
	errTimeout  = NewError("timed out").WithCode(CodeTimeout).WithCause(context.DeadlineExceeded)
	errShutdown = NewError("shutting down").WithCode(CodeShutdown)
	errTooMany  = NewError("too many open requests").WithCode(CodeTooMany)
	errNotFound = NewError("no such event").WithCode(CodeNotFound)
)

// errOver is the cause of a context whose handler has returned.
var errOver = context.Canceled

type requestKey struct{}

const forever = time.Duration(1<<63 - 1)

// Receive implements [adapter.Conn].
func (a *attached) Receive(m *adapter.Message) adapter.Flow {
	flow, turn := a.Take(m)
	if turn != nil {
		go turn.Work()
	}
	return flow
}

// Take implements [adapter.Taker].
func (a *attached) Take(m *adapter.Message) (adapter.Flow, adapter.Turn) {
	c := a.conn.Load()
	if c != nil && c.dialed && m.ID == "" && (m.Kind == adapter.KindReply || m.Kind == adapter.KindError) {
		m.Kind, m.Event = adapter.KindEvent, plain.Exception // for the client's NotFound
	}
	if c == nil || c.session != nil && m.Kind != adapter.KindEvent && !c.takes(a.link) {
		if m.Kind == adapter.KindDisconnect {
			a.leave()
		}
		return adapter.Closed, nil
	}
	switch m.Kind {
	case adapter.KindReply, adapter.KindError:
		kept := *m
		c.answer(&kept)
		a.link.app.relieve()
	case adapter.KindCancel:
		c.cancelRequest(m.ID)
	case adapter.KindPull:
		c.addCredit(m.ID, m.Credit)
	case adapter.KindDisconnect:
		c.left()
	default:
		return c.receive(a.link, m)
	}
	return adapter.Go, nil
}

// reception says what has become of an event.
type reception uint8

const (
	accepted reception = iota
	begun              // its handler must be called
	rejected           // the connection is draining
	repeated           // likewise, and its id is that of an open request
	foreign            // the connection is leaving, or has another link
	inUse              // its id is that of an open request
	flooding           // too much is waiting
)

// receive queues an event. What it tells the reader is about the link.
func (c *Conn) receive(l *link, m *adapter.Message) (flow adapter.Flow, turn adapter.Turn) {
	r := &request{conn: c, msg: *m, link: l, credit: -1}
	r.item.Value = r
	if m.Credit > 0 {
		r.credit = m.Credit
	}
	c.mu.Lock()
	got, verdict := c.receiveLocked(l, r)
	c.mu.Unlock()
	counters := &c.router.app.counters
	switch got {
	case begun:
		counters.eventsIn.Add(1)
		turn = r
	case accepted:
		counters.eventsIn.Add(1)
	case inUse:
		l.close(&CloseError{Code: CloseProtocol, Reason: "id in use", Cause: CauseProtocol})
		return adapter.Closed, nil
	case flooding:
		l.close(&CloseError{Code: ClosePolicy, Reason: "inbox full", Cause: CauseProtocol})
		return adapter.Closed, nil
	case rejected, repeated:
		counters.discarded.Add(1)
		if got == rejected {
			r.rejected()
		}
	case foreign:
		counters.discarded.Add(1)
		return adapter.Closed, nil
	}
	return l.flow(verdict), turn
}

func (c *Conn) receiveLocked(l *link, r *request) (reception, budget.Verdict) {
	if c.link != l || c.phase == connAway || c.phase >= connParting {
		return foreign, budget.Go
	}
	if c.session != nil {
		c.session.received++
	}
	if r.msg.ID != "" && c.open[r.msg.ID] != nil {
		if c.lane.Closed() {
			return repeated, budget.Go
		}
		return inUse, budget.Go
	}
	verdict := r.link.bytes.Wait(r.msg.Held())
	if verdict == budget.Over {
		r.letGo()
		return flooding, verdict
	}
	got := accepted
	switch c.lane.Push(&r.item) {
	case lane.Refused:
		if r.letGo() {
			verdict = budget.Go // nobody has been told to pause
		}
		return rejected, verdict
	case lane.Start:
		got = begun
	}
	if r.msg.ID != "" {
		if c.open == nil {
			c.open = make(map[string]*request)
		}
		c.open[r.msg.ID] = r
	}
	return got, verdict
}

// letGo removes a message that is not handled from the account. It reports whether
// the reader must be resumed, if it has been told to pause.
func (r *request) letGo() (resume bool) {
	r.link.bytes.Forget(r.msg.Held())
	return r.link.bytes.Drop(r.msg.Held())
}

// rejected answers a request that came while its connection was draining: the
// client need not wait for the close to ask another server.
func (r *request) rejected() {
	if r.msg.ID == "" {
		return
	}
	c := r.conn
	r.own = Context{conn: c, req: r}
	r.own.sendLast(errShutdown, sendNow) // the reader must not wait
	c.mu.Lock()
	defer c.mu.Unlock()
	r.cancelLocked(errOver)
}

// Work implements [adapter.Turn]. It handles requests one after another, as long as
// it has the turn.
func (r *request) Work() {
	for r != nil {
		r = r.handle()
	}
}

// handle calls the handler. It returns the next request to handle if it still has
// the turn. If a handler calls runtime.Goexit, as a test's FailNow does, this
// goroutine ends and another one continues.
func (r *request) handle() (next *request) {
	r.link.resume(r.link.bytes.Handle(r.msg.Held()))
	returned := false
	defer func() {
		if !returned {
			go func(err error) { r.finish(err).Work() }(errGoexit())
		}
	}()
	r.own = Context{conn: r.conn, req: r}
	err := protect(r.dispatch)
	returned = true
	return r.finish(err)
}

func (r *request) dispatch() error {
	opts := &r.conn.router.app.opts
	if r.item.Running > opts.MaxOpen || r.link.bytes.Crowded(r.msg.Held()) {
		r.conn.router.app.counters.tooMany.Add(1)
		return errTooMany
	}
	if opts.HandlerTimeout < forever {
		r.context() // starts its timeout
	}
	return r.conn.router.dispatch(&r.own)
}

// fail records why there is no reply. The first error counts.
func (r *request) fail(err error) {
	r.conn.mu.Lock()
	defer r.conn.mu.Unlock()
	if r.failed == nil && r.answer != answerGiven {
		r.failed = err
	}
}

// result returns the outcome of the event: what its handler returned or, if that is
// nil, why there is no reply.
func (r *request) result(err error) error {
	r.conn.mu.Lock()
	defer r.conn.mu.Unlock()
	if err == nil && r.answer != answerGiven {
		return r.failed
	}
	return err
}

// yield lets the next event begin while the handler of this one continues.
func (r *request) yield() { r.passedTurn(r.conn.lane.Yield(&r.item)) }

func (r *request) passedTurn(next *lane.Item[*request], had bool) {
	if had {
		r.link.bytes.Yield(r.msg.Held())
	}
	if next != nil {
		go next.Value.Work()
	}
}

// release makes nobody wait for the handler any longer.
func (r *request) release() { r.passedTurn(r.conn.lane.Release(&r.item)) }

// context returns the event's context.
func (r *request) context() context.Context {
	r.conn.mu.Lock()
	defer r.conn.mu.Unlock()
	if r.ctx == nil {
		r.ctx, r.cancel = r.newContext()
		if r.cause != nil {
			r.cancel(r.cause)
		}
	}
	return r.ctx
}

func (r *request) newContext() (context.Context, context.CancelCauseFunc) {
	ctx, cancel := context.WithCancelCause(r.conn.ctx.Get(r.conn.base))
	if d := r.conn.router.app.opts.HandlerTimeout; d < forever {
		var stop context.CancelFunc
		ctx, stop = context.WithTimeoutCause(ctx, d, errTimeout)
		inner := cancel
		cancel = func(cause error) { inner(cause); stop() }
	}
	if r.msg.Meta != nil {
		ctx = context.WithValue(ctx, metaKey{}, r.msg.Meta)
	}
	return context.WithValue(ctx, requestKey{}, r), cancel
}

// enter records a context that middleware has made for the handler.
func (r *request) enter(ctx context.Context) {
	r.conn.mu.Lock()
	defer r.conn.mu.Unlock()
	r.inner = ctx
}

// innermost returns the context that the handler had.
func (r *request) innermost() context.Context {
	r.conn.mu.Lock()
	inner := r.inner
	r.conn.mu.Unlock()
	if inner != nil {
		return inner
	}
	return r.context()
}

// cancelLocked ends the event's context. The first cause counts.
func (r *request) cancelLocked(cause error) {
	if r.cause != nil {
		return
	}
	r.cause = cause
	if r.cancel != nil {
		r.cancel(cause)
	}
}

// finish ends an event whose handler has returned err. It answers what has not been
// answered, and returns the next request to handle if it still has the turn.
func (r *request) finish(err error) (next *request) {
	c := r.conn
	done, streaming := r.end(err == nil)
	if !done {
		r.settle(r.result(err))
		_, streaming = r.end(true)
	}
	if streaming {
		c.router.app.counters.streams.Add(-1)
	}
	item, gaveUp := c.lane.Next(&r.item)
	r.link.bytes.Done(r.msg.Held(), gaveUp)
	if item != nil {
		return item.Value
	}
	return nil
}

// end ends the event if nothing remains to be said, which is the usual case. It
// reports whether that is so, and whether a stream has ended with the event.
func (r *request) end(fine bool) (done, streaming bool) {
	c := r.conn
	c.mu.Lock()
	defer c.mu.Unlock()
	if !fine || r.answer != answerGiven || r.traced {
		return false, false
	}
	r.cancelLocked(errOver)
	if _, streaming = c.streams[r]; streaming {
		delete(c.streams, r)
		c.waitsLocked(-1)
	}
	return true, streaming
}

// settle logs and traces how an event ended, and sends the answer if there is none
// yet.
func (r *request) settle(err error) {
	c := &r.own
	if err != nil {
		err = c.explain(err)
	} else {
		err = c.outcome(nil)
	}
	if app := r.conn.router.app; r.traced {
		app.trace(func() { app.opts.Trace.EventEnd(c, time.Since(r.conn.lane.Began(&r.item)), err) })
	}
	r.traced = false
	r.conn.mu.Lock()
	first := r.answer != answerGiven
	r.giveLocked()
	r.conn.mu.Unlock()
	if first {
		c.sendLast(err, sendReply)
	}
}

// giveLocked claims the last frame of the event, and frees its id, because the peer
// may reuse the id as soon as it has that frame.
func (r *request) giveLocked() {
	if r.answer != answerGiven && r.msg.ID != "" {
		delete(r.conn.open, r.msg.ID)
	}
	r.answer = answerGiven
}

// explain decides what a handler's error means, and logs it. The error is user
// code, too: its methods may panic.
func (c *Context) explain(err error) error {
	explained := err
	failed := protect(func() error {
		if abortsConnection(err) {
			c.conn.cut(&CloseError{Code: CloseAbnormal, Cause: CauseLocal, err: err})
			explained = nil
			return nil
		}
		explained = c.outcome(err)
		c.logError(explained)
		return nil
	})
	if failed != nil {
		c.logFailure("wsrouter: a handler's error panicked", panicAttrs(failed)...)
		return errInternal
	}
	return explained
}

// outcome returns err as the client should see it: a request that was canceled, or
// whose time was up, ends that way whatever the handler returns.
func (c *Context) outcome(err error) error {
	c.conn.mu.Lock()
	canceled := c.req.cause == errCanceled && c.req.answer != answerGiven
	c.conn.mu.Unlock()
	switch {
	case canceled:
		return errCanceled
	case errors.Is(err, context.DeadlineExceeded) && context.Cause(c.req.context()) == errTimeout:
		return errTimeout
	case errors.Is(err, context.Canceled) && context.Cause(c.req.context()) == errShutdown:
		return errShutdown
	}
	return err
}

// sendLast sends the last frame of an event: the exception or, for a request, the
// empty answer. The side that dialed only answers requests, so that the two sides
// never answer each other forever.
func (c *Context) sendLast(err error, mode sendMode) {
	m := &adapter.Message{Kind: adapter.KindReply, Event: c.req.msg.Event, ID: c.req.msg.ID}
	if m.ID == "" && (err == nil || c.conn.dialed) {
		return
	}
	if err == nil {
		c.conn.send(m, mode)
		return
	}
	m.Kind = adapter.KindError
	var f adapter.Frame
	failed := protect(func() (err2 error) { // ErrorBody and MarshalJSON are user code
		m.Args = []any{c.errorBody(err)}
		f, err2 = c.conn.format.Encode(m)
		return err2
	})
	if failed != nil {
		c.logFailure("wsrouter: exception cannot be encoded", slog.Any("err", failed))
		m.Args = []any{wireError{Status: "error", Message: errInternal.Message}}
		f, _ = c.conn.format.Encode(m)
	}
	c.conn.put(f, mode)
}

func (c *Conn) cancelRequest(id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if r := c.open[id]; r != nil && r.answer != answerGiven {
		r.cancelLocked(errCanceled)
	}
}

func (c *Conn) addCredit(id string, n int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	r := c.open[id]
	if r == nil || r.credit < 0 {
		return
	}
	r.credit = min(r.credit+n, plain.MaxInteger)
	if r.more != nil {
		close(r.more)
		r.more = nil
	}
}

// waitsLocked counts calls and streams, for which reading must continue. It returns
// the link whose reader must be resumed, if any.
func (c *Conn) waitsLocked(n int) (resume *link) {
	if c.link != nil && c.link.bytes.Open(n) {
		return c.link
	}
	return nil
}
