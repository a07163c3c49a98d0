package load

import (
	"bytes"
	"errors"
	"fmt"
	"syscall"
)

// loop drives all connections from one thread, because one system call then reports
// many sockets that have something to read.
type loop struct {
	dialect *dialect
	conns   []*conn
	byFD    []*conn
	epoll   int
	ready   []syscall.EpollEvent
	buf     []byte

	want []byte // the answer, byte for byte; nil until the first has been checked
	odd  func(c *conn, payload []byte) (answers int, err error)

	// ended, if not nil, is called for a connection that has failed or was closed.
	// Otherwise that is an error.
	ended func(c *conn, why error) error
}

// closeError says that the server has sent a close frame.
type closeError struct{ payload []byte }

func (err *closeError) Error() string { return fmt.Sprintf("the server closed: %.100q", err.payload) }

func newLoop(d *dialect) (*loop, error) {
	epoll, err := syscall.EpollCreate1(syscall.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("epoll: %w", err)
	}
	return &loop{
		dialect: d,
		epoll:   epoll,
		ready:   make([]syscall.EpollEvent, 256),
		buf:     make([]byte, 256<<10),
	}, nil
}

func (l *loop) add(conns []*conn) error {
	for _, c := range conns {
		for len(l.byFD) <= c.fd {
			l.byFD = append(l.byFD, nil)
		}
		l.byFD[c.fd] = c
		event := syscall.EpollEvent{Events: syscall.EPOLLIN, Fd: int32(c.fd)}
		if err := syscall.EpollCtl(l.epoll, syscall.EPOLL_CTL_ADD, c.fd, &event); err != nil {
			return fmt.Errorf("epoll: %w", err)
		}
	}
	l.conns = append(l.conns, conns...)
	return nil
}

func (l *loop) close() {
	for _, c := range l.conns {
		l.byFD[c.fd] = nil
		syscall.Close(c.fd)
	}
	l.conns = nil
}

func (l *loop) end() {
	l.close()
	syscall.Close(l.epoll)
}

// poll waits for at most timeout milliseconds, and calls handle for each connection
// that got answers, with their number.
func (l *loop) poll(timeout int, handle func(c *conn, answers int) error) error {
	n, err := syscall.EpollWait(l.epoll, l.ready, timeout)
	if err == syscall.EINTR {
		return nil
	}
	if err != nil {
		return fmt.Errorf("epoll: %w", err)
	}
	for _, event := range l.ready[:n] {
		c := l.byFD[event.Fd]
		answers, err := l.serve(c, event.Events)
		if err != nil && l.ended != nil {
			err = l.ended(c, err)
		}
		if err != nil {
			return err
		}
		if answers > 0 {
			if err := handle(c, answers); err != nil {
				return err
			}
		}
	}
	return nil
}

// serve does what a socket is ready for, and returns how many answers it read.
func (l *loop) serve(c *conn, events uint32) (answers int, err error) {
	if events&syscall.EPOLLOUT != 0 {
		if err := l.flush(c); err != nil {
			return 0, err
		}
	}
	if events&^syscall.EPOLLOUT == 0 {
		return 0, nil
	}
	return l.read(c)
}

// read reads what the socket has and returns how many answers were in it.
func (l *loop) read(c *conn) (answers int, err error) {
	n, err := syscall.Read(c.fd, l.buf)
	if err == syscall.EAGAIN || err == syscall.EINTR {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("read: %w", err)
	}
	if n == 0 {
		return 0, errors.New("the server hung up")
	}
	b := l.buf[:n]
	if len(c.in) > 0 {
		c.in = append(c.in, b...)
		b = c.in
	}
	for {
		opcode, payload, rest, err := readFrame(b)
		if err == errShort {
			c.in = append(c.in[:0], b...)
			return answers, nil
		}
		if err != nil {
			return answers, err
		}
		b = rest
		k, err := l.frame(c, opcode, payload)
		if err != nil {
			return answers, err
		}
		answers += k
	}
}

// frame handles one frame and returns how many answers were in it.
func (l *loop) frame(c *conn, opcode byte, payload []byte) (answers int, err error) {
	switch opcode {
	case opText:
		if !l.dialect.lines {
			return l.message(c, payload)
		}
		for line := range bytes.SplitSeq(payload, []byte("\n")) {
			k, err := l.message(c, line)
			if err != nil {
				return answers, err
			}
			answers += k
		}
		return answers, nil
	case opPing:
		c.pings++
		return 0, l.write(c, appendFrame(nil, opPong, payload))
	case opPong:
		return 0, nil
	case opClose:
		return 0, &closeError{bytes.Clone(payload)}
	default:
		return 0, fmt.Errorf("a frame of opcode %d", opcode)
	}
}

func (l *loop) message(c *conn, payload []byte) (answers int, err error) {
	switch {
	case l.want != nil && bytes.Equal(payload, l.want):
		return 1, nil
	case l.dialect.ping != nil && bytes.Equal(payload, l.dialect.ping):
		c.pings++
		return 0, l.write(c, appendFrame(nil, opText, l.dialect.pong))
	case l.dialect.ack != nil && bytes.Equal(payload, l.dialect.ack), len(payload) == 0:
		return 0, nil
	case l.odd != nil:
		return l.odd(c, payload)
	default:
		return 0, fmt.Errorf("wrong answer %.100q, want %.100q", payload, l.want)
	}
}

// write sends b, whose bytes must not change, after what is already waiting to be
// sent.
func (l *loop) write(c *conn, b []byte) error {
	if len(c.out) > 0 {
		c.out = append(c.out, b...)
		return nil
	}
	n, err := syscall.Write(c.fd, b)
	if err != nil && err != syscall.EAGAIN && err != syscall.EINTR {
		return fmt.Errorf("write: %w", err)
	}
	if n = max(n, 0); n < len(b) {
		c.out = b[n:len(b):len(b)]
		return l.watch(c, syscall.EPOLLIN|syscall.EPOLLOUT)
	}
	return nil
}

func (l *loop) flush(c *conn) error {
	b := c.out
	c.out = nil
	if err := l.write(c, b); err != nil || len(c.out) > 0 {
		return err
	}
	return l.watch(c, syscall.EPOLLIN)
}

func (l *loop) watch(c *conn, events uint32) error {
	event := syscall.EpollEvent{Events: events, Fd: int32(c.fd)}
	return syscall.EpollCtl(l.epoll, syscall.EPOLL_CTL_MOD, c.fd, &event)
}
