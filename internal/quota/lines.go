package quota

import "sync/atomic"

// A connection with its handshake costs its client about 1 KB, which pays for six
// lines of the log; from then on so do the frames that go over it.
const (
	freeLines = 6
	lineBytes = 256
)

// Lines keeps a client that joins and leaves forever from writing more log than
// traffic. Its methods may be called concurrently. The zero value has written none.
type Lines struct {
	written, leftOut atomic.Int64
}

// Take takes a line for a client whose traffic was that many bytes so far, and reports
// false if it has not paid for it. Before one that is allowed leftOut others were not,
// since the last that was.
func (l *Lines) Take(traffic int64) (ok bool, leftOut int64) {
	if l.written.Add(1) > freeLines+traffic/lineBytes {
		l.written.Add(-1)
		l.leftOut.Add(1)
		return false, 0
	}
	return true, l.leftOut.Swap(0)
}
