// Package tail keeps what was sent on a connection and is not known to have
// arrived, to send it again to a client that resumes.
//
// Frames are numbered from 1 as they are added. The peer says how many it has
// received; those are forgotten. Frames that exceed the limit are forgotten, too;
// after that the peer can only resume if it has received them.
//
//	   Acknowledge, or too many bytes          Add
//	forgotten │ kept: 8 9 10 11 ◀───────────────
//	       base                sent
//
// A Tail is passive, and its methods are safe for concurrent use.
package tail

import "sync"

// Frame is what is kept.
type Frame interface {
	Held() int // bytes it costs in memory
}

// Tail is the tail of one connection.
type Tail[F Frame] struct {
	limit int

	mu    sync.Mutex // guards everything below
	base  uint64     // the number of the last frame that is not kept
	torn  uint64     // the number of the last frame forgotten without being acknowledged
	kept  []F
	bytes int // of kept
}

// New returns a tail that keeps about limit bytes. A single frame may be larger.
func New[F Frame](limit int) *Tail[F] { return &Tail[F]{limit: limit} }

// Sent returns how many frames have been added, which is the number of the last
// one.
func (t *Tail[F]) Sent() uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.base + uint64(len(t.kept))
}

// Add adds a frame, and forgets the oldest ones if that exceeds the limit. It
// returns by how many bytes the tail has grown, or shrunk if negative.
func (t *Tail[F]) Add(f F) (grown int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	was := t.bytes
	t.kept = append(t.kept, f)
	t.bytes += f.Held()
	n := 0
	for rest := t.bytes; rest > t.limit && n < len(t.kept)-1; n++ {
		rest -= t.kept[n].Held()
	}
	if n > 0 {
		t.forgetLocked(n)
		t.torn = t.base
	}
	return t.bytes - was
}

// Fits reports whether size more bytes can be kept without forgetting anything,
// within half of the limit if half is set, for senders that can wait.
func (t *Tail[F]) Fits(size int, half bool) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	limit := t.limit
	if half {
		limit /= 2
	}
	return t.bytes == 0 || t.bytes+size <= limit
}

// Torn reports whether something has been forgotten that is not known to have
// arrived.
func (t *Tail[F]) Torn() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.torn > 0
}

// Acknowledge forgets the first n frames, because they have arrived. It returns how
// many bytes that frees. ok is false if fewer than n were sent; then nothing is
// forgotten.
func (t *Tail[F]) Acknowledge(n uint64) (freed int, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if n > t.base+uint64(len(t.kept)) {
		return 0, false
	}
	was := t.bytes
	if n > t.base {
		t.forgetLocked(int(n - t.base))
	}
	if n >= t.torn {
		t.torn = 0
	}
	return was - t.bytes, true
}

// After returns the frames after the first n, which a peer that has those n misses.
// ok is false if some of them are forgotten, or if fewer than n were sent.
func (t *Tail[F]) After(n uint64) (frames []F, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if n < t.base || n > t.base+uint64(len(t.kept)) {
		return nil, false
	}
	return append(frames, t.kept[n-t.base:]...), true
}

// Bytes returns how many bytes are held.
func (t *Tail[F]) Bytes() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.bytes
}

// keepFrames is the capacity that an empty tail keeps.
const keepFrames = 32

func (t *Tail[F]) forgetLocked(n int) {
	for _, f := range t.kept[:n] {
		t.bytes -= f.Held()
	}
	t.base += uint64(n)
	clear(t.kept[:n])
	t.kept = t.kept[n:]
	if len(t.kept) == 0 && cap(t.kept) > keepFrames {
		t.kept = nil
	}
}
