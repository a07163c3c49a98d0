package wsrouter

import (
	"net/http"
	"time"

	"github.com/wsrouter/wsrouter/adapter"
)

// Trace is a set of functions that are told what happens, in the manner of
// [net/http/httptrace]. Any may be nil. They are called synchronously, some of
// them from the read loop or the writer, and concurrently for different
// connections; so they should be quick, and must not call runtime.Goexit, as
// FailNow of a test does. None is called with a lock held.
//
// Names of events are the client's choice: use [Context.Event] as a label of
// metrics only where it is registered, as EventStart and EventEnd are called for
// registered events and NotFound handlers only.
type Trace struct {
	// Connect is called when OnConnect has let a client in, Disconnect when it
	// has gone and OnDisconnect has run.
	Connect    func(c *Conn)
	Disconnect func(c *Conn, err *CloseError)

	// Away is called when the client of a connection is lost and may come back, Resume
	// when it has. Of one that does not come back Disconnect tells, in which Conn.Away
	// reports true.
	Away   func(c *Conn, err *CloseError)
	Resume func(c *Conn)

	// Refuse is called once for each client that is not let in, or not into one
	// namespace. err says why; where an adapter of others refuses it may be nil.
	Refuse func(req *http.Request, reason Refusal, err error)

	// EventStart is called before a handler and its middleware, EventEnd when
	// they have returned err, or panicked, after that time. Ask c.Outcome(err)
	// what that means.
	EventStart func(c *Context)
	EventEnd   func(c *Context, took time.Duration, err error)

	// FrameIn and FrameOut see what is sent and received, for debugging: bodies
	// and auth are in there. They must not change it, nor keep it. The request is
	// the one that the client came with.
	FrameIn  func(req *http.Request, data []byte)
	FrameOut func(req *http.Request, data []byte)

	// Drop is called when n frames were not sent: volatile ones to a full
	// outbox, or what a connection had queued when it was cut.
	Drop func(req *http.Request, n int)
}

// trace calls one of the functions of Options.Trace. Its panics are logged.
func (a *app) trace(call func()) {
	if err := protect(func() error { call(); return nil }); err != nil {
		a.opts.Logger.Error("wsrouter: Trace panicked", "panic", err.Error())
	}
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
