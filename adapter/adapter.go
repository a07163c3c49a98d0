// Package adapter is the interface between wsrouter and wire formats. You need it
// to write an adapter, not to write handlers.
//
// An adapter carries frames ([Frame]) over a [Transport], turns what it reads into
// messages ([Message]), and passes those to a [Conn] of its [Link]. The router does
// the rest: it bounds the queues, keeps events in order, detects dead peers, and
// closes.
//
//	adapter's reader ─ Conn.Receive ─▶ lane ─ one turn at a time ─▶ handlers
//	                                                                   │ Emit, Reply
//	Transport.Write ◀─ whoever has the right to write ─ outbox ◀───────┘
//
// Nothing in this interface blocks. A Transport that cannot take more for now
// returns pending and calls [Link.Writable] later. A [Conn] that cannot take more
// for now returns [Pause], and the router calls [Transport.Resume] later. If
// blocking calls are simpler for you, write a [BlockingTransport] and turn it into
// a Transport with [NewBlocking]. wsroutertest.TestTransport checks that a
// Transport keeps its promises.
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
// If Join fails, call Link.Close, with the End of the [Refusal] if the error is one,
// and read on until the network ends. If OnConnect refuses the client, the router
// sends KindRefuse and closes the Link, unless the Link is Multiplexed. ServeLines is a
// whole adapter in 150 lines, with its tests: see example_transport_test.go of package
// wsroutertest.
//
// A message that can be read but is wrong, such as an event whose name is longer than
// Limits.MaxName, need not end the link: the plain protocol answers it with an exception
// by Link.Send. What cannot be read as a message does, with CauseProtocol.
package adapter

import (
	"net/http"
	"time"
)

// Host is a tree of namespaces, as returned by wsrouter.Router.Adapter. Its methods are
// safe for concurrent use.
type Host interface {
	// Admit decides whether a client may connect: its origin is allowed, there is
	// room, no shutdown has begun, and OnInit has succeeded. It may wait for OnInit
	// until the request's context ends. Nil admits the client. An adapter calls
	// Admit before it accepts a client's first request.
	Admit(*http.Request) *Refusal

	// AllowsOrigin reports whether a page of the request's origin may connect.
	AllowsOrigin(*http.Request) bool

	// Refused counts, logs and traces a client that the adapter itself has refused.
	// reason is one of a few fixed strings, never text from the client. err may be
	// nil; it is logged, so it must contain no secrets. Do not report what the
	// router reports itself: what Admit, NewLink and Join refuse, and the end of a
	// Link that has joined no namespace (which counts as a refusal unless the
	// client closed it).
	Refused(r *http.Request, reason string, err error)

	// Limits returns the options that an adapter needs.
	Limits() Limits

	// Lookup returns the namespace with that full name, or nil if there is none.
	Lookup(name string) Namespace

	// NewLink registers a client's transport. The error is a *[Refusal], for
	// example because a shutdown has begun since Admit; its End is for a client
	// whose request has already been answered. The caller must call End on every
	// Link it gets.
	NewLink(Transport, LinkOptions) (Link, error)
}

// Limits are the router's options that concern an adapter. Sizes are in bytes. No size
// or duration is zero, except Window; "unlimited" is a very large value.
type Limits struct {
	// The adapter applies these.
	MaxMessage     int           // of one message, including its attachments
	MaxName        int           // of the name of an event that has come; the router checks those of rooms
	WriteTimeout   time.Duration // for the peer to take a batch
	MessageTimeout time.Duration // from the first byte of a message to its last
	ConnectTimeout time.Duration // until the client has asked for a Conn; the router's OnConnect has its own
	Window         time.Duration // how long clients may be away, see Link.Recover; zero means not at all
	EventLoops     bool          // WebSockets wait at event loops where they can

	// The router applies these, by Transport.Ping and Host.Admit. They are for protocols
	// with heartbeats or headers of their own.
	PingInterval time.Duration // silence before the peer is pinged
	PongTimeout  time.Duration // further silence before the peer is given up
	Origins      []string      // whose pages may connect, besides the request's own
	CrossOrigin  bool          // pages of other origins may connect
}

// Refusal says why a client is not admitted, before it has a connection.
type Refusal struct {
	Status int    // the HTTP status
	Text   string // what the client is told
	Reason string // one of a few fixed strings, for counting
	Code   int    // WebSocket close code for a client whose request is already answered; zero means 1013
}

// Error returns the text.
func (r *Refusal) Error() string { return r.Text }

// End returns the refusal as the end of a transport, for a client whose request has
// already been answered.
func (r *Refusal) End() End {
	code := r.Code
	if code == 0 {
		code = 1013 // try again later
	}
	return End{Code: code, Reason: r.Text, Cause: CauseLocal}
}

// ServeHTTP answers a request with the status and the text. Unless the status is
// 403, it asks the client to retry in a few seconds.
func (r *Refusal) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	if r.Status != http.StatusForbidden {
		w.Header().Set("Retry-After", "5")
	}
	http.Error(w, r.Text, r.Status)
}

// Namespace is one namespace of a Host.
type Namespace interface {
	Name() string // the full name, "/" for the root
}

// LinkOptions are an adapter's choices for a Link.
type LinkOptions struct {
	// Request is the HTTP request that the client connected with. An adapter that
	// does not use HTTP makes one, with the client's address in RemoteAddr.
	Request *http.Request

	// Detached says that the handler of Request returns before the link ends. The
	// link then keeps a copy of the request that takes less memory.
	Detached bool

	// Multiplexed links carry several namespaces and outlive each of them. Other
	// links have one Conn and end with it.
	Multiplexed bool

	// Dialed means that this side dialed. Such a side waits for space where a
	// server would close a slow client, and answers requests only.
	Dialed bool
}

// Link is one client's transport as the router sees it. All methods are safe for
// concurrent use, and none blocks.
type Link interface {
	// Join requests a connection in a namespace. auth is the client's connect
	// payload and may be nil. Join returns before OnConnect has run; the outcome is
	// sent as KindConnect or KindRefuse. The error is ErrJoined, ErrClosing, or a
	// *Refusal that the client may be told. ErrJoined means that the client already
	// has a Conn in the namespace, and that one answers: at once with another
	// KindConnect if the client is in, otherwise when OnConnect has decided.
	Join(ns Namespace, f Format, auth []byte) (Conn, error)

	// Recover is Join for a client that can resume a connection. If the client has
	// lost a connection of this namespace that still exists, and everything it
	// missed has been kept, it gets that connection; otherwise it gets a new one.
	// KindConnect says which. Nothing is taken from the client until KindConnect
	// has been sent. Call Recover only if Limits.Window is not zero. If the error
	// is nil, the Conn is a [Recoverable].
	Recover(ns Namespace, f Format, auth []byte, r Recovery) (Conn, error)

	// Send queues a frame of the adapter's own. It reports false if the frame was
	// not queued. A client whose outbox is full is closed as slow.
	Send(f Frame) bool

	// Alive reports that bytes have arrived from the peer.
	Alive()

	// Arrived tells that a frame is complete, before Receive gets what is in it: for a
	// line that is Arrived(Frame{Text: line}). The zero Frame is one without content, as a
	// ping. It reports false when the link is closing, as it is
	// when the client exceeds Options.FrameRate: then the frame is to be ignored.
	Arrived(f Frame) bool

	// Writable reports the fate of what Transport.Write left pending: it has been
	// handed to the network if err is nil, and has failed otherwise. err is or
	// wraps os.ErrDeadlineExceeded if the peer did not take it in time.
	Writable(err error)

	// Request returns the request that the client connected with.
	Request() *http.Request

	// Settled returns a channel that is closed when the first client of the link
	// has been let in, has been refused or has resumed, or when the link has ended.
	// With LinkOptions.Detached the handler of the request must not return before
	// that, because OnConnect may use what belongs to the request.
	Settled() <-chan struct{}

	// Close begins the end of the link, unless it has begun already. What is queued
	// is sent, then Transport.Close is called with the first End that was given.
	Close(End)

	// End reports that the transport has ended, and how; nothing more can be read.
	// If Close has begun the end, its reason is the one that counts. done is closed
	// when all handlers have returned and OnDisconnect has run.
	End(End) (done <-chan struct{})
}

// Flow is what a Conn tells the adapter that reads for it.
type Flow uint8

const (
	Go     Flow = iota // continue to read
	Pause              // stop reading until Transport.Resume is called, which may have happened already
	Closed             // nothing more is taken: read only to notice the end
)

// Conn is a client in one namespace, over one Link.
type Conn interface {
	// Receive takes a message that the client has sent to the namespace. It does
	// not block and must be called by one goroutine at a time. The message belongs
	// to the Conn afterwards.
	Receive(m *Message) Flow
}

// Cause says who or what ended a connection.
type Cause uint8

// The causes.
const (
	CausePeer     Cause = iota + 1 // the peer closed, or the network failed
	CauseLocal                     // our side closed
	CauseTimeout                   // the peer fell silent, or took too long
	CauseSlow                      // the peer read too slowly
	CauseShutdown                  // our side is shutting down
	CauseProtocol                  // the peer violated the protocol or a limit
)

// End says how a connection ends.
type End struct {
	Code   int    // WebSocket close code; 1006 means that the network failed
	Reason string // for the peer, at most 123 bytes
	Cause  Cause
	Err    error // underlying error, for logs; may be nil
}
