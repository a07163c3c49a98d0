package wsroutertest

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/wsrouter/wsrouter/adapter"
)

var readCases = []transportCase{
	{name: "Receive", promise: 6, run: receive,
		text: "messages are received whole, in order, by one goroutine at a time, and each is reported by Arrived"},
	{name: "SlowWriter", promise: 7, run: slowWriter,
		text: "a message whose bytes come one by one is received whole, and the bytes are reported by Alive before that"},
	{name: "BothWays", promise: 6, run: bothWays,
		text: "reading continues while writing is pending"},
	{name: "Pause", promise: 6, run: pause,
		text: "nothing is received after Pause and before Resume, and nothing is lost"},
	{name: "EarlyResume", promise: 6, run: earlyResume,
		text: "Resume may be called before Receive has returned Pause"},
	{name: "WriteWhilePaused", promise: 6, run: writeWhilePaused,
		text: "writing continues while reading is paused"},
	{name: "Ping", promise: 7, run: ping, limits: func(l *adapter.Limits) { l.PingInterval = 50 * time.Millisecond },
		text: "a silent peer answers Ping, and that is reported"},
	{name: "Closed", promise: 6, run: closed,
		text: "after Closed the adapter reads to the end"},
	{name: "MaxMessage", promise: 11, run: maxMessage, limits: func(l *adapter.Limits) { l.MaxMessage = 10_000 },
		text: "a message of MaxMessage bytes is received"},
	{name: "TooBig", promise: 11, run: tooBig, limits: func(l *adapter.Limits) { l.MaxMessage = 10_000 },
		text: "a message of one byte more is not received, and ends the transport with 1009"},
	{name: "HalfMessage", promise: 11, run: halfMessage,
		text: "a message cut off by the end of the network is not received"},
	{name: "MessageTimeout", promise: 13, run: messageTimeout, limits: func(l *adapter.Limits) { l.MessageTimeout = time.Second },
		text: "a message whose end does not come in time ends the transport with 1008, silence does not"},
}

// text returns JSON of exactly size bytes.
func text(n, size int) string {
	s := fmt.Sprintf(`"%d `, n)
	return s + strings.Repeat("y", max(size-len(s)-1, 0)) + `"`
}

// tell makes the peer send messages. The channel is closed when all have been sent.
func (w *wire) tell(messages ...string) (done <-chan struct{}) {
	over := make(chan struct{})
	go func() {
		defer close(over)
		for _, m := range messages {
			if w.peer.Send(m) != nil {
				return
			}
		}
	}()
	return over
}

// taken fails the test unless the network takes all that tell sends.
func (w *wire) taken(done <-chan struct{}) {
	w.s.Helper()
	select {
	case <-done:
	case <-time.After(patience()):
		w.s.Fatal("the adapter does not continue to read")
	}
}

// hears fails the test unless exactly these are received.
func (w *wire) hears(want ...string) {
	w.s.Helper()
	w.until(w.s, fmt.Sprintf("%d messages are received", len(want)),
		func(l *fakeLink) bool { return len(l.received) >= len(want) })
	got := look(w.fakeLink, w.s, func(l *fakeLink) []string { return slices.Clone(l.received) })
	for i, m := range got {
		if i >= len(want) {
			w.s.Fatalf("received %s, want nothing more", short(m))
		}
		if m != want[i] {
			w.s.Fatalf("received %s, want %s", short(m), short(want[i]))
		}
	}
}

func texts(n int) (list []string) {
	for i := range n {
		list = append(list, text(i, 10+i*7))
	}
	return list
}

func receive(s *rig) {
	w := s.open()
	w.read()
	before := look(w.fakeLink, s, func(l *fakeLink) int { return l.arrived })
	list := append(texts(100), text(100, 500_000), text(101, 0))
	w.tell(list...)
	w.hears(list...)
	if n := look(w.fakeLink, s, func(l *fakeLink) int { return l.arrived }) - before; n < len(list) {
		s.Fatalf("Arrived was called %d times for %d messages", n, len(list))
	}
}

func slowWriter(s *rig) {
	w := s.open()
	if w.peer.Slow == nil {
		return
	}
	w.read()
	w.peer.Slow()
	before := look(w.fakeLink, s, func(l *fakeLink) int { return l.alive })
	list := []string{text(0, 300), text(1, 300)}
	w.tell(list...)
	w.hears(list...)
	if n := look(w.fakeLink, s, func(l *fakeLink) int { return l.alive }) - before; s.Bubble && n < 100 {
		s.Fatalf("Alive was called %d times for 600 bytes that came one by one", n)
	}
}

func bothWays(s *rig) {
	w := s.open()
	sent := w.fill()
	list := texts(20)
	w.tell(list...)
	w.hears(list...)
	w.read()
	w.wants(sent...)
}

func pause(s *rig) {
	w := s.open()
	w.read()
	w.change(func() { w.flow = func() answer { return answer{flow: adapter.Pause} } })
	list := texts(20)
	sent := w.tell(list...)
	for n := range list {
		w.until(s, "a message is received and answered", func(l *fakeLink) bool { return l.paused })
		s.rest() // gives time to receive what must not be received
		w.hears(list[:n+1]...)
		s.soon("Resume", w.resume)
	}
	w.taken(sent)
}

func earlyResume(s *rig) {
	w := s.open()
	w.read()
	w.change(func() {
		w.flow = func() answer {
			s.soon("Resume", w.transport.Resume)
			return answer{flow: adapter.Pause, resumed: true}
		}
	})
	list := texts(20)
	w.tell(list...)
	w.hears(list...)
}

func writeWhilePaused(s *rig) {
	w := s.open()
	w.read()
	w.change(func() { w.flow = func() answer { return answer{flow: adapter.Pause} } })
	sent := w.tell(text(0, 0), text(1, 0))
	w.until(s, "a message is received and answered", func(l *fakeLink) bool { return l.paused })
	w.sends(numbered(0, 0), numbered(1, 100_000))
	w.wants(numbered(0, 0), numbered(1, 100_000))
	w.change(func() { w.flow = nil })
	w.resume()
	w.taken(sent)
	w.hears(text(0, 0), text(1, 0))
}

func ping(s *rig) {
	w := s.open()
	w.read()
	for range 3 {
		before := look(w.fakeLink, s, func(l *fakeLink) int { return l.alive })
		time.Sleep(s.host.limits.PingInterval) // longer silence makes a Link ping, and so do heartbeats
		s.soon("Ping", w.transport.Ping)
		w.until(s, "the peer has given a sign of life", func(l *fakeLink) bool { return l.alive > before })
		s.rest()
	}
}

func closed(s *rig) {
	w := s.open()
	w.read()
	w.change(func() { w.flow = func() answer { return answer{flow: adapter.Closed} } })
	w.taken(w.tell(texts(20)...))
	w.peer.Cut()
	w.ends(1)
}

func maxMessage(s *rig) {
	w := s.open()
	w.read()
	exact := text(0, s.host.limits.MaxMessage-s.Overhead)
	w.tell(exact, text(1, 0), exact)
	w.hears(exact, text(1, 0), exact)
}

func tooBig(s *rig) {
	w := s.open()
	w.read()
	w.tell(text(0, 0))
	w.hears(text(0, 0))
	over := text(1, s.host.limits.MaxMessage-s.Overhead+1)
	if s.TooBigStays {
		w.peer.Send(over)
		w.tell(text(2, 0))
		w.hears(text(0, 0), text(2, 0))
		return
	}
	w.tell(over, text(2, 0))
	w.wantsHow(1009, adapter.CauseProtocol)
	w.hears(text(0, 0))
}

func halfMessage(s *rig) {
	w := s.open()
	if w.peer.Half == nil {
		return
	}
	w.read()
	w.tell(text(0, 0))
	w.hears(text(0, 0))
	w.peer.Half(text(1, 1000))
	w.wantsHow(1006, adapter.CausePeer)
	w.hears(text(0, 0))
}

func messageTimeout(s *rig) {
	w := s.open()
	if w.peer.Begin == nil {
		return
	}
	w.read()
	limit := s.host.limits.MessageTimeout
	list := texts(3)
	for n := range list {
		w.tell(list[n])
		w.hears(list[:n+1]...)
		if s.Bubble {
			time.Sleep(2 * limit)
		}
	}
	began := time.Now()
	w.peer.Begin(text(1, 1000))
	w.until(s, "End is called", func(l *fakeLink) bool { return l.ends > 0 })
	if took := time.Since(began); s.Bubble && (took < limit || took > limit+30*time.Second) {
		s.Fatalf("End is called %v after a message has begun, MessageTimeout is %v", took, limit)
	}
	w.wantsHow(1008, adapter.CauseTimeout)
	w.hears(list...)
}
