package socket

import (
	"github.com/wsrouter/wsrouter/internal/loop"
)

// direct does what a net.Conn cannot: it waits for bytes without holding a buffer
// for them, and writes without waiting.
type direct interface {
	// read waits for bytes, and returns them in a buffer from the pool.
	read() (buf *[]byte, n int, err error)

	// write writes what the network takes at once.
	write(p []byte) (n int, err error)
}

// looped is a socket at an event loop.
type looped struct{ *loop.Conn }

func (l looped) read() (buf *[]byte, n int, err error) {
	for {
		if buf, n, err = l.try(); err != loop.ErrWait {
			return buf, n, err
		}
		l.Readable()
	}
}

// try is read, but returns loop.ErrWait instead of waiting.
func (l looped) try() (buf *[]byte, n int, err error) {
	buf = readBuffers.Get().(*[]byte)
	if n, err = l.TryRead(*buf); err != nil {
		readBuffers.Put(buf)
		buf = nil
	}
	return buf, n, err
}

func (l looped) write(p []byte) (n int, err error) {
	if n, err = l.TryWrite(p); err == loop.ErrWait {
		err = nil
	}
	return n, err
}
