package loop

import (
	"io"
	"net"
	"os"
	"sync"
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

	mu     sync.Mutex // guards what follows
	users  int        // system calls that use fd
	in     side
	out    side
	ended  bool // the peer has closed, or the socket failed: reading will find an end
	closed bool
}

// side is one direction.
type side struct {
	news   bool          // trying again may succeed
	wake   chan struct{} // closed when whoever waits should try again; nil if nobody waits
	parked bool          // ready must be called; only for the reading side
	late   bool          // the deadline has passed
	timer  *time.Timer   // nil if there is no deadline
}

// happened is called by the loop. An end is only found by reading, even after a
// short read.
func (c *Conn) happened(m mask) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if m&(readable|ending) != 0 {
		c.ended = c.ended || m&ending != 0
		c.in.news = true
		c.wakeLocked(&c.in)
	}
	if m&(writable|ending) != 0 {
		c.out.news = true
		c.wakeLocked(&c.out)
	}
}

// wakeLocked wakes the goroutine that waits. If there is none, and the side is
// parked, it starts ready.
func (c *Conn) wakeLocked(s *side) {
	if s.wake != nil {
		close(s.wake)
		s.wake = nil
	} else if s.parked {
		s.parked = false
		c.set.workers.run(c.ready)
	}
}

// Park stops reading until something happens. It reports false if something has
// already happened: then the caller must continue to read.
func (c *Conn) Park() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.in.parked = !c.in.news && !c.in.late && !c.closed
	return c.in.parked
}

// hold keeps the descriptor open until letGo. It reports false after Close.
func (c *Conn) hold() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.holdLocked()
}

func (c *Conn) holdLocked() bool {
	if !c.closed {
		c.users++
	}
	return !c.closed
}

// letGo closes the descriptor if that was the last use of it after Close.
func (c *Conn) letGo() {
	c.mu.Lock()
	c.users--
	last := c.closed && c.users == 0
	c.mu.Unlock()
	if last {
		c.set.kernel.remove(c.fd)
		c.set.drop(c)
	}
}

// Close closes the socket as soon as no system call uses it, and makes those who
// wait return. If the Conn is parked, ready is called. Close does not wait.
func (c *Conn) Close() error {
	c.mu.Lock()
	if !c.holdLocked() {
		c.mu.Unlock()
		return net.ErrClosed
	}
	c.closed = true
	for _, s := range []*side{&c.in, &c.out, &c.in} { // c.in twice: once for a reader that waits, once to start ready
		s.stop()
		c.wakeLocked(s)
	}
	c.mu.Unlock()
	c.letGo()
	return nil
}

// TryRead reads what has arrived, and returns [ErrWait] if nothing has. If it does
// not fill p, there was no more.
func (c *Conn) TryRead(p []byte) (n int, err error) {
	ended, err := c.beginRead()
	if err != nil {
		return 0, err
	}
	n, err = c.set.kernel.read(c.fd, p)
	if err == nil && (n == len(p) || n > 0 && ended) {
		c.more(ended)
	}
	c.letGo()
	if err == nil && n == 0 && len(p) > 0 {
		err = io.EOF
	}
	return n, err
}

// beginRead is called before a read: what happens from now on is news. The kernel
// reports an end only once, so it is kept until it has been read.
func (c *Conn) beginRead() (ended bool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.in.late:
		return false, os.ErrDeadlineExceeded // what has happened stays news
	case !c.holdLocked():
		return false, net.ErrClosed
	}
	ended = c.ended
	c.ended, c.in.news = false, false
	return ended, nil
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

// SetReadDeadline is that of a net.Conn. When the deadline passes while the Conn is
// parked, ready is called.
func (c *Conn) SetReadDeadline(t time.Time) error { return c.setDeadline(&c.in, t) }

// SetWriteDeadline is that of a net.Conn. It does not apply to TryWrite.
func (c *Conn) SetWriteDeadline(t time.Time) error { return c.setDeadline(&c.out, t) }

func (c *Conn) setDeadline(s *side, t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	s.stop()
	s.late = false
	if t.IsZero() || c.closed {
		return nil
	}
	var timer *time.Timer
	timer = time.AfterFunc(time.Until(t), func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if s.timer == timer { // otherwise it fires late
			s.late = true
			c.wakeLocked(s)
		}
	})
	s.timer = timer
	return nil
}

func (s *side) stop() {
	if s.timer != nil {
		s.timer.Stop()
		s.timer = nil
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
