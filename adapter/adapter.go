// Package adapter is the seam between wsrouter and wire formats. Whoever writes
// handlers does not need it.
//
// An adapter moves [Frame]s over a [Transport], turns what it reads into
// [Message]s, and hands those to a [Conn] of its [Link]. The router does the
// rest: it bounds the queues, keeps the order, watches for life, and closes.
//
//	adapter's reader ─ Conn.Receive ─▶ lane ─ one turn at a time ─▶ handlers
//	                                                                   │ Emit, Reply
//	Transport.Write ◀─ whoever has the right to write ─ outbox ◀───────┘
//
// Nothing in the seam waits. A Transport that can take no more for now reports
// pending, and calls [Link.Writable] later; a [Conn] that takes no more for now
// returns [Pause], and the router calls [Transport.Resume] later. If calls that
// block are simpler for you, write a [BlockingTransport] and make a Transport of it
// with [NewBlocking]. wsroutertest.TestTransport tests that a Transport keeps its
// promises.
//
// Each client is served like this:
//
//	if refusal := host.Admit(req); refusal != nil { … }     // answer with it, or close the socket
//	t := adapter.NewBlocking(transport)                     // or a Transport of your own
//	link, err := host.NewLink(t, adapter.LinkOptions{Request: req})
//	t.Attach(link)
//	conn, err := link.Join(host.Lookup("/"), format, nil)
//	for {
//		m, line, err := read()                              // calls link.Alive when bytes arrive
//		if link.Arrived(adapter.Frame{Text: line}) && conn.Receive(m) == adapter.Pause {
//			t.Wait()
//		}
//	}                                                       // until the network ends
//	socket.Close()
//	<-link.End(end)                                         // all is over, and OnDisconnect has run
//
// If Join fails, call Link.Close, with the End of the [Refusal] if the error is one, and read
// on until the network ends. If OnConnect refuses the client, the router sends
// KindRefuse and closes the Link, unless that is Multiplexed. ServeLines is a whole adapter, in 150 lines, with its
// tests: see example_transport_test.go of package wsroutertest.
//
// A message that can be read but is wrong, such as an event whose name is longer than
// Limits.MaxName, need not end the link: the plain protocol answers it with an exception
// by Link.Send. What cannot be read as a message does, with CauseProtocol.
package adapter

import (
	"net/http"
	"time"
)

// Host is a router's tree, as [Router.Adapter] returns it. Its methods may be
// called concurrently.
type Host interface {
	// Admit checks whether a client may connect: its origin, that there is room,
	// that nothing shuts down, and that OnInit has succeeded, for which it may
	// wait until the request's context ends. Nil lets it in. An adapter calls it
	// before it takes a client's first request.
	Admit(*http.Request) *Refusal

	// AllowsOrigin reports whether a page of the request's origin may connect.
	AllowsOrigin(*http.Request) bool

	// Refused counts, logs and traces a client that the adapter has refused by
	// itself, with one of a few reasons, none of which a client has made up. err may
	// be nil; it is logged, so nothing secret is in it. What Admit, NewLink and Join
	// refuse they have made known, and so is the end of a Link that has joined
	// nothing, unless its client closed it.
	Refused(r *http.Request, reason string, err error)

	// Limits returns the options that an adapter needs.
	Limits() Limits

	// Lookup returns the namespace of that full name, nil if there is none.
	Lookup(name string) Namespace

	// NewLink registers a client's transport. The error is a *[Refusal]: no more
	// clients are taken, as by a shutdown since Admit; its End is for a client that
	// has been answered. Whoever made a Link must call its End.
	NewLink(Transport, LinkOptions) (Link, error)
}

// Limits are the options of a router that concern an adapter. Sizes are in bytes;
// none is zero, and what is unlimited is very large.
type Limits struct {
	// The adapter applies these.
	MaxMessage     int           // of one message with all that belongs to it
	MaxName        int           // of the name of an event that has come; the router checks those of rooms
	WriteTimeout   time.Duration // for the peer to take a batch
	MessageTimeout time.Duration // from a message's first byte to its last
	ConnectTimeout time.Duration // until the client has asked for a Conn; the router's OnConnect has its own
	Window         time.Duration // for which clients may be away, see Link.Recover; zero is not at all
	EventLoops     bool          // sockets wait at event loops where they can

	// The router applies these, by Transport.Ping and Host.Admit. They are for protocols
	// with heartbeats or headers of their own.
	PingInterval time.Duration // silence before the peer is pinged
	PongTimeout  time.Duration // silence after that before it is given up
	Origins      []string      // whose pages may connect, besides the same
	CrossOrigin  bool          // pages of other origins may connect
}

// Refusal is why a client is not let in, before there is a connection.
type Refusal struct {
	Status int    // an HTTP status
	Text   string // for the client
	Reason string // of a few, for counting
	Code   int    // a WebSocket close code, for a client that has been answered; zero is 1013
}

// Error returns the text.
func (r *Refusal) Error() string { return r.Text }

// End is how the connection of a client ends that was refused once it was there.
func (r *Refusal) End() End {
	code := r.Code
	if code == 0 {
		code = 1013 // try again later
	}
	return End{Code: code, Reason: r.Text, Cause: CauseLocal}
}

// ServeHTTP answers a request with status and text. Where it makes sense it asks
// the client to try again in a few seconds.
func (r *Refusal) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	if r.Status != http.StatusForbidden {
		w.Header().Set("Retry-After", "5")
	}
	http.Error(w, r.Text, r.Status)
}

// Namespace is one of a Host's.
type Namespace interface {
	Name() string // the full name, "/" for the root
}

// LinkOptions are an adapter's choices for a Link.
type LinkOptions struct {
	// Request is the HTTP request that the client came with. An adapter that knows
	// no HTTP makes one, with the client's address as its RemoteAddr.
	Request *http.Request

	// Detached says that the handler of Request returns before the link ends. Then a
	// copy is kept, in less memory.
	Detached bool

	// Multiplexed links carry several namespaces, and outlive them. Others have
	// one Conn and end with it.
	Multiplexed bool

	// Dialed says that this is the end that has connected: it waits for room
	// where a server closes slow clients, and answers nothing but requests.
	Dialed bool
}

// Link is one client's transport as the router sees it. All methods may be called
// concurrently, and none waits.
type Link interface {
	// Join asks for a connection in a namespace, with the client's connect
	// payload, which may be nil. It returns before OnConnect has run; what came
	// of that is sent as KindConnect or KindRefuse. The error is ErrJoined,
	// ErrClosing or a *Refusal that the client may be told. With ErrJoined the
	// client has another Conn in the namespace, by which it is answered: at once by
	// another KindConnect if it is in, else when OnConnect has decided.
	Join(ns Namespace, f Format, auth []byte) (Conn, error)

	// Recover is Join for a client that can come back. If it has lost a connection of
	// this namespace that is still there, and all that it misses is, it gets that one,
	// and a new one otherwise: KindConnect says which. Until that has been sent nothing
	// is taken from the client. It is for where Limits.Window is not zero, and what it
	// returns without an error is a [Recoverable].
	Recover(ns Namespace, f Format, auth []byte, r Recovery) (Conn, error)

	// Send queues a frame of the adapter's own. A client whose outbox is full is
	// closed as slow. It reports false when the frame was not queued.
	Send(f Frame) bool

	// Alive tells that bytes have arrived from the peer.
	Alive()

	// Arrived tells that a frame is complete, before Receive gets what is in it: for a
	// line that is Arrived(Frame{Text: line}). The zero Frame is one without content, as a
	// ping. It reports false when the link is closing, as it is
	// when the client exceeds Options.FrameRate: then the frame is to be ignored.
	Arrived(f Frame) bool

	// Writable tells that what Transport.Write left pending has been handed to
	// the network, or has failed with err, which is or wraps
	// os.ErrDeadlineExceeded if the peer did not take it in time.
	Writable(err error)

	// Request returns the request that the client came with.
	Request() *http.Request

	// Settled returns a channel that is closed when the first of the link's clients has
	// been let in or refused, or has come back, or the link has ended. With
	// LinkOptions.Detached the handler of the request returns then, not before: OnConnect
	// may use what belongs to it.
	Settled() <-chan struct{}

	// Close begins the end, unless it has begun: what is queued is sent, then
	// Transport.Close is called with the end that came first.
	Close(End)

	// End tells that the transport has ended, and how: nothing can be read any
	// more. If Close began the end, its reason stays the one that counts. The
	// channel is closed when handlers have returned and OnDisconnect has run.
	End(End) (done <-chan struct{})
}

// Flow is what a Conn says to the adapter that reads for it.
type Flow uint8

const (
	Go     Flow = iota // read on
	Pause              // do not read before Transport.Resume is called, which may be already
	Closed             // nothing more is taken: read to the end only
)

// Conn is a client in one namespace, at one Link.
type Conn interface {
	// Receive takes a message that the client has sent to the namespace. It is
	// called by one goroutine at a time, and does not wait. The message is the
	// Conn's from then on.
	Receive(m *Message) Flow
}

// Cause says who, or what, ended a connection.
type Cause uint8

// The causes.
const (
	CausePeer     Cause = iota + 1 // the peer closed, or the network was cut
	CauseLocal                     // our side closed
	CauseTimeout                   // the peer fell silent, or took too long
	CauseSlow                      // the peer did not read as fast as it was sent to
	CauseShutdown                  // our side shuts down
	CauseProtocol                  // the peer broke the protocol or a limit
)

// End is how a connection ends.
type End struct {
	Code   int    // a WebSocket close code; 1006 is the network's end
	Reason string // for the peer, at most 123 bytes
	Cause  Cause
	Err    error // what was behind it, for logs; may be nil
}
