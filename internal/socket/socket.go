// Package socket is the WebSocket under wsrouter's adapters: an endpoint of RFC
// 6455 with what a server of long-lived connections needs, which are deadlines,
// writes in batches, and reports that the peer is alive.
//
// The protocol does no I/O and has no clock. frame.go has the layout of frames,
// in.go what arriving bytes mean, out.go messages as bytes, close.go the closing
// handshake, deflate.go compression, and handshake.go the opening one. Conn runs it
// over a net.Conn, in conn.go, reader.go, writer.go and serve.go; direct_unix.go
// does what a net.Conn cannot. coder/websocket dials, and answers invalid
// handshakes.
package socket

import (
	"errors"
	"time"
)

// Errors of Read for which the peer, not the network, is at fault. They may be
// wrapped.
var (
	ErrTooBig   = errors.New("message too big")
	ErrProtocol = errors.New("protocol error")
	ErrUTF8     = errors.New("invalid UTF-8")
	ErrTimeout  = errors.New("message took too long")
)

// Options are the limits of one socket. All must be set, except Subprotocols,
// Compression and EventLoops.
type Options struct {
	Subprotocols   []string      // accepted by a server, offered by a client
	MaxMessage     int64         // in bytes; beyond it Read fails, and the caller closes
	MessageTimeout time.Duration // from a message's first byte to its last
	WriteTimeout   time.Duration // for one batch
	Alive          func()        // called whenever bytes arrive
	Compression    bool          // a server accepts permessage-deflate
	EventLoops     bool          // a server's TCP sockets wait at event loops, see Serve
	Control        func()        // called for every frame that arrives, except the last of a message
}
