// Package socket is the WebSocket under wsrouter's adapters: an endpoint of RFC
// 6455 with the deadlines, the gathered writes and the signs of life that a server
// of long-lived connections needs.
//
// The protocol does no I/O and has no clock: frame.go is how frames look, in.go
// what arriving bytes mean, out.go messages as bytes, close.go the closing
// handshake, deflate.go compression, and handshake.go how it begins. Conn drives it
// over a net.Conn, in conn.go, reader.go and writer.go; direct_unix.go does what a
// net.Conn cannot. coder/websocket dials, and answers handshakes that are wrong.
package socket

import (
	"errors"
	"time"
)

// Errors of Read that are the peer's fault and not the network's. They may be
// wrapped.
var (
	ErrTooBig   = errors.New("message too big")
	ErrProtocol = errors.New("protocol error")
	ErrUTF8     = errors.New("invalid UTF-8")
	ErrTimeout  = errors.New("message took too long")
)

// Options are the limits of one socket. All are needed, but for Compression.
type Options struct {
	Subprotocols   []string      // accepted by a server, offered by a client
	MaxMessage     int64         // bytes; beyond Read fails, and the caller closes
	MessageTimeout time.Duration // from a message's first byte to its last
	WriteTimeout   time.Duration // for one batch
	Alive          func()        // called whenever bytes arrive
	Compression    bool          // a server takes offers of permessage-deflate
	EventLoops     bool          // a server's TCP sockets wait at internal/loop, see Serve
	Control        func()        // called for every frame that arrives but a message's last
}
