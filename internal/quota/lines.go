package quota

import "sync/atomic"

// A connection with its handshake costs its client about 1 KB, which pays for six
// lines of the log. After that the frames sent over it pay.
const (
	freeLines = 6
	lineBytes = 256
)

// Lines keeps a client that joins and leaves in a loop from causing more log than
// traffic. Its methods are safe for concurrent use. The zero value has written
// nothing.
type Lines struct {
	written, leftOut atomic.Int64
}

// Take takes a line for a client with that many bytes of traffic so far. It reports
// false if the client has not paid for the line. leftOut is how many lines were
// refused since the last one that was allowed.
func (l *Lines) Take(traffic int64) (ok bool, leftOut int64) {
	if l.written.Add(1) > freeLines+traffic/lineBytes {
		l.written.Add(-1)
		l.leftOut.Add(1)
		return false, 0
	}
	return true, l.leftOut.Swap(0)
}
