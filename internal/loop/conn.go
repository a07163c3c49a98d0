package loop

import (
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// Conn is a socket at a loop. Read and Write wait as those of a net.Conn do, TryRead
// and TryWrite do not. One goroutine at a time reads, and one writes; the other methods
// may be called by any.
//
// The reading side is in one of three states. Whoever reads has it running:
//
//	running ── Park ──▶ parked: nobody reads; what happens starts ready
//	   │ Read, where there is nothing: it waits, and what happens wakes it
//	   ▼
//	waiting
type Conn struct {
	fd    int
	set   *set
	id    id
	ready func()

	users atomic.Int64 // of fd, and the owner among them until Close; closedBit after that

	mu     sync.Mutex // guards what follows
	in     side
	out    side
	parked bool
	ended  bool // the peer has closed, or the socket failed: there is an end to be read
	closed bool
}

// side is one direction.
type side struct {
	news    bool          // it may be worthwhile to try
	wake    chan struct{} // closed when somebody who waits shall try again; nil if nobody does
	late    bool          // the deadline has passed
	timer   *time.Timer   // nil before the first deadline
	setting int           // counts deadlines, for a timer that fires late
}

func (s *side) changed() {
	if s.wake != nil {
		close(s.wake)
		s.wake = nil
	}
}

// happened is called by the loop. An end has to be read to be seen, however little was
// read last.
func (c *Conn) happened(m mask) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if m&(readable|ending) != 0 {
		c.ended = c.ended || m&ending != 0
		c.in.news = true
		c.wakeReaderLocked()
	}
	if m&(writable|ending) != 0 {
		c.out.news = true
		c.out.changed()
	}
}

// wakeReaderLocked wakes who waits to read; if nobody does, it starts ready.
func (c *Conn) wakeReaderLocked() {
	if c.in.wake != nil {
		c.in.changed()
	} else {
		c.unparkLocked()
	}
}

func (c *Conn) unparkLocked() {
	if c.parked {
		c.parked = false
		c.set.workers.run(c.ready)
	}
}

// Park gives reading up until something happens. It reports false if something has
// happened already: then the caller goes on reading.
func (c *Conn) Park() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.parked = !c.in.news && !c.in.late && !c.closed
	return c.parked
}

// closedBit is set in Conn.users by Close.
const closedBit = 1 << 32

// hold keeps the descriptor open until letGo. It reports false after Close.
func (c *Conn) hold() bool {
	for {
		n := c.users.Load()
		if n&closedBit != 0 {
			return false
		}
		if c.users.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

// letGo closes the descriptor if it was the last use of it after Close.
func (c *Conn) letGo() {
	if c.users.Add(-1) == closedBit {
		c.set.remove(c)
	}
}

// Close closes the socket, as soon as no system call uses it, and makes those who wait
// return. If the Conn is parked, ready is called. It does not wait.
func (c *Conn) Close() error {
	if !c.hold() {
		return net.ErrClosed
	}
	c.mu.Lock()
	first := !c.closed
	c.closed = true
	c.stopLocked(&c.in)
	c.stopLocked(&c.out)
	c.in.changed()
	c.unparkLocked()
	c.out.changed()
	c.mu.Unlock()
	if first {
		c.users.Add(closedBit - 1) // the owner's use has ended
	}
	c.letGo()
	return nil
}

// TryRead reads what is there, and returns [ErrWait] if there is nothing. Less than
// fits into p is all there was.
func (c *Conn) TryRead(p []byte) (n int, err error) {
	ended, late := c.beginRead()
	switch {
	case late:
		return 0, os.ErrDeadlineExceeded
	case !c.hold():
		return 0, net.ErrClosed
	}
	n, err = c.set.kernel.read(c.fd, p)
	c.letGo()
	switch {
	case err != nil:
		return 0, err
	case n == 0 && len(p) > 0:
		return 0, io.EOF
	case n == len(p) || ended:
		c.more(ended)
	}
	return n, nil
}

// beginRead is called before a read: what happens from now on is news. An end is told
// once, and so it is kept until it has been read.
func (c *Conn) beginRead() (ended, late bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.in.late {
		return false, true // nothing is read, and what has happened stays news
	}
	ended = c.ended
	c.ended, c.in.news = false, false
	return ended, false
}

func (c *Conn) more(ended bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.in.news, c.ended = true, c.ended || ended
}

// TryWrite writes what the network takes at once, and returns [ErrWait] if that is
// nothing.
func (c *Conn) TryWrite(p []byte) (n int, err error) {
	if !c.hold() {
		return 0, net.ErrClosed
	}
	defer c.letGo()
	return c.set.kernel.write(c.fd, p)
}

// Read waits for bytes.
func (c *Conn) Read(p []byte) (n int, err error) {
	for {
		if n, err = c.TryRead(p); err != ErrWait {
			return n, err
		}
		c.wait(&c.in)
	}
}

// Readable waits until a Read would likely not wait, so that it needs no buffer
// meanwhile.
func (c *Conn) Readable() { c.wait(&c.in) }

// Write writes all of p.
func (c *Conn) Write(p []byte) (n int, err error) {
	for n < len(p) {
		if c.beginWrite() {
			return n, os.ErrDeadlineExceeded
		}
		m, err := c.TryWrite(p[n:])
		n += m
		if err == ErrWait {
			c.wait(&c.out)
		} else if err != nil {
			return n, err
		}
	}
	return n, nil
}

// beginWrite is called before a write: what happens from now on is news.
func (c *Conn) beginWrite() (late bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.out.news = false
	return c.out.late
}

// wait waits for news, for the deadline, or for Close.
func (c *Conn) wait(s *side) {
	for {
		c.mu.Lock()
		if s.news || s.late || c.closed {
			c.mu.Unlock()
			return
		}
		if s.wake == nil {
			s.wake = make(chan struct{})
		}
		wake := s.wake
		c.mu.Unlock()
		<-wake
	}
}

// SetReadDeadline is that of a net.Conn. A Conn that is parked is ready when it is late.
func (c *Conn) SetReadDeadline(t time.Time) error { return c.setDeadline(&c.in, t) }

// SetWriteDeadline is that of a net.Conn. TryWrite has no deadline.
func (c *Conn) SetWriteDeadline(t time.Time) error { return c.setDeadline(&c.out, t) }

func (c *Conn) setDeadline(s *side, t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stopLocked(s)
	s.late = false
	if t.IsZero() || c.closed {
		return nil
	}
	d := time.Until(t)
	if d <= 0 {
		c.lateLocked(s)
		return nil
	}
	setting := s.setting
	s.timer = time.AfterFunc(d, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if setting == s.setting {
			c.lateLocked(s)
		}
	})
	return nil
}

func (c *Conn) stopLocked(s *side) {
	s.setting++
	if s.timer != nil {
		s.timer.Stop()
		s.timer = nil
	}
}

func (c *Conn) lateLocked(s *side) {
	s.late = true
	if s == &c.in {
		c.wakeReaderLocked()
	} else {
		s.changed()
	}
}

// CloseWrite closes the write side: the peer sees an end.
func (c *Conn) CloseWrite() error {
	if !c.hold() {
		return net.ErrClosed
	}
	defer c.letGo()
	return c.set.kernel.closeWrite(c.fd)
}
