package wsrouter

import (
	"net/http"
	"time"
)

// Trace is a set of functions that are told what happens, in the manner of
// [net/http/httptrace]. Any may be nil. They are called synchronously, some of
// them from the read loop or the writer, and concurrently for different
// connections; so they should be quick. None is called with a lock held.
//
// Names of events are the client's choice: use [Context.Event] as a label of
// metrics only where it is registered, as EventStart and EventEnd are called for
// registered events and NotFound handlers only.
type Trace struct {
	// Connect is called when OnConnect has let a client in, Disconnect when it
	// has gone and OnDisconnect has run.
	Connect    func(c *Conn)
	Disconnect func(c *Conn, err *CloseError)

	// Refuse is called when a client is not let in. err may be nil.
	Refuse func(req *http.Request, reason Refusal, err error)

	// EventStart is called before a handler and its middleware, EventEnd when
	// they have returned err, or panicked, after that time.
	EventStart func(c *Context)
	EventEnd   func(c *Context, took time.Duration, err error)

	// FrameIn and FrameOut see every frame, for debugging: bodies and auth are
	// in there. They must not change it, nor keep it.
	FrameIn  func(l *Link, f Frame)
	FrameOut func(l *Link, f Frame)

	// Drop is called when n frames were not sent: volatile ones to a full
	// outbox, or what a connection had queued when it was cut.
	Drop func(l *Link, n int)
}

// trace calls one of the functions of Options.Trace: its panics are logged, and a
// test's FailNow in there ends no goroutine of ours.
func (a *app) trace(call func()) {
	if err := protectHook(func() error { call(); return nil }); err != nil {
		a.opts.Logger.Error("wsrouter: Trace panicked", "panic", err.Error())
	}
}
