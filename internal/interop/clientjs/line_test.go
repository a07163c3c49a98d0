package clientjs

import (
	"net"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// line is a TCP proxy that can fall silent: connections stay, new ones are taken,
// and nothing goes through until it resumes. Or it is cut: connections end, and what was
// under way is lost.
type line struct {
	addr string
	to   string

	mu     sync.Mutex    // guards open and conns
	open   chan struct{} // closed while bytes go through
	conns  map[net.Conn]bool
	copies sync.WaitGroup
}

func newLine(t *testing.T, to string) *line {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	l := &line{addr: ln.Addr().String(), to: to, open: make(chan struct{}), conns: make(map[net.Conn]bool)}
	close(l.open)
	l.copies.Go(func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			l.connect(conn)
		}
	})
	t.Cleanup(func() {
		ln.Close()
		l.resume()
		l.copies.Wait()
	})
	return l
}

func (l *line) connect(near net.Conn) {
	far, err := net.Dial("tcp", l.to)
	if err != nil {
		near.Close()
		return
	}
	l.mu.Lock()
	l.conns[near], l.conns[far] = true, true
	l.mu.Unlock()
	l.copies.Go(func() { l.copy(near, far) })
	l.copies.Go(func() { l.copy(far, near) })
}

func (l *line) copy(dst, src net.Conn) {
	defer l.close(dst)
	buf := make([]byte, 4096)
	for {
		n, err := src.Read(buf)
		<-l.gate()
		if n > 0 {
			if _, err := dst.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

func (l *line) close(conn net.Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.conns, conn)
	conn.Close()
}

func (l *line) cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for conn := range l.conns {
		conn.Close()
	}
	clear(l.conns)
}

func (l *line) gate() chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.open
}

func (l *line) stall() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open = make(chan struct{})
}

func (l *line) resume() {
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case <-l.open:
	default:
		close(l.open)
	}
}
