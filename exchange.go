package wsrouter

import (
	"context"
	"errors"
	"time"
)

// exchange is one event from the peer on its way through a handler. If it is a
// request, it stays open until its last frame has been sent.
type exchange struct {
	conn *Conn
	msg  *Message
	own  Context // what its handler gets

	// Guarded by Link.mu.
	held     int             // bytes that are charged for it, from the inbox to the handler's return
	ctx      context.Context // nil until somebody wants it, which most handlers do not
	cancel   context.CancelCauseFunc
	ended    bool  // ctx is cancelled, or is to be as soon as it is made
	cause    error // with which, unless the connection's end came before
	began    time.Time
	next     *exchange // in the inbox
	index    int       // in Conn.running
	traced   bool      // EventStart was called
	yielded  bool      // the turn was given up
	answered bool      // the last frame is out, or was taken in hand
	canceled bool      // the peer wants no more
	stream   bool      // items may follow until the handler returns
	limited  bool      // credit counts
	credit   int64
	more     chan struct{} // closed when credit is added; nil if nobody waits
	refused  bool          // too many handlers are running
	finished bool          // the handler has returned
	released bool          // Shutdown no longer waits for the handler
}

// Causes with which an event's context ends.
var (
	errCanceled = NewError("canceled").WithCode(CodeCanceled).WithCause(context.Canceled)
	errTimeout  = NewError("timed out").WithCode(CodeTimeout).WithCause(context.DeadlineExceeded)
	errShutdown = NewError("shutting down").WithCode(CodeShutdown)
	errTooMany  = NewError("too many open requests").WithCode(CodeTooMany)
	errNotFound = NewError("no such event").WithCode(CodeNotFound)
)

type exchangeKey struct{}

// begin returns the Context with which the handler is called.
func (ex *exchange) begin() *Context {
	if ex.conn.router.app.opts.HandlerTimeout < forever {
		ex.context() // whose time begins now
	}
	ex.own = Context{conn: ex.conn, msg: ex.msg, ex: ex}
	return &ex.own
}

// context returns the event's context.
func (ex *exchange) context() context.Context {
	ex.conn.link.mu.Lock()
	defer ex.conn.link.mu.Unlock()
	if ex.ctx == nil {
		ex.ctx, ex.cancel = ex.newContext()
		if ex.ended {
			ex.cancel(ex.cause)
		}
	}
	return ex.ctx
}

func (ex *exchange) newContext() (context.Context, context.CancelCauseFunc) {
	ctx, cancel := context.WithCancelCause(ex.conn.ctx)
	if d := ex.conn.router.app.opts.HandlerTimeout; d < forever {
		var stop context.CancelFunc
		ctx, stop = context.WithTimeoutCause(ctx, d, errTimeout)
		inner := cancel
		cancel = func(cause error) { inner(cause); stop() }
	}
	return context.WithValue(ctx, exchangeKey{}, ex), cancel
}

// cancelLocked ends the event's context. The first cause counts.
func (ex *exchange) cancelLocked(cause error) {
	if !ex.ended {
		ex.ended, ex.cause = true, cause
	}
	if ex.cancel != nil {
		ex.cancel(cause)
	}
}

// finish ends an event whose handler returned err: it answers what has not been
// answered, and reports whether the handler still has the turn.
func (c *Context) finish(err error) (turn bool) {
	l := c.conn.link
	l.mu.Lock()
	done := err == nil && c.ex.answered && !c.ex.traced // as mostly
	if !done {
		l.mu.Unlock()
		c.settle(err)
		l.mu.Lock()
	}
	defer l.mu.Unlock()
	return c.ex.finishLocked()
}

// settle logs and traces how an event ended, and answers what is still to be
// answered.
func (c *Context) settle(err error) {
	ex, conn := c.ex, c.conn
	if err != nil {
		err = c.explain(err)
	} else {
		err = c.outcome(nil)
	}
	if t := conn.router.app.opts.Trace; ex.traced && t.EventEnd != nil {
		conn.router.app.trace(func() { t.EventEnd(c, time.Since(ex.began), err) })
	}
	if ex.answer() == nil {
		c.sendLast(err, sendReply)
	}
}

// finishLocked reports whether the handler still has the turn.
func (ex *exchange) finishLocked() bool {
	ex.cancelLocked(nil)
	ex.finished = true
	ex.conn.link.letGoLocked(ex)
	if ex.stream {
		ex.conn.endStreamLocked(ex)
	}
	if !ex.released {
		ex.conn.stopLocked(ex)
	}
	if ex.yielded {
		ex.conn.signalIdleLocked()
	}
	return !ex.yielded
}

// explain decides what a handler's error means, and logs it. An error is user code,
// too: its methods may panic.
func (c *Context) explain(err error) error {
	explained := err
	failed := protectHook(func() error {
		if abortsConnection(err) {
			c.conn.link.cut(&CloseError{Code: CloseAbnormal, Cause: CauseLocal, err: err})
			explained = nil
			return nil
		}
		explained = c.outcome(err)
		c.logError(explained)
		return nil
	})
	if failed != nil {
		c.Logger().Error("wsrouter: error of a handler panicked", "panic", failed.Error())
		return errInternal
	}
	return explained
}

// answer takes the last frame of the event in hand: it happens once, and frees
// the id, since the peer may use it again as soon as it has that frame.
func (ex *exchange) answer() error {
	ex.conn.link.mu.Lock()
	defer ex.conn.link.mu.Unlock()
	if ex.answered {
		return ErrReplied
	}
	ex.answerLocked()
	return nil
}

func (ex *exchange) answerLocked() {
	ex.answered = true
	if ex.msg.ID != "" {
		delete(ex.conn.open, ex.msg.ID)
	}
}

// outcome is err as the asker shall see it: an exchange that was cancelled, or
// whose time was up, ends so whatever the handler made of it.
func (c *Context) outcome(err error) error {
	c.conn.link.mu.Lock()
	canceled := c.ex.canceled && !c.ex.answered
	c.conn.link.mu.Unlock()
	switch {
	case canceled:
		return errCanceled
	case err != nil && errors.Is(err, context.DeadlineExceeded) && context.Cause(c.ex.context()) == errTimeout:
		return errTimeout
	case err != nil && context.Cause(c.ex.context()) == errShutdown && errors.Is(err, context.Canceled):
		return errShutdown
	}
	return err
}

// sendLast sends the last frame of an event: the exception, or to a request the
// empty answer. An end that dialled answers requests only, so that two ends
// never answer each other for ever.
func (c *Context) sendLast(err error, mode sendMode) {
	m := &Message{Kind: KindReply, Event: c.msg.Event, ID: c.msg.ID}
	if m.ID == "" && (err == nil || c.conn.link.client) {
		return
	}
	if err == nil {
		c.conn.send(m, mode)
		return
	}
	m.Kind = KindError
	var f Frame
	failed := protectHook(func() (err2 error) { // ErrorBody, MarshalJSON: user code
		m.Args = []any{c.errorBody(err)}
		f, err2 = c.conn.format.Encode(m)
		return err2
	})
	if failed != nil {
		c.Logger().Error("wsrouter: exception cannot be encoded", "err", failed)
		m.Args = []any{wireError{Status: "error", Message: errInternal.Message}}
		f, _ = c.conn.format.Encode(m)
	}
	c.conn.sendFrame(f, mode)
}

func (c *Conn) cancelExchange(id string) {
	c.link.mu.Lock()
	defer c.link.mu.Unlock()
	ex := c.open[id]
	if ex == nil || ex.answered {
		return
	}
	ex.canceled = true
	ex.cancelLocked(errCanceled)
}

func (c *Conn) addCredit(id string, n int64) {
	c.link.mu.Lock()
	defer c.link.mu.Unlock()
	ex := c.open[id]
	if ex == nil {
		return
	}
	ex.credit = min(ex.credit+n, maxInteger)
	if ex.more != nil {
		close(ex.more)
		ex.more = nil
	}
}

// beginStream marks the event as answered by a stream.
func (ex *exchange) beginStream() error {
	l := ex.conn.link
	l.mu.Lock()
	defer l.mu.Unlock()
	if ex.answered || ex.stream {
		return ErrReplied
	}
	ex.stream = true
	if ex.conn.streaming == nil {
		ex.conn.streaming = make(map[*exchange]struct{})
	}
	ex.conn.streaming[ex] = struct{}{}
	l.app.counters.streams.Add(1)
	l.addWaitLocked(1)
	switch {
	case ex.conn.parting:
		ex.leaveLocked(ex.conn.ce)
	case ex.conn.draining:
		ex.cancelLocked(errShutdown)
	}
	return nil
}

func (c *Conn) endStreamLocked(ex *exchange) {
	delete(c.streaming, ex)
	c.link.app.counters.streams.Add(-1)
	c.link.addWaitLocked(-1)
}

// takeCredit waits until the asker takes another item.
func (c *Context) takeCredit() error {
	ex, l := c.ex, c.conn.link
	for {
		l.mu.Lock()
		if !ex.limited || ex.credit > 0 {
			ex.credit--
			l.mu.Unlock()
			return nil
		}
		if ex.more == nil {
			ex.more = make(chan struct{})
		}
		more := ex.more
		l.mu.Unlock()
		select {
		case <-more:
		case <-c.Context().Done():
			return c.cause()
		case <-ex.context().Done():
			return c.cause()
		case <-l.closed:
			return l.Err()
		}
	}
}

// bind stores the only argument, or the array of all, in out. Without any out is
// left as it is.
func (m *Message) bind(out any) error { return joinArgs(m.Args).bind(out) }

const forever = time.Duration(1<<63 - 1)
