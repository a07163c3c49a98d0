package clientjs

import (
	"net"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// line is a TCP proxy that can fall silent: connections stay, new ones are taken,
// and nothing goes through until it resumes.
type line struct {
	addr string
	to   string

	mu     sync.Mutex    // guards open
	open   chan struct{} // closed while bytes go through
	copies sync.WaitGroup
}

func newLine(t *testing.T, to string) *line {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	l := &line{addr: ln.Addr().String(), to: to, open: make(chan struct{})}
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
	l.copies.Go(func() { l.copy(near, far) })
	l.copies.Go(func() { l.copy(far, near) })
}

func (l *line) copy(dst, src net.Conn) {
	defer dst.Close()
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
