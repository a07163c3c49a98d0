// Package outbox holds the frames that one client has not been sent yet, and the
// one right to write them. It is where a slow client shows.
//
// A Queue is passive: it starts no goroutine and calls nothing, it says what its
// caller has to do next. Whoever puts a frame into an idle queue gets the right to
// write, takes batches until there are none, and has given the right back then.
//
//	        Put: Wake                      Close
//	idle ───────────────▶ busy ──────────────────────▶ closing ──┐
//	  ▲                     │ Take: Rest                  │      │ Take: Goodbye
//	  └─────────────────────┘                             ▼      ▼
//	  └─── Close, who gets the right ──────────────▶      closed ◀── Drop, from any
package outbox

import "sync"

// Mode says what a full queue means to whoever puts a frame.
type Mode uint8

const (
	Now    Mode = iota // Full is the last word
	Wait               // half of the queue is enough, and Full comes with a channel
	Direct             // as Wait; the frame likely comes alone
)

// Outcome says what has become of a frame.
type Outcome uint8

const (
	Queued Outcome = iota // somebody else writes it
	Wake                  // the caller has the right to write: Take
	InHand                // likewise, and the frame is the batch: Hand
	Full
	Closed
)

// Step says what whoever has the right to write has to do.
type Step uint8

const (
	Write   Step = iota // the batch, and Take again when it is written
	Rest                // nothing: the right is given back
	Goodbye             // tell the peer that this is the end; nothing follows
)

type phase uint8

const (
	idle    phase = iota // open, and nobody has the right to write
	busy                 // open, and somebody has it
	closing              // somebody has it, and says goodbye when all is written
	closed               // nothing is written any more
)

const (
	batchBytes = 64 << 10 // a batch of this size is long enough
	keepFrames = 16       // room that an idle queue keeps
)

// Frame is what is queued.
type Frame interface {
	Held() int // bytes that it costs in memory
}

// Queue is an outbox. All methods may be called concurrently, but for those of
// whoever has the right to write.
type Queue[F Frame] struct {
	limit int

	mu     sync.Mutex // guards everything below
	phase  phase
	queue  []F
	bytes  int // of queue
	hand   []F // the batch of whoever has the right to write
	inHand int // bytes of hand
	space  chan struct{}
}

// New returns a queue for about limit bytes. A frame that is larger goes into an
// empty queue.
func New[F Frame](limit int) *Queue[F] { return &Queue[F]{limit: limit} }

// Put adds a frame. With Full in the modes Wait and Direct it returns a channel
// that is closed when trying again may help.
func (q *Queue[F]) Put(f F, mode Mode) (Outcome, <-chan struct{}) {
	size := f.Held()
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.phase >= closing {
		return Closed, nil
	}
	limit := q.limit
	if mode != Now {
		limit /= 2 // the rest is left to those who cannot wait
	}
	if q.bytes > 0 && q.bytes+size > limit {
		if mode == Now {
			return Full, nil
		}
		if q.space == nil {
			q.space = make(chan struct{})
		}
		return Full, q.space
	}
	if q.phase == idle && mode == Direct {
		q.phase = busy
		q.hand, q.inHand = append(q.hand[:0], f), size
		return InHand, nil
	}
	q.queue = append(q.queue, f)
	q.bytes += size
	if q.phase == idle {
		q.phase = busy
		return Wake, nil
	}
	return Queued, nil
}

// Force adds frames whatever their size. It reports whether the caller has the
// right to write, and false too when the queue is closed: then nothing is added.
func (q *Queue[F]) Force(frames []F) (wake, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.phase >= closing {
		return false, false
	}
	for _, f := range frames {
		q.queue = append(q.queue, f)
		q.bytes += f.Held()
	}
	if q.phase != idle || len(frames) == 0 {
		return false, true
	}
	q.phase = busy
	return true, true
}

// Hand returns the batch in hand, to whoever has the right to write.
func (q *Queue[F]) Hand() []F { return q.hand }

// Take is called by whoever has the right to write: the batch in hand has been
// written. It returns the next one, which is the queue's again with the next Take,
// and how many bytes are no longer held.
func (q *Queue[F]) Take() (batch []F, freed int, step Step) {
	q.mu.Lock()
	defer q.mu.Unlock()
	freed, q.inHand = q.inHand, 0
	clear(q.hand)
	q.hand = q.hand[:0]
	switch {
	case q.phase == closed:
		q.hand = nil
		return nil, freed, Rest
	case len(q.queue) > 0:
		q.takeLocked()
		return q.hand, freed, Write
	case q.phase == closing:
		q.phase = closed
		return nil, freed, Goodbye
	}
	q.phase = idle
	if max(cap(q.queue), cap(q.hand)) > keepFrames {
		q.queue, q.hand = nil, nil
	}
	return nil, freed, Rest
}

// takeLocked moves a batch from the queue into the hand. What stays is not moved, or
// a long queue would be as often as it has batches.
func (q *Queue[F]) takeLocked() {
	n, size := 0, 0
	for n < len(q.queue) && size < batchBytes {
		size += q.queue[n].Held()
		n++
	}
	if n == len(q.queue) {
		q.hand, q.queue = q.queue, q.hand
	} else {
		q.hand = append(q.hand, q.queue[:n]...)
		clear(q.queue[:n])
		q.queue = q.queue[n:]
	}
	q.bytes -= size
	q.inHand = size
	q.signalLocked()
}

func (q *Queue[F]) signalLocked() {
	if q.space != nil {
		close(q.space)
		q.space = nil
	}
}

// Close ends putting: what is queued is still written, and then goodbye is said. The
// outcome is Wake if the caller has to do that, Queued if somebody else does, and
// Closed if nobody can any more.
func (q *Queue[F]) Close() Outcome {
	q.mu.Lock()
	defer q.mu.Unlock()
	was := q.phase
	if was == closed {
		return Closed
	}
	q.phase = closing
	q.signalLocked()
	if was == idle {
		return Wake
	}
	return Queued
}

// Drop ends everything: what is queued or in hand counts as lost. Whoever has the
// right to write may be using the batch in hand still.
func (q *Queue[F]) Drop() (lost, freed int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	lost, freed = len(q.queue), q.bytes+q.inHand
	if q.inHand > 0 {
		lost += len(q.hand)
	}
	q.phase = closed
	q.queue, q.bytes, q.inHand = nil, 0, 0
	q.signalLocked()
	return lost, freed
}

// State is a snapshot.
type State struct {
	Bytes   int  // that wait, without those in hand
	InHand  int  // of the batch in hand
	Writing bool // somebody has the right to write
	Closed  bool // nothing is written any more
}

// State returns what there is.
func (q *Queue[F]) State() State {
	q.mu.Lock()
	defer q.mu.Unlock()
	return State{q.bytes, q.inHand, q.phase == busy || q.phase == closing, q.phase == closed}
}
