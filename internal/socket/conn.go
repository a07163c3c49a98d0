package socket

import (
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/wsrouter/wsrouter/internal/lazy"
	"github.com/wsrouter/wsrouter/internal/loop"
)

// Conn is one WebSocket: the protocol of this package over a net.Conn. One
// goroutine calls Read, and one, possibly another, makes a batch from Begin to End.
// Any may call Ping, Close and Abort.
type Conn struct {
	net     network
	direct  direct     // reads and writes the socket itself; nil if that is not possible
	loop    *loop.Conn // the event loop's Conn; nil if a goroutine waits for the socket
	handler Handler    // what Serve was given, at a loop

	subprotocol string // agreed upon in the handshake; empty for none

	messageTimeout, writeTimeout time.Duration
	alive, control               func()
	peer                         atomic.Pointer[CloseError] // the peer's close frame

	reading  lazy.Mutex // guards what follows; held by whoever reads: the reader, or a closer
	in       in
	buf      *[]byte // nil if nothing is unread
	from, to int32   // the unread part of buf
	late     bool    // a message had to be waited for twice, and has a deadline
	readErr  error   // every further Read fails with it
	patience patience

	writing  lazy.Mutex // guards what follows
	out      out
	now      bool        // the batch must not wait
	owes     atomic.Bool // pings or pongs have to be sent; any goroutine may set it
	writeErr error       // set by a failure or a close frame; nothing more is sent after it

	mu     sync.Mutex // guards what follows; nothing waits while it is held
	ending ending
	pongs  []byte // to be sent: whole frames, in the order of their pings
	ping   bool   // a ping has to be sent
	slow   bool   // the peer did not take its pings and pongs, and was cut
}

// network is what a Conn needs of a net.Conn.
type network interface {
	io.ReadWriteCloser
	SetReadDeadline(time.Time) error
	SetWriteDeadline(time.Time) error
}

// Subprotocol returns the subprotocol that both ends agreed upon, as the client
// spells it, or "".
func (c *Conn) Subprotocol() string { return c.subprotocol }

func newConn(conn network, opts *Options, client bool) *Conn {
	return &Conn{
		net: conn, direct: directOf(conn),
		messageTimeout: opts.MessageTimeout, writeTimeout: opts.WriteTimeout, alive: opts.Alive, control: opts.Control,
		in:  in{client: client, max: opts.MaxMessage},
		out: out{client: client},
	}
}

// Ping sends a ping. The pong will be reported through Options.Alive. Ping waits
// neither for the pong nor for the ping to be sent.
func (c *Conn) Ping() {
	c.mu.Lock()
	c.ping = true
	c.owes.Store(true)
	c.mu.Unlock()
	c.sendControls()
}

// Close sends a close frame after what has been written, and waits for the peer's,
// at most 5 s each. It waits for nothing if the peer has broken the rules, and
// answers a close frame of the peer with the peer's code. Then it closes the
// connection, and Read fails. It may be called whether or not a goroutine is in
// Read.
func (c *Conn) Close(code int, reason string) {
	if peer := c.peer.Load(); peer != nil {
		code, reason = peer.Code, ""
	}
	if !c.sendClose(closePayload(code, reason)) {
		c.Abort() // releases the reader
	}
	c.reading.Lock()
	defer c.reading.Unlock()
	c.finish()
}

// Abort cuts the connection.
func (c *Conn) Abort() {
	c.step((*ending).end)
	c.net.Close()
}

// step tells the closing handshake what has happened.
func (c *Conn) step(happen func(*ending, time.Time)) phase {
	c.mu.Lock()
	defer c.mu.Unlock()
	happen(&c.ending, time.Now())
	c.net.SetReadDeadline(c.ending.until)
	return c.ending.phase
}

func (c *Conn) phase() phase {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ending.phase
}

// cutSlow cuts the connection of a peer that does not take its pings and pongs.
func (c *Conn) cutSlow() {
	c.mu.Lock()
	c.slow = true
	c.mu.Unlock()
	c.Abort()
}
