package socket

import (
	"encoding/binary"
	"io"
	"net"
	"sync"
	"time"
)

var batchBuffers = sync.Pool{New: func() any { b := make([]byte, 0, batchSize); return &b }}

// out is the outbound half of a serverConn.
type out struct {
	batch    *[]byte // whole frames, or what is left of them; nil if there is none
	sent     int     // bytes of the batch
	now      bool    // nothing may wait
	writeErr error   // after one, and after a close frame, nothing more is sent
}

// begin is called before the messages of a batch are added.
func (c *serverConn) begin() {
	c.writing.lock()
	c.beginLocked(false)
}

// beginNow reports false where it would have to wait.
func (c *serverConn) beginNow() bool {
	if c.direct == nil || !c.writing.tryLock() {
		return false
	}
	c.beginLocked(true)
	return true
}

func (c *serverConn) beginLocked(now bool) {
	if c.now = now; c.batch == nil {
		c.batch = batchBuffers.Get().(*[]byte)
	}
}

// add adds a frame to the batch. A server's frames have no mask, so they are put
// there as they go out. prefix is a part of the message.
func (c *serverConn) add(opcode byte, prefix string, data []byte) error {
	b := appendHeader(*c.batch, opcode, len(prefix)+len(data))
	b = append(b, prefix...)
	if c.now || len(b)+len(data) <= flushAt {
		*c.batch = append(b, data...)
		return nil
	}
	*c.batch = b
	return c.flush(data)
}

func appendHeader(b []byte, opcode byte, size int) []byte {
	b = append(b, final|opcode)
	switch {
	case size < 126:
		return append(b, byte(size))
	case size < 1<<16:
		return binary.BigEndian.AppendUint16(append(b, 126), uint16(size))
	}
	return binary.BigEndian.AppendUint64(append(b, 127), uint64(size))
}

// end sends the batch.
func (c *serverConn) end() error {
	defer c.writing.unlock()
	err := c.flush(nil)
	c.release()
	return err
}

// endNow sends as much of the batch as the network takes at once. It reports
// whether that was all; the rest goes before the next batch.
func (c *serverConn) endNow() (all bool, err error) {
	defer c.writing.unlock()
	if err = c.writeDirect(); err == nil && c.sent < len(*c.batch) {
		return false, nil
	}
	c.release()
	return err == nil, err
}

func (c *serverConn) writeDirect() error {
	if c.writeErr != nil {
		return c.writeErr
	}
	n, err := writeDirect(c.direct, (*c.batch)[c.sent:])
	c.sent += n
	c.writeErr = err
	return err
}

// release gives the buffer back.
func (c *serverConn) release() {
	if cap(*c.batch) == batchSize {
		*c.batch = (*c.batch)[:0]
		batchBuffers.Put(c.batch)
	}
	c.batch, c.sent = nil, 0
}

// flush writes the batch, and then more, within WriteTimeout.
func (c *serverConn) flush(more []byte) error {
	if c.direct != nil && len(more) == 0 && len(*c.batch) > 0 { // mostly there is nothing to wait for
		c.writeDirect()
	}
	rest := (*c.batch)[c.sent:]
	*c.batch, c.sent = (*c.batch)[:0], 0
	if c.writeErr != nil || len(rest)+len(more) == 0 {
		return c.writeErr
	}
	c.Conn.SetWriteDeadline(time.Now().Add(c.opts.WriteTimeout))
	c.writeErr = c.writeAll(rest, more)
	c.Conn.SetWriteDeadline(time.Time{}) // pongs are written beside the batches
	return c.writeErr
}

func (c *serverConn) writeAll(parts ...[]byte) error {
	if c.direct != nil {
		bufs := net.Buffers(parts) // one system call
		_, err := bufs.WriteTo(c.Conn)
		return err
	}
	for _, p := range parts {
		if len(p) == 0 {
			continue
		}
		if n, err := c.Conn.Write(p); err != nil {
			return err
		} else if n < len(p) {
			return io.ErrShortWrite
		}
	}
	return nil
}

// Write is coder/websocket's, for its control frames: each is one Write. What is
// left of a batch has to go before.
func (c *serverConn) Write(p []byte) (int, error) {
	c.writing.lock()
	defer c.writing.unlock()
	if c.batch != nil {
		c.flush(nil)
		c.release()
	}
	if c.writeErr != nil {
		return 0, c.writeErr
	}
	n, err := c.Conn.Write(p)
	if n < len(p) && err == nil {
		err = io.ErrShortWrite
	}
	if c.writeErr = err; err == nil && p[0] == final|opClose {
		c.writeErr = net.ErrClosed
	}
	return n, err
}

// endSoon is endNow for those who do not send a batch after it: a goroutine sends
// what the network does not take at once, for WriteTimeout at most.
func (c *serverConn) endSoon() {
	if all, err := c.endNow(); !all && err == nil {
		go func() { c.begin(); c.end() }()
	}
}

// ping sends a ping. It does not wait: where it would have to, a goroutine does,
// for WriteTimeout at most.
func (c *serverConn) ping() {
	if c.beginNow() {
		c.add(opPing, "", nil)
		c.endSoon()
		return
	}
	go func() {
		c.begin()
		c.add(opPing, "", nil)
		c.end()
	}()
}

// pong answers a ping. It does not wait either: while nothing can be written, the
// last of the pings counts, and one goroutine waits to answer that.
func (c *serverConn) pong(payload []byte) {
	if c.beginNow() {
		if c.sent == len(*c.batch) { // nothing is left of the batch before
			c.add(opPong, "", payload)
			c.endSoon()
			return
		}
		c.writing.unlock()
	}
	if c.owed.Swap(&payload) != nil {
		return
	}
	go func() {
		c.begin()
		c.add(opPong, "", *c.owed.Swap(nil))
		c.end()
	}()
}
