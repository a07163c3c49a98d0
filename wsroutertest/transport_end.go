package wsroutertest

import (
	"bytes"
	"runtime"
	"time"

	"github.com/wsrouter/wsrouter/adapter"
)

var endCases = []transportCase{
	{name: "Close", promise: 8, run: closing,
		text: "the peer gets what was written before Close, and then the end"},
	{name: "CloseUnanswered", promise: 8, run: closeUnanswered,
		text: "after Close the transport ends within seconds, even if the peer does nothing"},
	{name: "CloseThenAbort", promise: 9, run: closeThenAbort,
		text: "Abort ends a transport that is closing"},
	{name: "Abort", promise: 9, run: aborting,
		text: "Abort ends the transport, for both sides"},
	{name: "AbortWhileWriting", promise: 9, run: abortWhileWriting,
		text: "Abort makes what is pending fail"},
	{name: "AbortWhilePaused", promise: 9, run: abortWhilePaused,
		text: "Abort ends the transport even while it is paused"},
	{name: "Goodbye", promise: 10, run: goodbye,
		text: "when the peer says goodbye the transport ends with the peer's code"},
	{name: "GoodbyeAfterMessages", promise: 10, run: goodbyeAfterMessages,
		text: "what the peer has sent before its goodbye is received"},
	{name: "Cut", promise: 10, run: cutOff,
		text: "when the network fails the transport ends with 1006"},
	{name: "CutWhileWriting", promise: 10, run: cutWhileWriting,
		text: "the network may fail while something is pending"},
	{name: "Garbage", promise: 10, run: mistake,
		text: "a mistake of the peer ends the transport with CauseProtocol"},
	{name: "Leaks", promise: 12, run: leaks,
		text: "no goroutine is left behind"},
}

// ends fails the test unless End is called that many times, now and later.
func (w *wire) ends(times int) {
	w.s.Helper()
	w.until(w.s, "End is called", func(l *fakeLink) bool { return l.ends >= times })
	if w.s.Bubble {
		time.Sleep(time.Minute) // for what is late
	}
	w.s.rest()
	look(w.fakeLink, w.s, func(l *fakeLink) int { return l.ends })
}

// wantsHow fails the test unless the connection ends with this code and cause.
func (w *wire) wantsHow(code int, cause adapter.Cause) {
	w.s.Helper()
	w.ends(1)
	how := look(w.fakeLink, w.s, func(l *fakeLink) adapter.End { return *l.how })
	if how.Code != code || how.Cause != cause {
		w.s.Fatalf("the end is %+v, want code %d and cause %d", how, code, cause)
	}
}

// local is an end that our side asks for.
var local = adapter.End{Code: 1000, Reason: "bye", Cause: adapter.CauseLocal}

func closing(s *rig) {
	w := s.open()
	w.read()
	var sent []adapter.Frame
	for n := range 20 {
		sent = append(sent, numbered(n, 5000))
	}
	if _, err := w.write(s, sent...); err != nil {
		s.Fatalf("Write failed: %v", err)
	}
	w.Close(local)
	w.wants(sent...)
	w.wantsEnd()
	w.ends(1)
}

func closeUnanswered(s *rig) {
	w := s.open()
	began := time.Now()
	w.Close(local)
	w.until(s, "End is called", func(l *fakeLink) bool { return l.ends > 0 })
	if took := time.Since(began); s.Bubble && took > 30*time.Second {
		s.Fatalf("End is called %v after Close", took)
	}
	w.ends(1)
}

func closeThenAbort(s *rig) {
	w := s.open()
	w.Close(local)
	s.rest()
	w.abortsNow()
}

// abortsNow aborts the connection, which must end at once: a peer that does not
// read would block anything else.
func (w *wire) abortsNow() {
	w.s.Helper()
	began := time.Now()
	w.s.soon("Abort", w.abort)
	w.until(w.s, "End is called", func(l *fakeLink) bool { return l.ends > 0 })
	if took := time.Since(began); w.s.Bubble && took > time.Second {
		w.s.Fatalf("End is called %v after Abort", took)
	}
	w.ends(1)
}

func aborting(s *rig) {
	w := s.open()
	w.read()
	w.abortsNow()
	w.wantsEnd()
}

func abortWhileWriting(s *rig) {
	w := s.open()
	w.fill()
	w.abortsNow()
	w.until(s, "Writable is called with an error", func(l *fakeLink) bool { return l.writeErr != nil })
}

func abortWhilePaused(s *rig) {
	w := s.open()
	w.read()
	w.change(func() { w.flow = func() answer { return answer{flow: adapter.Pause} } })
	w.tell(texts(5)...)
	w.until(s, "a message is received and answered", func(l *fakeLink) bool { return l.paused })
	w.change(func() { w.flow = nil })
	w.abortsNow()
}

func goodbye(s *rig) {
	w := s.open()
	if w.peer.Goodbye == nil {
		return
	}
	w.read()
	w.peer.Goodbye()
	w.wantsHow(1000, adapter.CausePeer)
}

func goodbyeAfterMessages(s *rig) {
	w := s.open()
	if w.peer.Goodbye == nil {
		return
	}
	w.read()
	list := texts(50)
	w.taken(w.tell(list...))
	w.peer.Goodbye()
	w.wantsHow(1000, adapter.CausePeer)
	w.hears(list...)
}

func cutOff(s *rig) {
	w := s.open()
	w.tell(text(0, 0))
	w.hears(text(0, 0))
	w.peer.Cut()
	w.wantsHow(1006, adapter.CausePeer)
}

func cutWhileWriting(s *rig) {
	w := s.open()
	w.fill()
	w.peer.Cut()
	w.wantsHow(1006, adapter.CausePeer)
	w.until(s, "what was pending has failed", func(l *fakeLink) bool { return !l.writing })
}

func mistake(s *rig) {
	w := s.open()
	if w.peer.Garbage == nil {
		return
	}
	w.read()
	w.tell(text(0, 0))
	w.hears(text(0, 0))
	w.peer.Garbage()
	w.ends(1)
	how := look(w.fakeLink, s, func(l *fakeLink) adapter.End { return *l.how })
	if how.Cause != adapter.CauseProtocol {
		s.Fatalf("the end is %+v, want cause %d", how, adapter.CauseProtocol)
	}
	w.hears(text(0, 0))
}

// leaks compares with what a first connection leaves behind, such as a pool.
func leaks(s *rig) {
	s.connection(0)
	before, _ := s.goroutines(0)
	for n := range 6 {
		s.connection(n)
	}
	if n, stacks := s.goroutines(before); n > before {
		s.Fatalf("%d goroutines became %d:\n%s", before, n, stacks)
	}
}

// connection opens a connection and ends it in one of several ways.
func (s *rig) connection(n int) {
	w := s.open()
	if n%2 == 0 {
		w.read()
		w.sends(numbered(0, 0))
		w.wants(numbered(0, 0))
		w.tell(text(0, 0))
		w.hears(text(0, 0))
	} else {
		w.fill()
	}
	w.transport.Ping()
	switch {
	case n == 0:
		w.Close(local)
		w.wantsEnd()
	case n < 4:
		w.abort()
	}
	w.peer.Cut()
	w.ends(1)
}

// goroutines returns how many goroutines there are. It waits until there are no
// more than before, but not forever. In a bubble it counts only those of the
// bubble.
func (s *rig) goroutines(before int) (n int, stacks []byte) {
	mark := []byte("goroutine ")
	if s.Bubble {
		mark = []byte("synctest bubble ")
	}
	buf := make([]byte, 1<<20)
	for range 100 {
		if s.rest(); s.Bubble {
			time.Sleep(time.Second)
		}
		stacks = buf[:runtime.Stack(buf, true)]
		if n = bytes.Count(stacks, mark); n <= before {
			break
		}
	}
	return n, stacks
}
