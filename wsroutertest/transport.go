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

// TransportAdapter is an adapter that [TestTransport] tests.
type TransportAdapter struct {
	// Serve serves the host, until tb's cleanup. connect connects one more client,
	// up to where the adapter has joined the host's namespace "/" for it, and what
	// the adapter says before has been read.
	Serve func(tb testing.TB, host adapter.Host) (connect func() *TransportPeer)

	// Bubble runs each case in a testing/synctest bubble, for adapters that can be
	// served without a network. Outside it takes some seconds, and cannot prove
	// what does not happen.
	Bubble bool

	// Parts says that the adapter's Format makes frames with Attachments and Next.
	Parts bool

	// Overhead is how many bytes a message of Send has that count towards
	// MaxMessage, besides its data: 6 for the line ["e",1], if your adapter does not
	// count the newline.
	Overhead int

	// TooBigStays is for protocols in which a message that is too big is refused,
	// and the connection goes on.
	TooBigStays bool
}

// TransportPeer is the client's end of one connection, as bare as possible. Read is
// called by one goroutine, the others by another: as Read answers pings, writing needs a
// lock, unless the network has one, as a net.Conn does. Where a function makes no sense
// for the protocol it is nil, and what needs it is not tested.
type TransportPeer struct {
	// Send sends an event "e" whose only argument is data, which is JSON. It waits
	// until the network has it.
	Send func(data string) error

	// Read returns the next part of a frame that was sent, and answers pings
	// meanwhile. While nobody calls it nothing is read. The error says that the
	// connection has ended.
	Read func() (TransportPart, error)

	// Cut ends the network so that the adapter can know it.
	Cut func()

	// Goodbye ends the connection as the protocol wants it, with code 1000 where
	// it has codes.
	Goodbye func()

	// Garbage sends what no client may send.
	Garbage func()

	// Half sends the beginning of a message, and cuts the network. Begin sends it, and
	// then nothing.
	Half, Begin func(data string)

	// Slow lets the network give and take a byte at a time from now on.
	Slow func()
}

// TransportPart is Frame.Text or one of Frame.Attachments, as the peer has read it;
// or, if Own is set, something of the adapter's own, such as a heartbeat or a message that
// says goodbye. What the
// layer below has, as the control frames of a WebSocket, is none.
type TransportPart struct {
	Data   []byte
	Binary bool
	Own    bool
}

// TestTransport holds an adapter to what [adapter.Transport] and its neighbors
// promise. It has a Host of its own, so that it decides when to pause, and sees what
// the adapter reports. Each case is a subtest with a connection of its own, and logs
// the promise that it checks: -v shows them.
//
// The test writes frames of its own, each a JSON array, without using your Format. Read
// returns each as it came. Make your adapter's own frames, such as pings, JSON objects, or
// anything else by which Read can tell them apart.
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
	limits  func(*adapter.Limits) // nil leaves what is usual
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

// rig is where one case plays.
type rig struct {
	testing.TB
	TransportAdapter
	host    *fakeHost
	connect func() *TransportPeer
}

// wire is a connection: the peer's end, and the link of the adapter's.
type wire struct {
	peer *TransportPeer
	*fakeLink
	s     *rig
	parts chan TransportPart    // closed at the end, once somebody reads
	ended atomic.Pointer[error] // what Read has returned at the end
}

// told is what Read returned at the end, for a failure that may come of it.
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
		s.Fatal("the adapter has made no link")
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

// read lets the peer read from now on.
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
		w.s.Fatalf("the peer has read nothing, want %s", short(want))
	}
	panic("unreachable")
}

// wants fails the test unless the peer reads these frames next. The adapter's own
// may come between them, but not inside.
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
				w.s.Fatalf("the peer has read %s, want %s", got, want)
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
				w.s.Fatalf("the peer has read %s, want the end", p)
			}
		case <-time.After(patience()):
			w.s.Fatal("the peer has read nothing, want the end")
		}
	}
}

// String returns what can be printed.
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

// partsOf lists what is sent for a frame.
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

// soon fails the test unless fn, one of a Transport's methods, returns without
// waiting. In a bubble that means: before any time has passed.
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

// rest lets happen what is about to.
func (s *rig) rest() {
	if s.Bubble {
		settle()
		return
	}
	time.Sleep(20 * time.Millisecond) // a fault may be missed, none is seen that is not
}
