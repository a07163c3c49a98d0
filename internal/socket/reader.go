package socket

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"time"
)

// readBuffers are shared: a connection that waits for bytes has none.
var readBuffers = sync.Pool{New: func() any { b := make([]byte, readSize); return &b }}

var errNoClose = errors.New("socket: no close frame in time")

// Read returns the next message, which is the caller's to keep. Its error is a
// *CloseError after a close frame, which has been answered; one of this package's
// where the peer is at fault, after which Close tells it so; os.ErrDeadlineExceeded
// if the peer does not take its pongs; io.EOF or another of the network's. A message
// that the network's end cuts off is never returned.
func (c *Conn) Read() (data []byte, text bool, err error) {
	c.reading.lock()
	defer c.reading.unlock()
	for c.readErr == nil {
		ev, err := c.event()
		if err != nil {
			c.readErr = c.networkFailed(err)
			break
		}
		switch ev.kind {
		case gotMessage:
			return ev.data, ev.text, nil
		case gotFragment, gotPong:
			c.opts.Control()
		case gotPing:
			c.opts.Control()
			c.pong(ev.data)
		default:
			c.heard(ev)
			c.answerClose(ev)
		}
	}
	return nil, false, c.readErr
}

// heard ends reading: with the peer's close frame, or after what it did wrong.
func (c *Conn) heard(ev event) {
	c.readErr = ev.err
	if ev.kind == gotClose {
		c.readErr = &CloseError{ev.code, string(ev.data)}
	}
	c.step((*ending).heard)
}

// answerClose sends a close frame back, and waits for the network's end.
func (c *Conn) answerClose(ev event) {
	if ev.kind != gotClose {
		return
	}
	if c.phase() == owing && !c.sendClose(closePayload(ev.code, "")) {
		c.step((*ending).end)
	}
	c.finish()
}

// event waits for the next event.
func (c *Conn) event() (event, error) {
	for {
		if len(c.unread) > 0 {
			n, ev := c.in.next(c.unread)
			c.take(n)
			if ev.kind != gotNothing {
				c.inTime()
				return ev, nil
			}
		}
		ev, err := c.fill()
		if err != nil || ev.kind != gotNothing {
			c.inTime()
			return ev, err
		}
	}
}

// take passes n bytes, and gives an empty buffer back.
func (c *Conn) take(n int) {
	if c.unread = c.unread[n:]; len(c.unread) == 0 && c.buf != nil {
		if len(*c.buf) == readSize {
			readBuffers.Put(c.buf)
		}
		c.buf, c.unread = nil, nil
	}
}

// fill waits for more bytes: there are none that are unread. Much of a long
// message goes where it belongs.
func (c *Conn) fill() (event, error) {
	c.limit()
	if room := c.in.room(); room != nil {
		n, err := c.net.Read(room)
		if n > 0 {
			c.opts.Alive()
			return c.in.placed(n), nil // what went wrong will go wrong again
		}
		return event{}, err
	}
	var n int
	var err error
	if c.direct != nil {
		c.buf, n, err = readDirect(c.direct)
	} else {
		c.buf = readBuffers.Get().(*[]byte)
		n, err = c.net.Read(*c.buf)
	}
	if n > 0 {
		c.unread = (*c.buf)[:n]
		c.opts.Alive()
		return event{}, nil
	}
	c.take(0)
	return event{}, err
}

// limit gives a message MessageTimeout from the second time that bytes of it have
// to be waited for: most arrive whole and cost no deadline.
func (c *Conn) limit() {
	if !c.late && c.in.begun() {
		c.late = true
		c.setMessageDeadline(time.Now().Add(c.opts.MessageTimeout))
	}
}

// inTime tells that no message is under way any more.
func (c *Conn) inTime() {
	if c.late && !c.in.begun() {
		c.late = false
		c.setMessageDeadline(time.Time{})
	}
}

func (c *Conn) setMessageDeadline(until time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.until = until
	c.setReadDeadline()
}

// networkFailed sorts the network's errors.
func (c *Conn) networkFailed(err error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	late := errors.Is(err, os.ErrDeadlineExceeded)
	if late && c.ending.phase == open { // the peer's fault, and the network is fine
		c.ending.heard(time.Now())
		c.until = time.Time{}
		return ErrTimeout
	}
	c.ending.end(time.Now())
	switch {
	case c.failure != nil:
		return c.failure
	case late:
		return errNoClose
	case err == io.EOF && c.in.begun():
		return io.ErrUnexpectedEOF
	}
	return err
}

// finish does the rest of the closing handshake, and closes the connection. The
// caller has the reading token.
func (c *Conn) finish() {
	for c.phase() == waiting {
		switch ev, err := c.event(); {
		case err != nil:
			c.step((*ending).end)
		case ev.kind == gotClose || ev.kind == gotFailure:
			c.heard(ev)
		}
	}
	if c.phase() == lingering {
		c.linger()
	}
	c.step((*ending).end)
	c.net.Close()
	c.take(len(c.unread))
	if c.readErr == nil {
		c.readErr = net.ErrClosed
	}
}

// linger closes the write side and discards what comes, so that what has been sent
// arrives: a connection that is closed with bytes unread is reset.
func (c *Conn) linger() {
	half, ok := c.net.(interface{ CloseWrite() error })
	_, clean := c.readErr.(*CloseError)
	switch {
	case ok:
		half.CloseWrite()
	case clean && !c.in.client: // the peer waits for us
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
