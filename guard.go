package wsrouter

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/wsrouter/wsrouter/adapter"
	"github.com/wsrouter/wsrouter/internal/closecode"
	"github.com/wsrouter/wsrouter/internal/lane"
)

// This file is about how OnConnect lets a client in or refuses it.

// guardPhase is what OnConnect has decided about a client. OnConnect may still be
// running when the client has left.
//
//	pending ─┬─▶ admitted: OnDisconnect will run
//	         └─▶ refused: by OnConnect, by its timeout, or by what it emitted
type guardPhase uint8

const (
	guardPending guardPhase = iota
	guardAdmitted
	guardRefused
)

// OnConnect registers the guard of the namespace. It runs for every client, over every
// transport, before any of the client's events is handled. Until it returns nil, the
// client's events wait, what is emitted to the client is held, and nobody can find,
// count, call or disconnect it, nor does an Emit to the whole namespace reach it. What
// is emitted to rooms that it has joined is held, too.
//
// When the guard lets the client in, the client receives what the guard emitted, then
// what came through rooms. So join the room, read the history, and emit that: nothing
// is lost. What is in the history and was also sent to the room arrives twice.
//
// An error refuses the client, and drops everything that was held. A *[CloseError]
// without a Cause refuses with its code (1008 if that cannot be sent) and reason, a
// *[WsError] with 1008 and its message. Any other error, a panic, and the *CloseError
// of another connection, which has a Cause, refuse with 1011 and no details.
//
// If fn takes longer than [Options.ConnectTimeout], or if more than
// [Options.OutboxBytes] is held for the client, the client is refused with 1013,
// whatever fn returns. [Conn.Context] ends then, and also when the client
// disconnects. Clients come back after 1011, 1012 and 1013; since Socket.IO has no
// codes, the whole transport ends there. The guard is not inherited by child
// namespaces.
func (r *Router) OnConnect(fn func(*Conn) error) {
	setHook(r, "OnConnect", &r.onConnect, fn, fn == nil)
}

// connect runs OnConnect. It holds the turn, so events wait. If OnConnect calls
// runtime.Goexit, another goroutine continues.
func (c *Conn) connect(turn *lane.Item[*request]) {
	returned := false
	decide := func(err error) {
		if err == nil {
			c.admit()
		} else {
			c.reject(err)
		}
		if next, _ := c.lane.Next(turn); next != nil {
			next.Value.Work()
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

// errInitFailed refuses a client for good: this process never opens the namespace.
var errInitFailed = refusal(503, "not available", RefusedInit)

// askGuard runs OnConnect, and before that OnInit if it has not run.
func (c *Conn) askGuard() error {
	if c.router.initialize(c.done.Done) != nil {
		return errInitFailed
	}
	fn := c.router.onConnect.fn
	if fn == nil {
		return nil
	}
	late := time.AfterFunc(c.router.app.opts.ConnectTimeout, func() {
		ce := &CloseError{Code: CloseTryAgainLater, Reason: "connect timeout", Cause: CauseTimeout}
		c.refuse(RefusedTimeout, ce, ce)
	})
	defer late.Stop()
	return protect(func() error { return fn(c) })
}

// admit lets the client in, unless it has been refused meanwhile.
func (c *Conn) admit() {
	c.mu.Lock()
	admitted := c.guard == guardPending
	if admitted {
		c.guard = guardAdmitted
	}
	c.mu.Unlock()
	if !admitted {
		return
	}
	c.router.rooms.Add(&c.member) // before the client knows; what it is sent until then is held
	welcome := c.welcome(false)
	c.mu.Lock()
	l := c.link
	frames, bytes := c.arrival.held()
	c.arrival = nil
	if c.session != nil {
		c.session.keep(c, frames)
	}
	if !welcome.IsZero() {
		frames = append([]adapter.Frame{welcome}, frames...)
	}
	wake := false
	if c.phase == connConnecting {
		c.phase = connLive
		wake = c.forceLocked(frames)
	}
	c.mu.Unlock()
	l.bytes.Out(-bytes)
	if wake {
		go l.flush()
	}
	l.settled.Happen()
	app := c.router.app
	app.counters.connects.Add(1)
	c.log(slog.LevelInfo, "wsrouter: connected")
	if t := app.opts.Trace; t.Connect != nil {
		app.trace(func() { t.Connect(c) })
	}
}

// welcome tells the client that it is in, if the wire format has a frame for that. With
// back, for which the caller holds the lock, it says that the client has resumed.
func (c *Conn) welcome(back bool) adapter.Frame {
	m := &adapter.Message{Kind: adapter.KindConnect, ID: c.ID()}
	if s := c.session; s != nil && !c.dialed {
		m.Session = &adapter.Session{Secret: s.secret, Window: s.window, Resumed: back}
		if back {
			m.Session.Received = s.received
		}
	}
	f, _ := c.format.Encode(m)
	return f
}

// welcomeAgain answers a client that asks to join a namespace it is already in. If
// OnConnect has not decided yet, the client will be told.
func (c *Conn) welcomeAgain() {
	welcome := c.welcome(false)
	c.mu.Lock()
	live := c.phase == connLive
	c.mu.Unlock()
	if live {
		c.put(welcome, sendNow)
	}
}

// arrival is what only a Conn has whose client has not been let in. Conn.mu guards it.
type arrival struct {
	own   []adapter.Frame // emitted by the guard, or anybody else with the Conn
	rooms []adapter.Frame // emitted through a Target
	bytes int             // of both

	// ctx is what Conn.Context returns, nil if nobody has asked for it. It ends as
	// soon as the client leaves, because then nobody wants to know more about the
	// client. If the client is let in, its events are still handled, with a context
	// that goes on.
	ctx    context.Context
	cancel context.CancelCauseFunc
}

// errHeldFull is handled by [Conn.heldFull].
var errHeldFull = errors.New("more is held than Options.OutboxBytes")

// hold keeps a frame until OnConnect has let the client in, up to most bytes in total.
func (a *arrival) hold(f adapter.Frame, mode sendMode, most int) error {
	size := f.Held()
	if a.bytes > 0 && a.bytes+size > most {
		return errHeldFull
	}
	if mode == sendCast || mode == sendVolatile {
		a.rooms = append(a.rooms, f)
	} else {
		a.own = append(a.own, f)
	}
	a.bytes += size
	return nil
}

// heldFull refuses a client for which too much is held.
func (c *Conn) heldFull(mode sendMode) error {
	if mode == sendVolatile {
		c.router.app.dropped(c.currentLink(), 1)
		return nil
	}
	ce := &CloseError{Code: CloseTryAgainLater, Reason: "too much emitted in OnConnect", Cause: CauseLocal}
	if !c.refuse(RefusedOverflow, ce, ce) {
		c.close(ce)
	}
	return c.gone()
}

// held returns what is held, in the order in which the client gets it.
func (a *arrival) held() (frames []adapter.Frame, bytes int) {
	return append(a.own, a.rooms...), a.bytes
}

// forceLocked sends frames regardless of their size, which was bounded when they were
// held. It reports whether the caller must flush.
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

// reject refuses the client because of the error that OnConnect returned. The error is
// user code, too: its methods may panic.
func (c *Conn) reject(err error) {
	reason, ce := RefusedGuard, guardFailure(err)
	failed := protect(func() error {
		reason, ce = c.verdict(err)
		return nil
	})
	if failed != nil {
		c.failed(failed)
		err = failed
	}
	c.refuse(reason, ce, err)
}

// verdict says how to refuse a client after an error of OnConnect, and logs failures.
// If OnConnect returned the end of another connection, that connection's code is not
// used.
func (c *Conn) verdict(err error) (Refusal, *CloseError) {
	var ce *CloseError
	var ws *WsError
	switch {
	case err == errInitFailed:
		return RefusedInit, &CloseError{Code: CloseTryAgainLater, Reason: errInitFailed.Text, Cause: CauseLocal, err: err}
	case errors.As(err, &ce) && ce.Cause == 0:
		refused := *ce
		refused.Cause = CauseLocal
		if !closecode.Sendable(refused.Code) {
			refused.Code = ClosePolicy
		}
		return RefusedGuard, &refused
	case errors.As(err, &ws):
		return RefusedGuard, &CloseError{Code: ClosePolicy, Reason: ws.Message, Cause: CauseLocal, err: ws}
	case !c.isEnd(err, c.Context()):
		c.failed(err)
	}
	return RefusedGuard, guardFailure(err)
}

func guardFailure(err error) *CloseError {
	return &CloseError{Code: CloseInternal, Reason: errInternal.Message, Cause: CauseLocal, err: err}
}

// failed counts and logs a failure of OnConnect.
func (c *Conn) failed(err error) {
	stats := &c.router.app.counters
	var p *panicError
	if errors.As(err, &p) {
		stats.panics.Add(1)
		c.log(slog.LevelError, "wsrouter: OnConnect panicked", panicAttrs(err)...)
		return
	}
	stats.errors.Add(1)
	c.log(slog.LevelError, "wsrouter: OnConnect failed", slog.Any("err", err))
}

// refusalFrame tells the client why it is refused. If the data cannot be encoded, it is
// left out.
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

// toldOf returns what the client may know about a refusal.
func toldOf(err error) adapter.Told {
	var ws *WsError
	var ce *CloseError
	var refused *adapter.Refusal
	switch {
	case errors.As(err, &ws):
		return adapter.Told{Message: ws.Message, Data: ws.data()}
	case errors.As(err, &ce):
		return adapter.Told{Message: ce.Reason}
	case errors.As(err, &refused):
		return adapter.Told{Message: refused.Text}
	}
	return adapter.Told{Message: errInternal.Message}
}

// panicAttrs returns the attributes for the log line of a panic.
func panicAttrs(err error) []slog.Attr {
	var p *panicError
	if !errors.As(err, &p) {
		return []slog.Attr{slog.Any("err", err)}
	}
	return []slog.Attr{slog.String("panic", fmt.Sprint(p.Value)), slog.String("stack", string(p.Stack))}
}
