package socket

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"github.com/wsrouter/wsrouter/internal/loop"
)

// readBuffers are shared: a connection that waits for bytes holds none.
var readBuffers = sync.Pool{New: func() any { b := make([]byte, readSize); return &b }}

var errNoClose = errors.New("socket: no close frame in time")

// Read returns the next message, which the caller may keep. Its error is
//   - a *CloseError after a close frame, which Close answers;
//   - an error of this package if the peer is at fault, and Close then tells the
//     peer so;
//   - os.ErrDeadlineExceeded if the peer does not take its pongs;
//   - io.EOF or another error of the network.
//
// A message that is cut off by the end of the network is never returned.
func (c *Conn) Read() (data []byte, text bool, err error) { return c.next(waits) }

// patience says what a reader does if there is no message.
type patience uint8

const (
	waits  patience = iota // waits for one
	tries                  // reads, but returns loop.ErrWait instead of waiting
	parses                 // parses what has been read, and returns loop.ErrWait instead of reading
)

func (c *Conn) next(how patience) (data []byte, text bool, err error) {
	if how != parses {
		c.reading.Lock()
	} else if !c.reading.TryLock() { // a closer is reading, which may take seconds
		return nil, false, loop.ErrWait
	}
	defer c.reading.Unlock()
	c.patience = how
	for c.readErr == nil {
		var ev event
		if err := c.event(&ev); err == loop.ErrWait {
			return nil, false, err
		} else if err != nil {
			c.readErr = c.networkFailed(err)
			break
		}
		switch ev.kind {
		case gotMessage:
			return ev.data, ev.text, nil
		case gotFragment, gotPong:
			c.control()
		case gotPing:
			c.control()
			c.pong(ev.data)
		default:
			c.heard(&ev)
		}
	}
	return nil, false, c.readErr
}

// heard ends reading, after the peer's close frame or a mistake of the peer.
func (c *Conn) heard(ev *event) {
	c.readErr = ev.err
	if ev.kind == gotClose {
		ce := &CloseError{ev.code, string(ev.data)}
		c.readErr = ce
		c.peer.Store(ce)
	}
	c.step((*ending).heard)
}

// event waits for the next event, and stores it in ev.
func (c *Conn) event(ev *event) error {
	for ev.kind == gotNothing {
		if c.buf == nil {
			if err := c.fill(ev); err != nil {
				return err
			}
			continue
		}
		c.take(c.in.next((*c.buf)[c.from:c.to], ev))
	}
	if c.late && !c.in.begun() { // no message is incomplete any more
		c.late = false
		c.setMessageDeadline(time.Time{})
	}
	return nil
}

// take skips n bytes, and gives an empty buffer back.
func (c *Conn) take(n int) {
	if c.from += int32(n); c.from == c.to {
		if len(*c.buf) == readSize {
			readBuffers.Put(c.buf)
		}
		c.buf, c.from, c.to = nil, 0, 0
	}
}

// fill waits for more bytes; call it when none are unread. It reads most of a long
// message directly into place.
func (c *Conn) fill(ev *event) (err error) {
	c.limit()
	n := 0
	room := c.in.room()
	switch {
	case c.patience == parses:
		return loop.ErrWait
	case room != nil:
		if n, err = c.readInto(room); n > 0 {
			c.in.placed(n, ev)
		}
	case c.patience == tries:
		c.buf, n, err = looped{c.loop}.try()
		c.to = int32(n)
	case c.direct != nil:
		c.buf, n, err = c.direct.read()
		c.to = int32(n)
	default:
		c.buf = readBuffers.Get().(*[]byte)
		n, err = c.net.Read(*c.buf)
		c.to = int32(n)
		if n == 0 {
			c.take(0)
		}
	}
	if n > 0 {
		c.alive()
		return nil // the next read fails with the same error
	}
	return err
}

func (c *Conn) readInto(room []byte) (n int, err error) {
	if c.patience == tries {
		return c.loop.TryRead(room)
	}
	return c.net.Read(room)
}

// limit gives a message MessageTimeout when its bytes have to be waited for a
// second time. Most messages arrive whole and need no deadline.
func (c *Conn) limit() {
	if !c.late && c.in.begun() {
		c.late = true
		c.setMessageDeadline(time.Now().Add(c.messageTimeout))
	}
}

// setMessageDeadline does nothing once the closing handshake has a deadline of its
// own.
func (c *Conn) setMessageDeadline(until time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ending.phase == open {
		c.net.SetReadDeadline(until)
	}
}

// networkFailed classifies an error of the network.
func (c *Conn) networkFailed(err error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	late := errors.Is(err, os.ErrDeadlineExceeded)
	if late && c.ending.phase == open { // the peer is at fault, not the network
		c.ending.heard(time.Now())
		return ErrTimeout
	}
	c.ending.end(time.Now())
	switch {
	case c.slow:
		return os.ErrDeadlineExceeded
	case late:
		return errNoClose
	case err == io.EOF && c.in.begun():
		return io.ErrUnexpectedEOF
	}
	return err
}

// finish completes the closing handshake, and closes the connection. The caller
// must hold the reading token.
func (c *Conn) finish() {
	c.patience = waits
	for c.phase() == waiting {
		var ev event
		switch err := c.event(&ev); {
		case err != nil:
			c.step((*ending).end)
		case ev.kind == gotClose || ev.kind == gotFailure:
			c.heard(&ev)
		}
	}
	if c.phase() == lingering {
		c.linger()
	}
	c.step((*ending).end)
	c.net.Close()
	if c.buf != nil {
		c.take(int(c.to - c.from))
	}
	if c.readErr == nil {
		c.readErr = net.ErrClosed
	}
}

// linger closes the write side and discards what arrives, so that what has been
// sent reaches the peer: closing a connection with unread bytes resets it.
func (c *Conn) linger() {
	half, ok := c.net.(interface{ CloseWrite() error })
	_, clean := c.readErr.(*CloseError)
	switch {
	case ok:
		half.CloseWrite()
	case clean && !c.in.client: // the peer waits for us to close
		return
	}
	buf := readBuffers.Get().(*[]byte)
	defer readBuffers.Put(buf)
	for {
		if _, err := c.net.Read(*buf); err != nil {
			return
		}
	}
}
