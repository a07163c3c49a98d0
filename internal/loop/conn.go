package loop

import (
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// Conn is a socket at a loop. Read and Write wait as those of a net.Conn do,
// TryRead and TryWrite do not wait. One goroutine at a time may read, and one may
// write; the other methods may be called by any.
//
// The reading side is in one of three states. While somebody reads it is running:
//
//	running ── Park ──▶ parked: nobody reads; what happens starts ready
//	   │ Read finds nothing: it waits, and what happens wakes it
//	   ▼
//	waiting
type Conn struct {
	fd    int
	set   *set
	id    id
	ready func()

	users atomic.Int64 // of fd, including the owner until Close; plus closedBit after that

	mu     sync.Mutex // guards what follows
	in     side
	out    side
	parked bool
	ended  bool // the peer has closed, or the socket failed: reading will find an end
	closed bool
}

// side is one direction.
type side struct {
	news    bool          // trying again may succeed
	wake    chan struct{} // closed when whoever waits should try again; nil if nobody waits
	late    bool          // the deadline has passed
	timer   *time.Timer   // nil before the first deadline
	setting int           // counts deadlines, so that a timer that fires late is recognized
}

func (s *side) changed() {
	if s.wake != nil {
		close(s.wake)
		s.wake = nil
	}
}

// happened is called by the loop. An end is only found by reading, even after a
// short read.
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

// wakeReaderLocked wakes the goroutine that waits to read; if there is none, it
// starts ready.
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

// Park stops reading until something happens. It reports false if something has
// already happened: then the caller must continue to read.
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

// Close closes the socket as soon as no system call uses it, and makes those who
// wait return. If the Conn is parked, ready is called. Close does not wait.
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

// TryRead reads what has arrived, and returns [ErrWait] if nothing has. If it does
// not fill p, there was no more.
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

// beginRead is called before a read: what happens from now on is news. The kernel
// reports an end only once, so it is kept until it has been read.
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

// Readable waits until a Read would probably not wait. No buffer is needed until
// then.
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

// SetReadDeadline is that of a net.Conn. When the deadline passes while the Conn is
// parked, ready is called.
func (c *Conn) SetReadDeadline(t time.Time) error { return c.setDeadline(&c.in, t) }

// SetWriteDeadline is that of a net.Conn. It does not apply to TryWrite.
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

// CloseWrite closes the write side: the peer reads an end.
func (c *Conn) CloseWrite() error {
	if !c.hold() {
		return net.ErrClosed
	}
	defer c.letGo()
	return c.set.kernel.closeWrite(c.fd)
}
