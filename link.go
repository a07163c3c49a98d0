package wsrouter

import (
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/wsrouter/wsrouter/internal/socket"
)

// This file is the seam that adapters are written against: an adapter moves
// Frames over a Transport, turns what it reads into Messages, and hands those to
// a Conn of its Link. The Link does the rest: it bounds the queues, keeps the
// order, watches for life, and closes.
//
//	read loop ─ Conn.Receive ─▶ inbox ─ one turn at a time ─▶ handlers
//	                                                             │ Emit, Reply
//	Transport.Write ◀─ one writer, while there is something ─ outbox

// Kind says what a [Message] is.
type Kind uint8

// The kinds. An adapter receives the first five, and KindDisconnect, from its
// client, and encodes all of them; a kind that its wire format has no word for is
// encoded as the zero Frame, which is not sent.
const (
	KindEvent  Kind = iota + 1 // an event; a request if it has an ID
	KindReply                  // the answer to ID, or an item of its stream if More is set
	KindError                  // an exception: the end of ID, or of an event without one
	KindCancel                 // the asker of ID wants no more
	KindPull                   // the asker of ID takes Credit more items

	KindAuth       // the connect payload, sent by a client
	KindConnect    // OnConnect has let the client in; ID is its connection's id
	KindRefuse     // OnConnect has refused it; the argument is the *WsError or *CloseError
	KindDisconnect // the sender leaves this namespace, but not the link
)

// Message is what goes over a link, whatever the wire format.
type Message struct {
	Kind  Kind
	Event string

	// Args are the arguments: on the way out any values, on the way in
	// json.RawMessages, or an Encoded where bytes came beside the JSON: they are
	// bound as []byte, in an any, too.
	Args []any

	// ID names the exchange, as JSON text (7 or "a"); empty is none. It is the
	// asker's: in a KindReply or KindError it is the receiver's own.
	ID     string
	More   bool  // of KindReply: an item, not the end
	Named  bool  // of KindReply: Event was chosen by the handler, see Response
	Credit int64 // of KindEvent and KindPull: items the asker takes; 0 is no limit

	Size int // bytes on the wire, of an inbound message
}

// Frame is an encoded message. A frame may be shared by many links and is never
// written to.
type Frame struct {
	Text        []byte
	Attachments [][]byte // sent as binary after Text, with nothing in between
	Next        *Frame   // another one that goes with it; nil is none

	shared *socket.Shared // of Text, where many get it; nil is none
}

// frameOverhead is what a queued frame or message costs besides its bytes.
const frameOverhead = 64

func (f Frame) size() int {
	n := len(f.Text)
	for _, a := range f.Attachments {
		n += len(a)
	}
	if f.Next != nil {
		n += f.Next.size()
	}
	return n
}

func (f Frame) empty() bool { return f.Text == nil && f.Attachments == nil }

// Format encodes messages for the wire. Values of it are compared: a broadcast
// is encoded once for all connections whose Formats are equal, so an
// implementation is a small comparable value. Encode may be called concurrently
// and must not keep m; its error says which argument cannot be encoded.
type Format interface {
	Encode(m *Message) (Frame, error)
}

// Transport carries one client's frames, see also [NowWriter]. The Link calls
// Write from one goroutine at a time, and the other methods at any time, from any goroutine.
type Transport interface {
	// Write sends the frames in order, within Options.WriteTimeout. It returns
	// when they are handed to the network. After an error, which is or wraps
	// os.ErrDeadlineExceeded if time ran out, it is not called again.
	Write(batch []Frame) error

	// Ping asks the peer for a sign of life and does not wait for it; the answer
	// is reported by Link.Alive.
	Ping()

	// Close tells the peer code and reason after what has been written, and
	// makes the adapter's read loop end. It may take some seconds.
	Close(code int, reason string)

	// Abort cuts the connection: a Write that blocks and the read loop fail.
	Abort()
}

// NowWriter is what a [Transport] may implement besides. The Link then lets a
// handler's goroutine write a reply where nothing else waits: that saves waking
// up another.
type NowWriter interface {
	// WriteNow is Write as far as that needs no waiting. It returns what Write
	// has to send, which will be its next call, even if there are no frames in
	// it; nil if all has been handed to the network.
	WriteNow(batch []Frame) (rest []Frame, err error)
}

// Link is one client's transport as the router sees it. All methods are safe
// for concurrent use.
type Link struct {
	app       *app
	transport Transport
	now       NowWriter // the transport, if it is one
	request   *http.Request
	client    bool // we dialled
	multi     bool // carries several namespaces and outlives them

	lastRead          atomic.Int64 // time of the last byte, in Unix nanoseconds
	bytesIn, bytesOut atomic.Int64
	buffered          atomic.Int64 // bytes in all queues, for those who do not have mu
	clientKey         string
	closed            chan struct{} // closed when closing begins
	done              chan struct{} // closed when everything of it is gone

	mu    sync.Mutex // guards everything below, and the state of its Conns
	conns []*Conn
	ce    *CloseError // set when closing begins
	gone  bool        // nothing can be sent any more

	out      []Frame // the outbox
	outBytes int
	spare    []Frame       // the slice of the batch before
	lost     int           // frames of the outbox that were dropped
	writing  bool          // a writer is running
	outSpace chan struct{} // closed when there is space again; nil if nobody waits

	inBytes int           // in the inboxes of all conns
	inSpace chan struct{} // closed when the reader shall look again; nil if it does not wait
	waits   int           // open calls and streams: reading must go on for them

	producers int           // that go on although their streams have ended
	quiet     chan struct{} // closed when there are none; nil if nobody waits

	ping   *time.Timer
	pinged int64 // when, as lastRead; 0 if something has been heard since

	tokens   float64 // frames that the client may still send at once
	refilled time.Time
}

// LinkOptions are an adapter's choices for a Link.
type LinkOptions struct {
	// Request is the HTTP request that the client came with.
	Request *http.Request

	// Multiplexed links carry several namespaces, and outlive them. Others have
	// one Conn and end with it.
	Multiplexed bool

	client bool
}

// NewLink registers a client's transport with the router's tree. It fails with
// a *CloseError when no more clients are taken. Whoever made a Link must call
// [Link.End] on it.
func (r *Router) NewLink(t Transport, opts LinkOptions) (*Link, error) {
	r.app.freeze() // may wait for a Broker's network, and pings are to begin after that
	l := &Link{
		app:       r.app,
		transport: t,
		request:   opts.Request,
		client:    opts.client,
		multi:     opts.Multiplexed,
		closed:    make(chan struct{}),
		done:      make(chan struct{}),
	}
	l.now, _ = t.(NowWriter)
	early := r.app.spreadPing()
	l.lastRead.Store(time.Now().Add(-early).UnixNano())
	l.tokens, l.refilled = float64(r.app.opts.FrameBurst), time.Now()
	l.mu.Lock() // the timer may be quick
	l.ping = time.AfterFunc(r.app.opts.PingInterval-early, l.checkAlive)
	l.mu.Unlock()
	if err := r.app.add(l); err != nil {
		l.ping.Stop()
		return nil, err
	}
	return l, nil
}

// crowd is how many links are so many that their pings are spread.
const crowd = 1000

// spreadPing is how much earlier than the others a new link is pinged for the first
// time; from then on each keeps its own time. Thousands may come at the same
// moment, as after a restart, and would be pinged so for ever.
func (a *app) spreadPing() time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.links) < crowd {
		return 0
	}
	return rand.N(a.opts.PingInterval/4 + 1)
}

// Request returns the HTTP request with which the client connected.
func (l *Link) Request() *http.Request { return l.request }

// Conn returns the link's connection in a namespace, nil if it has none, or is
// leaving it.
func (l *Link) Conn(r *Router) *Conn {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range l.conns {
		if c.router == r && !c.leaving {
			return c
		}
	}
	return nil
}

// Draining reports whether the router's whole tree shuts down. Until its turn
// comes such a link is served as ever, but it joins no further namespace.
func (l *Link) Draining() bool { return l.app.root.closing.Load() }

// Send queues a frame of the adapter's own. It never waits: a client whose
// outbox is full is closed as slow, and the error is a *CloseError.
func (l *Link) Send(f Frame) error { return l.send(f, sendNow) }

// Alive tells the link that bytes have arrived from the peer.
func (l *Link) Alive() { l.lastRead.Store(time.Now().UnixNano()) }

// Arrived tells the link that a frame is complete; the zero Frame is one without
// content, as a WebSocket ping. It reports false when the link is closing, as it
// is when the client exceeds Options.FrameRate: then the frame is to be ignored.
func (l *Link) Arrived(f Frame) bool {
	l.Alive()
	size := int64(f.size())
	l.bytesIn.Add(size)
	l.app.counters.bytesIn.Add(size)
	if t := l.app.opts.Trace; t.FrameIn != nil && !f.empty() {
		l.app.trace(func() { t.FrameIn(l, f) })
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.takeTokenLocked() {
		l.closeLocked(&CloseError{Code: ClosePolicy, Reason: "too many frames", Cause: CauseProtocol})
	}
	return l.ce == nil
}

// takeTokenLocked is the usual bucket: FrameBurst tokens, FrameRate new ones a
// second.
func (l *Link) takeTokenLocked() bool {
	opts := &l.app.opts
	if opts.FrameRate == unlimited {
		return true
	}
	now := time.Now()
	l.tokens += now.Sub(l.refilled).Seconds() * float64(opts.FrameRate)
	l.tokens = min(l.tokens, float64(opts.FrameBurst))
	l.refilled = now
	if l.tokens < 1 {
		return false
	}
	l.tokens--
	return true
}

// checkAlive runs when the peer should have been heard of: it asks for a sign of
// life, or ends a link that gave none.
func (l *Link) checkAlive() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ce != nil {
		return
	}
	opts := &l.app.opts
	now, last := time.Now().UnixNano(), l.lastRead.Load()
	idle := time.Duration(now - last)
	if last >= l.pinged {
		l.pinged = 0
	}
	switch {
	case l.gone: // see writeFailed
		l.cutLocked(&CloseError{Code: CloseAbnormal, Cause: CausePeer})
	case l.inSpace != nil: // we do not read: silence proves nothing
		l.pinged = 0
		l.ping.Reset(opts.PingInterval)
	case idle < opts.PingInterval:
		l.ping.Reset(opts.PingInterval - idle)
	case l.pinged == 0 && l.writing: // a ping would wait; WriteTimeout is watching
		l.ping.Reset(min(opts.PingInterval, time.Second))
	case l.pinged == 0:
		l.pinged = now
		l.ping.Reset(opts.PongTimeout)
		l.transport.Ping()
	default:
		l.cutLocked(&CloseError{Code: CloseAbnormal, Reason: "ping timeout", Cause: CauseTimeout})
	}
}

func (l *Link) isOpen() bool {
	select {
	case <-l.closed:
		return false
	default:
		return true
	}
}

func (l *Link) close(ce *CloseError) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closeLocked(ce)
}

// closeLocked begins the end: nothing more is queued, what is queued is sent,
// then the peer is told. The first cause counts.
func (l *Link) closeLocked(ce *CloseError) {
	if l.ce != nil {
		return
	}
	l.beginCloseLocked(ce)
	if l.gone { // no goodbye can be sent
		go l.transport.Abort()
		return
	}
	l.wakeWriterLocked()
}

// cut ends the link now, what is queued is dropped.
func (l *Link) cut(ce *CloseError) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cutLocked(ce)
}

func (l *Link) cutLocked(ce *CloseError) {
	if l.ce == nil {
		l.beginCloseLocked(ce)
	}
	l.dropOutboxLocked()
	for _, c := range l.conns {
		c.dropInboxLocked()
	}
	go l.transport.Abort() // may wait for the transport's own locks
}

func (l *Link) beginCloseLocked(ce *CloseError) {
	l.ce = ce
	if ce.Cause == CauseSlow {
		l.app.counters.slow.Add(1)
	}
	close(l.closed)
	l.ping.Stop()
	l.wakeReaderLocked()
	if l.outSpace != nil {
		close(l.outSpace)
		l.outSpace = nil
	}
	for _, c := range l.conns {
		c.failCallsLocked(ce)
	}
}

// End tells the link that its transport has ended: nothing can be read any more.
// ce says how, unless our side closed it first. End waits until the handlers of
// its connections have returned and OnDisconnect has run for each.
func (l *Link) End(ce *CloseError) {
	l.mu.Lock()
	if l.ce == nil {
		l.beginCloseLocked(ce)
	}
	l.dropOutboxLocked()
	ce = l.ce
	conns, lost := l.conns, l.lost
	l.mu.Unlock()
	if t := l.app.opts.Trace; t.Drop != nil && lost > 0 {
		l.app.trace(func() { t.Drop(l, lost) })
	}

	var wg sync.WaitGroup
	for _, c := range conns[min(1, len(conns)):] {
		wg.Go(func() { c.end(ce) })
	}
	if len(conns) > 0 {
		conns[0].end(ce)
	}
	wg.Wait()
	l.app.remove(l)
	close(l.done)
}

// Err returns the *CloseError with which closing began, or nil before.
func (l *Link) Err() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ce == nil {
		return nil
	}
	return l.ce
}
