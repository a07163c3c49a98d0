package adapter

import "time"

// What an adapter needs whose clients may come back to a connection that they have
// lost, see wsrouter.Options.Recovery. Such a connection has a secret, which its client
// is told, and the frames of both directions are numbered from 1: those that the
// router sends for it after KindConnect, and those that the client sends to it.

// Recovery is what such a client says when it joins a namespace.
type Recovery struct {
	Secret   string // of the connection that it has lost; empty if there is none
	Received uint64 // how many frames of that it has got
}

// Session is what KindConnect tells such a client.
type Session struct {
	Secret  string
	Window  time.Duration // for which the client may be away
	Resumed bool          // it is the connection that was lost

	// Received is how many frames of the client's that connection has got.
	Received uint64
}

// Numbering is a Format that writes the number of a frame into it. It reports false
// for a frame that has no place for it: that is not numbered, and lost with the
// transport. With a Format that is none, all frames are numbered, and both ends count.
type Numbering interface {
	Format
	Number(f Frame, secret string, n uint64) (Frame, bool)
}

// Recoverable is a [Conn] that Link.Recover has returned.
type Recoverable interface {
	Conn

	// Received returns how many frames of the client's have been taken.
	Received() uint64

	// Secret returns that of the connection, by which a Numbering tells its frames from
	// those of others; empty as long as it is not decided which one it is.
	Secret() string

	// Acknowledge tells that the client has got so many frames. It reports false if so
	// many were never sent.
	Acknowledge(n uint64) bool

	// Refuse counts a frame of the client's that is no Message, and sends the answer
	// to it, which may be zero. It has a number, too.
	Refuse(answer Frame)
}
