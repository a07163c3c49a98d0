package socket

import (
	"bufio"
	"net"
	"net/http"
	"sync/atomic"
	"syscall"
)

// hijacker stands between websocket.Accept and the server's ResponseWriter to
// put a serverConn under the WebSocket.
type hijacker struct {
	http.ResponseWriter
	opts *Options
	conn *serverConn
}

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

// WriteHeader leaves the 101 to Hijack.
func (h *hijacker) WriteHeader(code int) {
	if code != http.StatusSwitchingProtocols {
		h.ResponseWriter.WriteHeader(code)
	}
}

// maxControl is the size in bytes of a server's largest control frame. coder/websocket
// gets buffers of this size: with a smaller one it would write control frames in
// pieces, and what is larger does not go through its buffers.
const maxControl = 2 + 125

// Hijack finds the server's Hijacker through any number of wrappers that offer
// Unwrap, and then writes the 101 by itself: wrappers that compress keep a
// header back until there is a body. What the server has read may be the first
// bytes of a client that did not wait for the 101; they come first.
func (h *hijacker) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, brw, err := http.NewResponseController(h.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	early, _ := brw.Reader.Peek(brw.Reader.Buffered())
	h.conn = newServerConn(conn, h.opts, early)
	head := bytesBuffer("HTTP/1.1 101 Switching Protocols\r\n")
	h.Header().Write(&head)
	conn.Write(append(head, "\r\n"...)) // if the client has gone, Read will tell
	return h.conn, bufio.NewReadWriter(bufio.NewReaderSize(h.conn, 16), bufio.NewWriterSize(h.conn, maxControl)), nil
}

// bytesBuffer is an io.Writer that only grows.
type bytesBuffer []byte

func (b *bytesBuffer) Write(p []byte) (int, error) {
	*b = append(*b, p...)
	return len(p), nil
}

// serverConn is the net.Conn under a server's WebSocket. coder/websocket reads
// and writes what needs it: control frames, fragmented and large messages,
// mistakes, the closing handshake. Whole messages, which nearly all are, go past it.
type serverConn struct {
	net.Conn
	direct syscall.RawConn // to the socket itself; nil where there is none
	opts   *Options

	broken  atomic.Bool // the network failed, not the peer
	limited atomic.Bool // there is a deadline for the message that has begun

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
