package adapter

import "time"

// This file is for adapters whose clients can resume a lost connection, see
// wsrouter.Options.Recovery. Such a connection has a secret that its client is
// told. The frames of each direction are numbered from 1: those that the router
// sends for the connection after KindConnect, and those that the client sends to
// it.

// Recovery is what a client that can resume says when it joins a namespace, see
// [Link.Recover].
type Recovery struct {
	Secret   string // of the lost connection; empty if there is none
	Received uint64 // how many of its frames the client has received
}

// Session is what KindConnect tells a client that can resume.
type Session struct {
	Secret  string
	Window  time.Duration // how long the client may be away
	Resumed bool          // this is the lost connection

	// Received is how many of the client's frames the connection has received.
	Received uint64
}

// Numbering is a Format that writes a number into each frame. It reports false for
// a frame that has no place for one; such a frame is not numbered and is lost with
// its transport. With a Format that is not a Numbering every frame has a number,
// and both ends count.
type Numbering interface {
	Format
	Number(f Frame, secret string, n uint64) (Frame, bool)
}

// Recoverable is the [Conn] that Link.Recover returns. All methods but Receive are
// safe for concurrent use.
type Recoverable interface {
	Conn

	// Received returns how many of the client's frames have been taken.
	Received() uint64

	// Secret returns the connection's secret, by which a Numbering tells its frames
	// from those of other connections. It is empty until it is decided which
	// connection the client gets.
	Secret() string

	// Acknowledge reports that the client has received n frames. It returns false
	// if fewer were sent.
	Acknowledge(n uint64) bool

	// Refuse counts a frame of the client that is not a Message, and sends an
	// answer to it, which may be zero. The frame has a number, too.
	Refuse(answer Frame)
}
