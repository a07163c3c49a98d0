package socket

import (
	"net"
	"net/http"
	"sync/atomic"
	"syscall"
)

// canHijack reports whether the server's own ResponseWriter, beneath all wrappers
// that offer Unwrap, can give its connection away. Wrappers such as gin's have a
// Hijack in any case, which panics if theirs cannot.
func canHijack(w http.ResponseWriter) bool {
	for {
		wrapper, ok := w.(interface{ Unwrap() http.ResponseWriter })
		if !ok {
			_, ok = w.(http.Hijacker)
			return ok
		}
		w = wrapper.Unwrap()
	}
}

// serverConn is the net.Conn under a server's WebSocket. coder/websocket reads
// and writes what needs it: fragmented and large messages, pings between their
// frames, mistakes, the closing handshake. Whole messages, which nearly all are,
// and other pings and pongs go past it.
type serverConn struct {
	net.Conn
	direct syscall.RawConn // to the socket itself; nil where there is none
	opts   *Options

	broken  atomic.Bool // the network failed, not the peer
	limited atomic.Bool // there is a deadline for the message that has begun

	owed atomic.Pointer[[]byte] // the pong that a goroutine waits to send

	reading token // guards what follows; whoever reads has it: the reader, or a closer
	in
	readErr error // of the network

	writing token // guards what follows
	out
}

// token is a mutex that a testing/synctest bubble sees somebody wait for.
type token chan struct{}

func newToken() token   { return make(token, 1) }
func (t token) lock()   { t <- struct{}{} }
func (t token) unlock() { <-t }

func (t token) tryLock() bool {
	select {
	case t <- struct{}{}:
		return true
	default:
		return false
	}
}

func newServerConn(conn net.Conn, opts *Options, early []byte) *serverConn {
	c := &serverConn{Conn: conn, opts: opts, reading: newToken(), writing: newToken()}
	c.direct = direct(conn)
	if len(early) > 0 {
		c.put(early)
	}
	return c
}
