package clientjs

import (
	"net"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// line is a TCP proxy. It can fall silent, in one direction or both: connections
// stay, new ones are accepted, and nothing passes until it resumes. Or it can be
// cut: connections end, and what was on its way is lost.
type line struct {
	addr string
	to   string

	mu       sync.Mutex    // guards up, down and conns
	up, down chan struct{} // closed while bytes pass to the server, to the client
	conns    map[net.Conn]bool
	copies   sync.WaitGroup
}

func newLine(t *testing.T, to string) *line {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	l := &line{addr: ln.Addr().String(), to: to, up: make(chan struct{}), down: make(chan struct{}), conns: make(map[net.Conn]bool)}
	close(l.up)
	close(l.down)
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
	l.copies.Go(func() { l.copy(near, far, &l.down) })
	l.copies.Go(func() { l.copy(far, near, &l.up) })
}

func (l *line) copy(dst, src net.Conn, gate *chan struct{}) {
	defer l.close(dst)
	buf := make([]byte, 4096)
	for {
		n, err := src.Read(buf)
		<-l.at(gate)
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

func (l *line) at(gate *chan struct{}) chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	return *gate
}

func (l *line) stall() {
	l.stallAt(&l.up)
	l.stallAt(&l.down)
}

func (l *line) stallUp()   { l.stallAt(&l.up) }
func (l *line) stallDown() { l.stallAt(&l.down) }

func (l *line) stallAt(gate *chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	*gate = make(chan struct{})
}

func (l *line) resume() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, gate := range []chan struct{}{l.up, l.down} {
		select {
		case <-gate:
		default:
			close(gate)
		}
	}
}
