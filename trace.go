package wsrouter

import (
	"net/http"
	"time"

	"github.com/wsrouter/wsrouter/adapter"
)

// Trace is a set of functions that are told what happens, similar to
// [net/http/httptrace]. Any of them may be nil. They are called synchronously, some
// from the read loop or the writer, and concurrently for different connections. So
// they should return quickly, and must not call runtime.Goexit, as FailNow of a
// test does. They are never called with a lock held.
//
// Clients choose the names of events. As a label of metrics use [Context.Event]
// only if it is registered; EventStart and EventEnd are called only for registered
// events and NotFound handlers.
type Trace struct {
	// Connect is called when OnConnect has let a client in, Disconnect when its
	// connection has ended and OnDisconnect has run.
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

	// EventStart is called before a handler and its middleware, EventEnd after they
	// have returned err or panicked. took is the time in between. c.Outcome(err)
	// says what err means.
	EventStart func(c *Context)
	EventEnd   func(c *Context, took time.Duration, err error)

	// FrameIn and FrameOut see what is received and sent, including bodies and
	// auth; they are for debugging. They must neither modify nor keep data. req is
	// the request that the client came with.
	FrameIn  func(req *http.Request, data []byte)
	FrameOut func(req *http.Request, data []byte)

	// Drop is called when n frames were not sent: volatile ones for a full outbox,
	// or what was queued on a connection that was cut.
	Drop func(req *http.Request, n int)
}

// trace calls a function of Options.Trace, and logs its panics.
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
	a.trace(func() { fn(l.request, f.Text) })
	for _, data := range f.Attachments {
		a.trace(func() { fn(l.request, data) })
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
		a.trace(func() { t.Drop(l.request, n) })
	}
}
