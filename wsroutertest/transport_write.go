package wsroutertest

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/wsrouter/wsrouter/adapter"
)

var writeCases = []transportCase{
	{name: "Order", promise: 2, run: order,
		text: "batches arrive in the order of the Writes, frames in the order of their batch"},
	{name: "Big", promise: 2, run: big,
		text: "frames larger than any buffer arrive, among small ones"},
	{name: "SlowReader", promise: 2, run: slowReader,
		text: "a peer that reads one byte at a time gets everything"},
	{name: "WholeFrames", promise: 3, run: wholeFrames, limits: func(l *adapter.Limits) { l.PingInterval = 10 * time.Millisecond },
		text: "the parts of a frame are sent back to back, even with pings and heartbeats due"},
	{name: "NoWait", promise: 1, run: noWait,
		text: "no method blocks on a peer that does not read"},
	{name: "Pending", promise: 4, run: pending,
		text: "what is pending is sent when the peer reads, Writable is called once, and then the next batch is written"},
	{name: "WriteTimeout", promise: 5, run: writeTimeout, limits: func(l *adapter.Limits) { l.WriteTimeout = time.Second },
		text: "a batch that the peer does not take in time fails with os.ErrDeadlineExceeded"},
	{name: "TimeoutOfEach", promise: 5, run: timeoutOfEach,
		text: "WriteTimeout starts anew with each batch"},
}

// numbered returns a frame of at least size bytes.
func numbered(n, size int) adapter.Frame {
	return adapter.Frame{Text: fmt.Appendf(nil, `["%d","%s"]`, n, strings.Repeat("x", size))}
}

// sends writes a batch completely.
func (w *wire) sends(batch ...adapter.Frame) {
	w.s.Helper()
	if _, err := w.write(w.s, batch...); err != nil {
		w.s.Fatalf("Write fails: %v%s", err, w.told())
	}
	w.until(w.s, "a batch is written", func(l *fakeLink) bool { return !l.writing })
	if err := look(w.fakeLink, w.s, func(l *fakeLink) error { return l.writeErr }); err != nil {
		w.s.Fatalf("Writable tells of %v%s", err, w.told())
	}
}

func order(s *rig) {
	w := s.open()
	w.read()
	var sent []adapter.Frame
	for n := 0; n < 300; {
		var batch []adapter.Frame
		for range n%7 + 1 {
			batch = append(batch, numbered(n, n%13))
			n++
		}
		w.sends(batch...)
		sent = append(sent, batch...)
	}
	w.wants(sent...)
}

func big(s *rig) {
	w := s.open()
	w.read()
	batch := []adapter.Frame{numbered(0, 0), numbered(1, 3<<20), numbered(2, 0), numbered(3, 70_000), numbered(4, 125)}
	w.sends(batch...)
	w.sends(numbered(5, 0))
	w.wants(append(batch, numbered(5, 0))...)
}

func slowReader(s *rig) {
	w := s.open()
	if w.peer.Slow == nil {
		return
	}
	w.peer.Slow()
	w.read()
	for n := range 10 {
		w.sends(numbered(2*n, 500), numbered(2*n+1, 0))
		w.wants(numbered(2*n, 500), numbered(2*n+1, 0))
	}
}

func wholeFrames(s *rig) {
	w := s.open()
	w.read()
	for n := range 30 {
		f := numbered(n, 10)
		if s.Parts {
			last := adapter.Frame{Text: []byte(`["last"]`)}
			f.Attachments = [][]byte{[]byte("\x00\x01"), {}, []byte(strings.Repeat("b", 5000))}
			f.Next = &adapter.Frame{Text: []byte(`["next"]`), Attachments: [][]byte{{byte(n)}}, Next: &last}
		}
		w.transport.Ping()
		w.sends(f, f)
		w.wants(f, f)
		time.Sleep(s.host.limits.PingInterval / 2) // lets heartbeats become due
	}
}

// fill writes until the network takes no more, and returns what was written. After
// that something is pending.
func (w *wire) fill() (sent []adapter.Frame) {
	w.s.Helper()
	for n := range 250 {
		f := numbered(n, 256<<10)
		sent = append(sent, f)
		pending, err := w.write(w.s, f)
		if err != nil {
			w.s.Fatalf("Write failed: %v", err)
		}
		if !pending {
			continue
		}
		if w.stays() {
			return sent
		}
	}
	w.s.Fatal("64 MB were written that nobody reads, and nothing is pending")
	return nil
}

// stays reports whether what is pending stays pending, or has until WriteTimeout was
// over. In real time a few looks must do: a busy machine may need some of that time to
// write.
func (w *wire) stays() bool {
	w.s.Helper()
	looks := 15
	if w.s.Bubble {
		looks = 1
	}
	for range looks {
		w.s.rest()
		taken := func(l *fakeLink) bool { return !l.writing && !errors.Is(l.writeErr, os.ErrDeadlineExceeded) }
		if look(w.fakeLink, w.s, taken) {
			return false
		}
	}
	return true
}

func noWait(s *rig) {
	w := s.open()
	w.fill()
	s.soon("Ping", w.transport.Ping)
	s.soon("Ping", w.transport.Ping)
	s.soon("Abort", w.abort)
	s.soon("Abort", w.abort)

	w = s.open()
	s.soon("Ping", w.transport.Ping)
	s.soon("Close", func() { w.transport.Close(adapter.End{Code: 1000, Cause: adapter.CauseLocal}) })
	s.soon("Ping", w.transport.Ping)
	s.soon("Abort", w.abort)
}

func pending(s *rig) {
	w := s.open()
	sent := w.fill()
	reports := look(w.fakeLink, s, func(l *fakeLink) int { return l.reports })
	w.read()
	w.until(s, "Writable is called", func(l *fakeLink) bool { return !l.writing })
	s.rest()
	again := look(w.fakeLink, s, func(l *fakeLink) int { return l.reports })
	if again > reports+1 {
		s.Fatalf("Writable was called %d times for one batch", again-reports)
	}
	more := numbered(len(sent), 10)
	w.sends(more)
	w.wants(append(sent, more)...)
}

// stuck writes until Write fails, and returns the error.
func (w *wire) stuck() error {
	w.s.Helper()
	for {
		w.fill()
		w.until(w.s, "WriteTimeout is over", func(l *fakeLink) bool { return !l.writing })
		if err := look(w.fakeLink, w.s, func(l *fakeLink) error { return l.writeErr }); err != nil {
			return err
		}
	}
}

func writeTimeout(s *rig) {
	w := s.open()
	began := time.Now()
	if err := w.stuck(); !errors.Is(err, os.ErrDeadlineExceeded) {
		s.Fatalf("Writable was called with %v, want os.ErrDeadlineExceeded", err)
	}
	if took := time.Since(began); s.Bubble && took > 2*s.host.limits.WriteTimeout {
		s.Fatalf("Writable was called after %v, WriteTimeout is %v", took, s.host.limits.WriteTimeout)
	}
	w.ends(1)
}

func timeoutOfEach(s *rig) {
	if !s.Bubble {
		return // it would take minutes
	}
	w := s.open()
	w.fill()
	for range 3 {
		time.Sleep(s.host.limits.WriteTimeout * 3 / 4)
		settle()
		w.flood()
	}
}

// flood makes the peer read all that is pending, then makes something pending
// again.
func (w *wire) flood() {
	w.s.Helper()
	for look(w.fakeLink, w.s, func(l *fakeLink) bool { return l.writing }) {
		if _, err := w.peer.Read(); err != nil {
			w.s.Fatalf("a peer that read in time was cut: %v", err)
		}
		settle()
	}
	w.fill()
}
