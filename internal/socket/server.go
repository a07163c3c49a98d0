package socket

import (
	"bufio"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// flushAt is the size in bytes at which a batch is sent before it is complete.
const flushAt = 32 << 10

// hijacker stands between websocket.Accept and the server's ResponseWriter to
// put a serverConn under the WebSocket.
type hijacker struct {
	http.ResponseWriter
	alive func()
	conn  *serverConn
}

// canHijack reports whether the server's own ResponseWriter, beneath all wrappers
// that offer Unwrap, can give its connection away. Wrappers such as gin's have a
// Hijack in any case, which panics if theirs cannot.
func canHijack(w http.ResponseWriter) bool {
	for {
		wrapper, ok := w.(interface{ Unwrap() http.ResponseWriter })
		if !ok {
			_, ok = w.(http.Hijacker)
			return ok
		}
		w = wrapper.Unwrap()
	}
}

// WriteHeader leaves the 101 to Hijack.
func (h *hijacker) WriteHeader(code int) {
	if code != http.StatusSwitchingProtocols {
		h.ResponseWriter.WriteHeader(code)
	}
}

// Hijack finds the server's Hijacker through any number of wrappers that offer
// Unwrap, and then writes the 101 by itself: wrappers that compress keep a
// header back until there is a body. The Reader stays the server's: it may hold
// the first bytes of a client that did not wait for the 101.
func (h *hijacker) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	raw, brw, err := http.NewResponseController(h.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	h.conn = &serverConn{Conn: raw, alive: h.alive, partial: brw.Reader.Buffered() > 0}
	bw := bufio.NewWriter(h.conn)
	bw.WriteString("HTTP/1.1 101 Switching Protocols\r\n")
	h.Header().Write(bw)
	bw.WriteString("\r\n")
	bw.Flush() // if the client has gone, Read will tell
	return h.conn, bufio.NewReadWriter(brw.Reader, bw), nil
}

// serverConn is the net.Conn under a server's WebSocket.
type serverConn struct {
	net.Conn
	alive          func()
	messageTimeout time.Duration
	broken         atomic.Bool // the network failed, not the peer

	// The connection stands in the middle of a frame, and has a deadline for it.
	// The reader reads, and after it whoever closes.
	readMu    sync.Mutex // guards the three below
	partial   bool
	inMessage bool // it is a message's, whatever pings come between its fragments
	deadline  bool

	mu     sync.Mutex // guards corked and batch
	corked bool
	batch  []byte
}

// Read gives a message MessageTimeout from the second time that bytes of it had
// to be waited for: most arrive whole and cost no deadline.
func (c *serverConn) Read(p []byte) (int, error) {
	c.limitFrame()
	n, err := c.Conn.Read(p)
	if n > 0 {
		c.readMu.Lock()
		c.partial = true
		c.readMu.Unlock()
		c.alive()
	}
	if err != nil {
		c.broken.Store(true)
	}
	return n, err
}

func (c *serverConn) limitFrame() {
	c.readMu.Lock()
	defer c.readMu.Unlock()
	if c.partial && !c.deadline {
		c.deadline = true
		c.Conn.SetReadDeadline(time.Now().Add(c.messageTimeout))
	}
}

func (c *serverConn) messageBegins() {
	c.readMu.Lock()
	defer c.readMu.Unlock()
	c.inMessage = true
}

// controlRead tells that a control frame is complete.
func (c *serverConn) controlRead() {
	c.readMu.Lock()
	defer c.readMu.Unlock()
	if !c.inMessage {
		c.frameReadLocked()
	}
}

func (c *serverConn) hasDeadline() bool {
	c.readMu.Lock()
	defer c.readMu.Unlock()
	return c.deadline
}

// frameRead tells that a message is complete.
func (c *serverConn) frameRead() {
	c.readMu.Lock()
	defer c.readMu.Unlock()
	c.frameReadLocked()
}

func (c *serverConn) frameReadLocked() {
	c.partial, c.inMessage = false, false
	if c.deadline {
		c.deadline = false
		c.Conn.SetReadDeadline(time.Time{})
	}
}

// Write holds bytes back while a batch is being made. Others than the writer of
// batches come here too: the reader with pongs, a closer with its frame. Each
// of their writes is a whole frame, and so is each of the batch's below flushAt,
// so they may be put together.
func (c *serverConn) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.corked {
		return c.Conn.Write(p)
	}
	if len(c.batch)+len(p) <= flushAt {
		c.batch = append(c.batch, p...)
		return len(p), nil
	}
	if err := c.flushLocked(); err != nil {
		return 0, err
	}
	return c.Conn.Write(p)
}

// Close sends what is left of a batch, if that is possible at once: the answer to
// the peer's close frame may be in there.
func (c *serverConn) Close() error {
	if c.mu.TryLock() {
		c.corked = false
		c.Conn.SetWriteDeadline(time.Now().Add(time.Second))
		c.flushLocked()
		c.mu.Unlock()
	}
	return c.Conn.Close()
}

func (c *serverConn) cork() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.corked = true
}

func (c *serverConn) uncork() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.corked = false
	return c.flushLocked()
}

func (c *serverConn) flushLocked() error {
	if len(c.batch) == 0 {
		return nil
	}
	_, err := c.Conn.Write(c.batch)
	c.batch = c.batch[:0]
	if cap(c.batch) > 4<<10 {
		c.batch = nil
	}
	return err
}
