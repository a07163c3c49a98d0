package socket

import (
	"errors"
	"io"
	"net"
	"os"
	"time"

	"github.com/wsrouter/wsrouter/adapter"
)

// Begin starts a batch of messages, End sends it.
func (c *Conn) Begin() {
	c.writing.Lock()
	c.begin(false)
}

// BeginNow starts a batch of which EndNow will send what the network takes at once.
// It starts none and reports false if that cannot be known: over TLS, on the
// client's side, or while another goroutine writes.
func (c *Conn) BeginNow() bool {
	if c.direct == nil || !c.writing.TryLock() {
		return false
	}
	c.begin(true)
	return true
}

// begin puts pings and pongs that are owed before the messages.
func (c *Conn) begin(now bool) {
	c.now = now
	c.out.start()
	if !c.owes.Load() {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	b := *c.out.batch
	if c.ping {
		b = c.out.appendControl(b, opPing, nil)
	}
	*c.out.batch = append(b, c.pongs...)
	c.ping, c.pongs = false, nil
	c.owes.Store(false)
}

// Write adds a message, which is prefix and data, to the batch.
func (c *Conn) Write(prefix string, data []byte, text bool) error {
	return c.WriteShared(prefix, data, text, nil)
}

// WriteShared is Write for a message that is also sent to other connections, with
// the same s.
func (c *Conn) WriteShared(prefix string, data []byte, text bool, s *adapter.Shared) error {
	opcode := byte(opBinary)
	if text {
		opcode = opText
	}
	more := c.out.message(opcode, prefix, data, s, !c.now)
	if c.now || more == nil && len(c.out.rest()) <= flushAt {
		return c.writeErr
	}
	return c.flush(more, c.writeTimeout)
}

// End sends the batch, within WriteTimeout.
func (c *Conn) End() error {
	err := c.flush(nil, c.writeTimeout)
	c.letGo(true)
	return err
}

// EndNow sends the batch without waiting. It reports whether all of it was sent; if
// not, the rest goes with the next batch, which may be empty.
func (c *Conn) EndNow() (all bool, err error) {
	err = c.writeDirect()
	all = err == nil && len(c.out.rest()) == 0
	c.letGo(all || err != nil)
	return all, err
}

// letGo ends what begin began, and sends pings and pongs that have become due
// since.
func (c *Conn) letGo(free bool) {
	if free {
		c.out.free()
	}
	c.writing.Unlock()
	if c.owes.Load() {
		c.sendControls()
	}
}

// maxOwed is how many bytes of pongs may wait. Beyond it those that wait are
// forgotten, as RFC 6455 section 5.5.3 allows: the last one stands for them.
const maxOwed = 4 << 10

func (c *Conn) pong(payload []byte) {
	c.mu.Lock()
	if len(c.pongs) > maxOwed {
		c.pongs = c.pongs[:0]
	}
	c.pongs = c.out.appendControl(c.pongs, opPong, payload)
	c.owes.Store(true)
	c.mu.Unlock()
	c.sendControls()
}

// sendControls sends pings and pongs that are owed. It does not wait: whoever
// writes at the moment will send them, and a goroutine sends what the network does
// not take at once.
func (c *Conn) sendControls() {
	if !c.writing.TryLock() {
		return
	}
	c.begin(true)
	if c.direct != nil {
		c.writeDirect()
	}
	if c.writeErr != nil || len(c.out.rest()) == 0 {
		c.letGo(true)
		return
	}
	go func() {
		err := c.flush(nil, c.writeTimeout)
		c.letGo(true)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			c.cutSlow()
		}
	}()
}

// sendClose sends the close frame, once. It reports false if it could not.
func (c *Conn) sendClose(payload []byte) bool {
	c.writing.Lock()
	c.begin(false)
	if c.writeErr == nil {
		*c.out.batch = c.out.appendControl(*c.out.batch, opClose, payload)
		if c.flush(nil, min(closeWait, c.writeTimeout)) == nil {
			c.writeErr = net.ErrClosed
			c.step((*ending).sent)
		}
	}
	ok := c.writeErr == net.ErrClosed
	c.letGo(true)
	return ok
}

func (c *Conn) writeDirect() error {
	if c.writeErr == nil && len(c.out.rest()) > 0 {
		n, err := c.direct.write(c.out.rest())
		c.out.wrote(n)
		c.writeErr = err
	}
	return c.writeErr
}

// flush writes the batch, and then more.
func (c *Conn) flush(more []byte, timeout time.Duration) error {
	if c.direct != nil && len(more) == 0 { // mostly there is nothing to wait for
		c.writeDirect()
	}
	rest := c.out.rest()
	if c.writeErr == nil && len(rest)+len(more) > 0 {
		c.net.SetWriteDeadline(time.Now().Add(timeout))
		c.writeErr = c.writeAll(rest, more)
		c.net.SetWriteDeadline(time.Time{})
	}
	c.out.wrote(len(rest))
	return c.writeErr
}

func (c *Conn) writeAll(parts ...[]byte) error {
	if c.direct != nil {
		bufs := net.Buffers(parts) // one system call
		_, err := bufs.WriteTo(c.net)
		return err
	}
	for _, p := range parts {
		if len(p) == 0 {
			continue
		}
		if n, err := c.net.Write(p); err != nil {
			return err
		} else if n < len(p) {
			return io.ErrShortWrite
		}
	}
	return nil
}
