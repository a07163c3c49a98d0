package wsroutertest

import (
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wsrouter/wsrouter/adapter"
)

// TransportAdapter is an adapter for [TestTransport] to test.
type TransportAdapter struct {
	// Serve serves the host until tb's cleanup. connect connects one more client;
	// it returns when the adapter has joined the host's namespace "/" for the
	// client, and the client has read what the adapter sends before that.
	Serve func(tb testing.TB, host adapter.Host) (connect func() *TransportPeer)

	// Bubble runs each case in a testing/synctest bubble. Set it for adapters that
	// can be served without a network. Outside a bubble the test takes some
	// seconds, and cannot prove that something does not happen.
	Bubble bool

	// Parts says that the adapter's Format makes frames with Attachments and Next.
	Parts bool

	// Overhead is how many bytes of a message sent by Send count towards MaxMessage
	// besides its data: 6 for the line ["e",1], if your adapter does not count the
	// newline.
	Overhead int

	// TooBigStays is for protocols in which a message that is too big is refused
	// but the connection stays open.
	TooBigStays bool
}

// TransportPeer is the client's end of one connection, as simple as possible. Read
// is called by one goroutine, the other functions by another. If Read answers pings,
// writing needs a lock, unless the network has one, as a net.Conn does. Leave a function
// nil if it makes no sense for the protocol; what needs it is then not tested.
type TransportPeer struct {
	// Send sends an event "e" whose only argument is data, which is JSON. It
	// returns when the network has taken it.
	Send func(data string) error

	// Read returns the next part of a frame that was sent, and answers pings on the
	// way. Nothing is read unless Read is called. An error means that the
	// connection has ended.
	Read func() (TransportPart, error)

	// Cut ends the network connection in a way that the adapter can notice.
	Cut func()

	// Goodbye ends the connection as the protocol prescribes, with code 1000 if it
	// has codes.
	Goodbye func()

	// Garbage sends something that no client may send.
	Garbage func()

	// Half sends the beginning of a message, then cuts the network connection. Begin
	// sends it, and then nothing.
	Half, Begin func(data string)

	// Slow makes the network transfer one byte at a time from now on.
	Slow func()
}

// TransportPart is Frame.Text or one of Frame.Attachments, as the peer has read it;
// or, if Own is set, something of the adapter's own, such as a heartbeat or a goodbye.
// What the layer below sends, such as the control frames of a WebSocket, is not a part.
type TransportPart struct {
	Data   []byte
	Binary bool
	Own    bool
}

// TestTransport checks that an adapter keeps the promises of [adapter.Transport]
// and of the types around it. It has its own Host, so that it decides when to pause
// and sees what the adapter reports. Each case is a subtest with its own connection
// and logs the promise it checks: -v shows them.
//
// The test writes frames of its own, each a JSON array, without using your Format. Read
// returns each as it came. Make your adapter's own frames, such as pings, JSON objects or
// anything else that Read can tell from an array.
//
//	func TestLines(t *testing.T) {
//		wsroutertest.TestTransport(t, wsroutertest.TransportAdapter{
//			Bubble:   true, // a net.Pipe is no network
//			Overhead: len(`["e",]`),
//			Serve: func(tb testing.TB, host adapter.Host) func() *wsroutertest.TransportPeer {
//				return func() *wsroutertest.TransportPeer {
//					client, server := net.Pipe()
//					tb.Cleanup(func() { client.Close() })
//					go serveLine(server, host)
//					slow := &wsroutertest.SlowConn{Conn: client}
//					return &wsroutertest.TransportPeer{
//						Send:    func(data string) error { _, err := fmt.Fprintf(slow, "[\"e\",%s]\n", data); return err },
//						Read:    func() (wsroutertest.TransportPart, error) { … },
//						Cut:     func() { client.Close() },
//						Goodbye: func() { fmt.Fprint(slow, "{\"close\":1000}\n") },
//						Garbage: func() { fmt.Fprint(slow, "[what\n") },
//						Slow:    slow.Slow,
//					}
//				}
//			},
//		})
//	}
//
// All of it is in this package's example_transport_test.go.
func TestTransport(t *testing.T, a TransportAdapter) {
	for _, c := range transportCases() {
		t.Run(c.name, func(t *testing.T) {
			if a.Bubble {
				synctest.Test(t, func(t *testing.T) { c.test(t, a) })
			} else {
				c.test(t, a)
			}
		})
	}
}

// transportCase is one way to break a promise.
type transportCase struct {
	name    string
	promise int // its number in the documentation of adapter.Transport
	text    string
	limits  func(*adapter.Limits) // nil leaves the defaults
	run     func(s *rig)
}

func transportCases() []transportCase {
	return slices.Concat(writeCases, readCases, endCases)
}

func (c transportCase) test(tb testing.TB, a TransportAdapter) {
	tb.Logf("promise %d: %s", c.promise, c.text)
	limits := adapter.Limits{
		MaxMessage: 1 << 20, MaxName: 256, PingInterval: time.Hour, PongTimeout: time.Hour, WriteTimeout: time.Minute,
		MessageTimeout: time.Minute, ConnectTimeout: time.Hour, CrossOrigin: true,
	}
	if c.limits != nil {
		c.limits(&limits)
	}
	host := &fakeHost{limits: limits, links: make(chan *fakeLink, 1)}
	c.run(&rig{TB: tb, TransportAdapter: a, host: host, connect: a.Serve(tb, host)})
}

// rig is where one case runs.
type rig struct {
	testing.TB
	TransportAdapter
	host    *fakeHost
	connect func() *TransportPeer
}

// wire is a connection: the peer's end, and the adapter's link.
type wire struct {
	peer *TransportPeer
	*fakeLink
	s     *rig
	parts chan TransportPart    // closed at the end, if somebody reads
	ended atomic.Pointer[error] // what Read has returned at the end
}

// told returns what Read returned at the end, for failures that it may have caused.
func (w *wire) told() string {
	if err := w.ended.Load(); err != nil {
		return fmt.Sprintf(" (Read had returned: %v)", *err)
	}
	return ""
}

// open connects a client.
func (s *rig) open() *wire {
	s.Helper()
	w := &wire{peer: s.connect(), s: s, parts: make(chan TransportPart, 1<<16)}
	select {
	case w.fakeLink = <-s.host.links:
	case <-time.After(patience()):
		s.Fatal("the adapter has not made a link")
	}
	w.until(s, "the adapter has joined the namespace", func(l *fakeLink) bool { return l.joined && !l.writing })
	s.Cleanup(func() {
		w.abort()
		w.peer.Cut()
		if s.Bubble {
			time.Sleep(time.Minute) // servers wait a moment before they close
		}
	})
	return w
}

// read makes the peer read from now on.
func (w *wire) read() {
	go func() {
		defer close(w.parts)
		for {
			p, err := w.peer.Read()
			if err != nil {
				w.ended.Store(&err)
				return
			}
			w.parts <- p
		}
	}()
}

// next returns the part that the peer reads next.
func (w *wire) next(want string) TransportPart {
	w.s.Helper()
	select {
	case p, ok := <-w.parts:
		if !ok {
			w.s.Fatalf("the peer has read the end, want %s%s", short(want), w.told())
		}
		return p
	case <-time.After(patience()):
		w.s.Fatalf("the peer read nothing, want %s", short(want))
	}
	panic("unreachable")
}

// wants fails the test unless the peer reads these frames next. The adapter's own
// parts may come between frames, but not inside one.
func (w *wire) wants(frames ...adapter.Frame) {
	w.s.Helper()
	for _, f := range frames {
		inside := false
		for _, want := range partsOf(f) {
			got := w.next(string(want.Data))
			for got.Own && !inside {
				got = w.next(string(want.Data))
			}
			inside = true
			if got.Own || got.Binary != want.Binary || string(got.Data) != string(want.Data) {
				w.s.Fatalf("the peer read %s, want %s", got, want)
			}
		}
	}
}

// wantsEnd fails the test unless the peer reads the end next.
func (w *wire) wantsEnd() {
	w.s.Helper()
	for {
		select {
		case p, ok := <-w.parts:
			if !ok {
				return
			}
			if !p.Own {
				w.s.Fatalf("the peer read %s, want the end", p)
			}
		case <-time.After(patience()):
			w.s.Fatal("the peer read nothing, want the end")
		}
	}
}

// String returns the part in a form that can be printed.
func (p TransportPart) String() string {
	kind := "text"
	switch {
	case p.Own:
		kind = "the adapter's own"
	case p.Binary:
		kind = "binary"
	}
	return fmt.Sprintf("%s (%s)", short(string(p.Data)), kind)
}

// partsOf returns the parts in which a frame is sent.
func partsOf(f adapter.Frame) (parts []TransportPart) {
	parts = append(parts, TransportPart{Data: f.Text})
	for _, a := range f.Attachments {
		parts = append(parts, TransportPart{Data: a, Binary: true})
	}
	if f.Next != nil {
		parts = append(parts, partsOf(*f.Next)...)
	}
	return parts
}

// soon fails the test unless fn, a method of a Transport, returns without blocking.
// In a bubble that means before any time has passed.
func (s *rig) soon(method string, fn func()) {
	s.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		fn()
	}()
	wait := patience()
	if s.Bubble {
		wait = time.Nanosecond
	}
	select {
	case <-done:
	case <-time.After(wait):
		s.Fatalf("%s waits", method)
	}
}

// rest lets happen what is about to happen.
func (s *rig) rest() {
	if s.Bubble {
		settle()
		return
	}
	time.Sleep(20 * time.Millisecond) // may miss a fault, but never reports a false one
}
