package wsrouter

import (
	"context"
	"net/http"
	"time"

	"github.com/wsrouter/wsrouter/adapter"
	"github.com/wsrouter/wsrouter/internal/hooks"
)

// Trace is a set of functions that are called when something happens, in the manner
// of [net/http/httptrace]. Each may be nil, which costs nothing. They are called
// synchronously, some by the read loop or the writer, and concurrently for
// different connections. So they should be quick, and must not call runtime.Goexit,
// as FailNow of a test does. A panic is logged and has no other effect. None is
// called with a lock held. [MultiTrace] combines several Traces.
//
// Clients choose the names of events, and often those of rooms. As a label of
// metrics use [Context.Route] in place of an event's name.
type Trace struct {
	// Connect is called when OnConnect has let a client in, Disconnect when the
	// connection has ended and OnDisconnect has returned. Conn.ConnectedAt returns
	// when it began.
	Connect    func(c *Conn)
	Disconnect func(c *Conn, err *CloseError)

	// Away is called when the client of a connection is lost and may come back,
	// Resume when it has come back. If it does not, Disconnect is called, and
	// Conn.Away reports true there.
	Away   func(c *Conn, err *CloseError)
	Resume func(c *Conn)

	// Refuse is called once for each client that is not let in at all, or not into
	// one namespace. err says why; it may be nil if an adapter has refused the
	// client.
	Refuse func(req *http.Request, reason Refusal, err error)

	// Join is called when a connection joins a room that it was not in. Leave is
	// called when it leaves a room, and, when it ends, for each room that it is in,
	// before Disconnect. A client that joins in OnConnect may be refused after
	// that.
	Join  func(c *Conn, room string)
	Leave func(c *Conn, room string)

	// EventStart is called before a handler and its middleware, EventEnd when they
	// have returned err or panicked, with the time they took. c.Route() tells which
	// handler it is, c.Kind() whether the client waits for an answer, and
	// c.Outcome(err) what the error means. Neither is called for an event without a
	// handler, which Stats counts as Unknown.
	EventStart func(c *Context)
	EventEnd   func(c *Context, took time.Duration, err error)

	// CallStart is called before this side sends a request: by Call or Pull of a
	// connection, a Client or a Target, or for another node of a cluster. The call
	// continues with the context that CallStart returns: one derived from ctx, or
	// nil for ctx itself. CallItem is called for each item that a loop over Pull
	// receives. CallEnd is called when the call has ended, with its error;
	// CallOutcome tells what the error means. Breaking out of a loop over Pull is
	// not an error.
	CallStart func(ctx context.Context, c *Conn, event string) context.Context
	CallItem  func(ctx context.Context, c *Conn, event string)
	CallEnd   func(ctx context.Context, c *Conn, event string, took time.Duration, err error)

	// FrameIn and FrameOut see what is received and sent, including bodies and
	// auth; they are for debugging. They must neither modify nor keep data. If
	// FrameOut itself sends something, it is called for that too. req is the
	// request that the client connected with.
	FrameIn  func(req *http.Request, data []byte)
	FrameOut func(req *http.Request, data []byte)

	// Drop is called when n frames were not sent: volatile ones for a full outbox,
	// or what was queued on a connection that was cut. It must not send volatile
	// frames: they may be dropped, too, and so on without end.
	Drop func(req *http.Request, n int)
}

// trace calls a function of Options.Trace, and logs its panics.
func (a *app) trace(call func()) {
	if err := protect(func() error { call(); return nil }); err != nil {
		a.opts.Logger.Error("wsrouter: Trace panicked", "panic", err.Error())
	}
}

// MultiTrace returns a Trace that calls the functions of all traces in order, each
// even if the one before panics. A nil *Trace is skipped. Each CallStart receives
// the context that the one before it returned.
func MultiTrace(traces ...*Trace) *Trace {
	all := new(Trace)
	for _, t := range traces {
		if t != nil {
			all = all.and(t)
		}
	}
	return all
}

func (t *Trace) and(u *Trace) *Trace {
	return &Trace{
		Connect: hooks.Both1(t.Connect, u.Connect), Disconnect: hooks.Both2(t.Disconnect, u.Disconnect),
		Away: hooks.Both2(t.Away, u.Away), Resume: hooks.Both1(t.Resume, u.Resume),
		Refuse: hooks.Both3(t.Refuse, u.Refuse),
		Join:   hooks.Both2(t.Join, u.Join), Leave: hooks.Both2(t.Leave, u.Leave),
		EventStart: hooks.Both1(t.EventStart, u.EventStart), EventEnd: hooks.Both3(t.EventEnd, u.EventEnd),
		CallStart: hooks.BothStart(t.CallStart, u.CallStart), CallEnd: hooks.Both5(t.CallEnd, u.CallEnd),
		CallItem: hooks.Both3(t.CallItem, u.CallItem),
		FrameIn:  hooks.Both2(t.FrameIn, u.FrameIn), FrameOut: hooks.Both2(t.FrameOut, u.FrameOut),
		Drop: hooks.Both2(t.Drop, u.Drop),
	}
}

// join adds a connection to rooms, and traces those that are new to it.
func (a *app) join(c *Conn, names []string) error {
	fn := a.opts.Trace.Join
	if fn == nil || len(names) == 0 {
		return c.router.rooms.Join(&c.member, names)
	}
	for _, name := range names {
		joined, err := c.router.rooms.JoinOne(&c.member, name)
		if err != nil {
			return err
		}
		if joined {
			a.trace(func() { fn(c, name) })
		}
	}
	return nil
}

// leave takes a connection out of rooms, and traces those that it was in.
func (a *app) leave(c *Conn, names []string) {
	fn := a.opts.Trace.Leave
	if fn == nil {
		c.router.rooms.Leave(&c.member, names)
		return
	}
	for _, name := range names {
		if c.router.rooms.LeaveOne(&c.member, name) {
			a.trace(func() { fn(c, name) })
		}
	}
}

// leaveAll takes a connection that has ended out of its rooms.
func (a *app) leaveAll(c *Conn) {
	rooms := c.router.rooms.Forget(&c.member)
	if fn := a.opts.Trace.Leave; fn != nil {
		for name := range rooms {
			a.trace(func() { fn(c, name) })
		}
	}
}

// tracedCall is a request of this side that is reported to Trace.
type tracedCall struct {
	conn  *Conn
	event string
	ctx   context.Context // what CallStart returned
	began time.Time       // zero if Trace has no CallEnd
}

// callStart reports a request that is about to be sent.
func (a *app) callStart(ctx context.Context, c *Conn, event string) tracedCall {
	w := tracedCall{conn: c, event: event, ctx: ctx}
	t := a.opts.Trace
	if t.CallEnd != nil {
		w.began = time.Now()
	}
	if t.CallStart != nil {
		var panicked any
		if w.ctx, panicked = hooks.TryStart(t.CallStart, ctx, c, event); panicked != nil {
			a.trace(func() { panic(panicked) })
		}
	}
	return w
}

func (w *tracedCall) item() {
	app := w.conn.router.app
	if t := app.opts.Trace; t.CallItem != nil {
		app.trace(func() { t.CallItem(w.ctx, w.conn, w.event) })
	}
}

func (w *tracedCall) end(err error) {
	if w.began.IsZero() {
		return
	}
	app := w.conn.router.app
	app.trace(func() { app.opts.Trace.CallEnd(w.ctx, w.conn, w.event, time.Since(w.began), err) })
}

// traceFrame calls FrameIn or FrameOut for each part of a frame.
func (a *app) traceFrame(fn func(*http.Request, []byte), l *link, f adapter.Frame) {
	if fn == nil || f.IsZero() {
		return
	}
	a.trace(func() { fn(l.request.HTTP(), f.Text) })
	for _, data := range f.Attachments {
		a.trace(func() { fn(l.request.HTTP(), data) })
	}
	if f.Next != nil {
		a.traceFrame(fn, l, *f.Next)
	}
}

// dropped counts and traces frames that are not sent.
func (a *app) dropped(l *link, n int) {
	if n == 0 {
		return
	}
	a.counters.dropped.Add(int64(n))
	if t := a.opts.Trace; t.Drop != nil {
		a.trace(func() { t.Drop(l.request.HTTP(), n) })
	}
}
