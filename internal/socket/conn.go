package socket

import (
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/wsrouter/wsrouter/internal/lazy"
	"github.com/wsrouter/wsrouter/internal/loop"
)

// Conn is one WebSocket: the protocol of this package driven over a net.Conn. Read
// is called by one goroutine, a batch from Begin to End by one other; Ping, Close
// and Abort by any.
type Conn struct {
	net     network
	direct  direct     // to the socket itself; nil where there is none
	loop    *loop.Conn // which it waits at; nil where a goroutine waits
	handler Handler    // of Serve, at a loop

	subprotocol string // that was agreed upon; empty is none

	messageTimeout, writeTimeout time.Duration
	alive, control               func()
	peer                         atomic.Pointer[CloseError] // the peer's close frame

	reading  lazy.Mutex // guards what follows; whoever reads has it: the reader, or a closer
	in       in
	buf      *[]byte // nil if nothing is unread
	from, to int32   // what of buf is unread
	late     bool    // a message has had to be waited for twice: it has a deadline
	readErr  error   // every Read from now on fails with it
	patience patience

	writing  lazy.Mutex // guards what follows
	out      out
	now      bool        // the batch must not wait
	owes     atomic.Bool // there are pings or pongs to be sent; for everybody
	writeErr error       // after one, and after a close frame, nothing more is sent

	mu     sync.Mutex // guards what follows; nothing waits while it is held
	ending ending
	pongs  []byte // to be sent: whole frames, in the order of their pings
	ping   bool   // to be sent
	slow   bool   // the peer did not take its pings and pongs: the connection was cut
}

// network is what is needed of a net.Conn.
type network interface {
	io.ReadWriteCloser
	SetReadDeadline(time.Time) error
	SetWriteDeadline(time.Time) error
}

// Subprotocol returns what both ends have agreed upon, as the client spells it; empty
// is none.
func (c *Conn) Subprotocol() string { return c.subprotocol }

func newConn(conn network, opts *Options, client bool) *Conn {
	return &Conn{
		net: conn, direct: directOf(conn),
		messageTimeout: opts.MessageTimeout, writeTimeout: opts.WriteTimeout, alive: opts.Alive, control: opts.Control,
		in:  in{client: client, max: opts.MaxMessage},
		out: out{client: client},
	}
}

// Ping asks the peer for a pong, which will be heard through Options.Alive. It
// does not wait, neither for the pong nor for the ping to be sent.
func (c *Conn) Ping() {
	c.mu.Lock()
	c.ping = true
	c.owes.Store(true)
	c.mu.Unlock()
	c.sendControls()
}

// Close sends a close frame, after what has been written, and waits for the
// peer's, each at most 5 s; after a mistake of the peer's nothing is waited for, and
// a close frame of its is answered with its own code. Then it closes the connection,
// and Read fails. It needs somebody in Read, or nobody, meanwhile.
func (c *Conn) Close(code int, reason string) {
	if peer := c.peer.Load(); peer != nil {
		code, reason = peer.Code, ""
	}
	if !c.sendClose(closePayload(code, reason)) {
		c.Abort() // lets the reader go
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

// step lets something happen to the closing handshake.
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
