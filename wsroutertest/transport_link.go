package wsroutertest

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/wsrouter/wsrouter/adapter"
)

// fakeHost is a Host with one namespace. Its links do what a case wants.
type fakeHost struct {
	limits adapter.Limits
	links  chan *fakeLink
}

type root struct{}

func (root) Name() string { return "/" }

func (h *fakeHost) Admit(*http.Request) *adapter.Refusal         { return nil }
func (h *fakeHost) AllowsOrigin(*http.Request) bool              { return true }
func (h *fakeHost) Refused(_ *http.Request, _ string, err error) {}
func (h *fakeHost) Limits() adapter.Limits                       { return h.limits }

func (h *fakeHost) Lookup(name string) adapter.Namespace {
	if name == "/" {
		return root{}
	}
	return nil
}

func (h *fakeHost) NewLink(t adapter.Transport, opts adapter.LinkOptions) (adapter.Link, error) {
	l := &fakeLink{transport: t, request: opts.Request, changed: make(chan struct{})}
	h.links <- l
	return l, nil
}

// fakeLink is a Link that records what the adapter reports. Like a router's link it
// writes one batch after another, and says goodbye when it closes.
type fakeLink struct {
	transport adapter.Transport
	request   *http.Request

	mu       sync.Mutex
	changed  chan struct{} // closed when something has changed
	mistake  string        // the adapter's first
	joined   bool
	queue    []adapter.Frame // the adapter's frames to send
	writing  bool
	reports  int   // calls of Writable
	writeErr error // the first
	closing  bool
	goodbye  bool         // Transport.Close was called, or Abort
	how      *adapter.End // the first of Close and End
	ends     int
	alive    int // calls of Alive and Arrived
	arrived  int
	received []string // their data
	busy     bool     // in Receive
	paused   bool
	flow     func() answer // what Receive returns; nil means Go
}

// answer is what Receive returns, and whether Resume is called before that.
type answer struct {
	flow    adapter.Flow
	resumed bool
}

// change modifies the link and wakes those who wait for a change.
func (l *fakeLink) change(do func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	do()
	close(l.changed)
	l.changed = make(chan struct{})
}

func (l *fakeLink) blameLocked(format string, args ...any) {
	if l.mistake == "" {
		l.mistake = fmt.Sprintf(format, args...)
	}
}

// until waits for the condition. It fails the test if the condition does not become
// true, or if the adapter makes a mistake.
func (l *fakeLink) until(tb testing.TB, what string, condition func(l *fakeLink) bool) {
	tb.Helper()
	timeout := time.NewTimer(patience())
	defer timeout.Stop()
	for {
		l.mu.Lock()
		holds, mistake, changed := condition(l), l.mistake, l.changed
		l.mu.Unlock()
		if mistake != "" {
			tb.Fatal(mistake)
		}
		if holds {
			return
		}
		select {
		case <-changed:
		case <-timeout.C:
			tb.Fatalf("gave up waiting until %s", what)
		}
	}
}

// look returns something from the link, and fails the test if the adapter has made
// a mistake.
func look[T any](l *fakeLink, tb testing.TB, of func(l *fakeLink) T) T {
	tb.Helper()
	l.mu.Lock()
	v, mistake := of(l), l.mistake
	l.mu.Unlock()
	if mistake != "" {
		tb.Fatal(mistake)
	}
	return v
}

// Join implements [adapter.Link]. It lets everybody in.
func (l *fakeLink) Join(_ adapter.Namespace, f adapter.Format, _ []byte) (adapter.Conn, error) {
	welcome, err := f.Encode(&adapter.Message{Kind: adapter.KindConnect, ID: "~fake000000000000000"})
	if err != nil {
		return nil, err
	}
	l.Send(welcome)
	l.change(func() { l.joined = true })
	return (*fakeConn)(l), nil
}

// Recover implements [adapter.Link]. No client may resume: Limits.Window is zero.
func (l *fakeLink) Recover(ns adapter.Namespace, f adapter.Format, auth []byte, _ adapter.Recovery) (adapter.Conn, error) {
	return l.Join(ns, f, auth)
}

// Send implements [adapter.Link].
func (l *fakeLink) Send(f adapter.Frame) bool {
	if !f.IsZero() {
		l.change(func() { l.queue = append(l.queue, f) })
		l.flush()
	}
	return true
}

// flush writes what is queued, unless somebody is writing, and then says goodbye.
func (l *fakeLink) flush() {
	var batch []adapter.Frame
	var goodbye *adapter.End
	l.change(func() {
		switch {
		case l.writing || l.writeErr != nil:
		case len(l.queue) > 0:
			batch, l.queue, l.writing = l.queue, nil, true
		case l.closing && !l.goodbye:
			l.goodbye, goodbye = true, l.how
		}
	})
	if goodbye != nil {
		go l.transport.Close(*goodbye)
	}
	if batch != nil {
		go l.put(batch)
	}
}

// put writes a batch; l.writing is already set.
func (l *fakeLink) put(batch []adapter.Frame) (pending bool, err error) {
	l.mu.Lock()
	before := l.reports
	l.mu.Unlock()
	pending, err = l.transport.Write(batch)
	if pending && err == nil {
		return pending, nil
	}
	l.change(func() {
		if l.reports != before {
			l.blameLocked("Writable was called for a Write that is not pending")
		}
	})
	l.written(err)
	return pending, err
}

// write writes a batch, on its own.
func (l *fakeLink) write(s *rig, batch ...adapter.Frame) (pending bool, err error) {
	s.Helper()
	l.until(s, "what is pending is written", func(l *fakeLink) bool { return !l.writing && len(l.queue) == 0 })
	l.change(func() { l.writing = true })
	s.soon("Write", func() { pending, err = l.put(batch) })
	return pending, err
}

// Request implements [adapter.Link].
func (l *fakeLink) Request() *http.Request { return l.request }

// Settled implements [adapter.Link]: the client is in.
func (l *fakeLink) Settled() <-chan struct{} { return closedChannel }

var closedChannel = func() <-chan struct{} {
	ch := make(chan struct{})
	close(ch)
	return ch
}()

// Writable implements [adapter.Link].
func (l *fakeLink) Writable(err error) {
	l.change(func() {
		if l.reports++; !l.writing {
			l.blameLocked("Writable was called, but nothing is pending")
		}
	})
	l.written(err)
}

// written continues when a batch has been written or has failed.
func (l *fakeLink) written(err error) {
	if err == nil {
		l.change(func() { l.writing = false })
		l.flush()
		return
	}
	cut := false
	l.change(func() {
		l.writing, l.writeErr = false, err
		cut = l.closing || errors.Is(err, os.ErrDeadlineExceeded)
	})
	if cut {
		l.abort()
	}
}

// Alive implements [adapter.Link].
func (l *fakeLink) Alive() { l.change(func() { l.alive++ }) }

// Arrived implements [adapter.Link].
func (l *fakeLink) Arrived(adapter.Frame) (open bool) {
	l.change(func() {
		l.alive++
		l.arrived++
		open = !l.closing
	})
	return open
}

// Close implements [adapter.Link].
func (l *fakeLink) Close(e adapter.End) {
	l.change(func() {
		if l.how == nil {
			l.how = &e
		}
		l.closing = true
	})
	l.resume()
	l.flush()
}

// resume lets the reader continue if it is paused.
func (l *fakeLink) resume() {
	paused := false
	l.change(func() { paused, l.paused = l.paused, false })
	if paused {
		l.transport.Resume()
	}
}

// abort cuts the connection.
func (l *fakeLink) abort() {
	l.change(func() {
		if l.how == nil {
			l.how = &adapter.End{Code: 1006, Cause: adapter.CauseLocal}
		}
		l.closing, l.goodbye = true, true
	})
	l.resume()
	l.transport.Abort()
}

// End implements [adapter.Link].
func (l *fakeLink) End(e adapter.End) (done <-chan struct{}) {
	l.change(func() {
		if l.how == nil {
			l.how = &e
		}
		if l.ends++; l.ends > 1 {
			l.blameLocked("End was called again, with %+v", e)
		}
		if l.busy {
			l.blameLocked("End was called while Receive runs")
		}
		l.closing, l.goodbye = true, true
	})
	l.resume()
	over := make(chan struct{})
	close(over)
	return over
}

// fakeConn is the link's only Conn.
type fakeConn fakeLink

// Receive implements [adapter.Conn].
func (c *fakeConn) Receive(m *adapter.Message) adapter.Flow {
	l := (*fakeLink)(c)
	var ask func() answer
	l.change(func() {
		switch {
		case l.busy:
			l.blameLocked("Receive was called by two goroutines at a time")
		case l.paused:
			l.blameLocked("Receive was called after Pause and before Resume")
		case l.ends > 0:
			l.blameLocked("Receive was called after End")
		}
		l.busy = true
		l.received = append(l.received, argument(m))
		ask = l.flow
	})
	var a answer
	if ask != nil {
		a = ask()
	}
	l.change(func() {
		l.busy = false
		if a.flow == adapter.Pause && l.closing && !a.resumed {
			a.flow = adapter.Closed
		}
		l.paused = a.flow == adapter.Pause && !a.resumed
	})
	return a.flow
}

// argument returns the only argument of a message.
func argument(m *adapter.Message) string {
	text := string(m.Data.JSON)
	if m.Arity == adapter.ArityMany && len(text) > 1 {
		text = text[1 : len(text)-1]
	}
	if m.Kind != adapter.KindEvent || m.Event != "e" {
		return fmt.Sprintf("kind %d, event %q, %s", m.Kind, m.Event, text)
	}
	return text
}
