// Package outbox holds the frames that wait to be sent to one client, and the right
// to write them. It is where a slow client shows.
//
// A Queue is passive: it starts no goroutine and calls nothing, it tells its caller
// what to do next. Whoever puts a frame into an idle queue gets the right to write,
// and takes batches until there are none; that gives the right back.
//
//	        Put: Wake                      Close
//	idle ───────────────▶ busy ──────────────────────▶ closing ──┐
//	  ▲                     │ Take: Rest                  │      │ Take: Goodbye
//	  └─────────────────────┘                             ▼      ▼
//	  └─── Close, who gets the right ──────────────▶      closed ◀── Drop, from any
package outbox

import "sync"

// Mode says what a full queue means to the caller of Put.
type Mode uint8

const (
	Now    Mode = iota // does not wait: Full is final
	Wait               // may use only half of the queue; Full comes with a channel to wait for
	Direct             // like Wait, for a frame that likely comes alone
)

// Outcome says what has become of a frame.
type Outcome uint8

const (
	Queued Outcome = iota // somebody else writes it
	Wake                  // the caller has the right to write, and must call Take
	InHand                // the caller has the right to write, and the frame is the batch that Hand returns
	Full
	Closed
)

// Step says what the owner of the right to write must do.
type Step uint8

const (
	Write   Step = iota // write the batch, and then call Take again
	Rest                // nothing: the right has been given back
	Goodbye             // tell the peer that this is the end; nothing follows
)

type phase uint8

const (
	idle    phase = iota // open, and nobody has the right to write
	busy                 // open, and somebody has the right to write
	closing              // somebody has the right to write, and says goodbye when all is written
	closed               // nothing more is written
)

const (
	batchBytes = 64 << 10 // a batch is not made longer than this many bytes
	keepFrames = 16       // how many frames an idle queue keeps room for
)

// Frame is what is queued.
type Frame interface {
	Held() int // what it costs in memory, in bytes
}

// Queue is an outbox. All methods may be called concurrently, except those for the
// owner of the right to write.
type Queue[F Frame] struct {
	limit int

	mu     sync.Mutex // guards everything below
	phase  phase
	queue  []F
	bytes  int // of queue
	hand   []F // the batch of the owner of the right to write
	inHand int // bytes of hand
	space  chan struct{}
}

// New returns a queue for about limit bytes. A larger frame fits into an empty
// queue.
func New[F Frame](limit int) *Queue[F] { return &Queue[F]{limit: limit} }

// Put adds a frame. If it returns Full in the modes Wait and Direct, it also
// returns a channel that is closed when trying again may help.
func (q *Queue[F]) Put(f F, mode Mode) (Outcome, <-chan struct{}) {
	size := f.Held()
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.phase >= closing {
		return Closed, nil
	}
	limit := q.limit
	if mode != Now {
		limit /= 2 // the rest is for callers that cannot wait
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

// Force adds frames whatever their size, unless the queue is closed; ok reports
// whether it did. wake reports whether the caller has got the right to write.
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

// Hand returns the batch in hand, to the owner of the right to write.
func (q *Queue[F]) Hand() []F { return q.hand }

// Take is called by the owner of the right to write when the batch in hand has been
// written. It returns the next batch, valid until the next Take, and how many bytes
// are no longer held.
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

// takeLocked moves a batch from the queue into the hand. It does not move the rest,
// because a long queue would then be moved once for each of its batches.
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

// Close lets no more frames in: those that are queued are still written, and then
// goodbye is said. The outcome is Wake if the caller must do so, Queued if somebody
// else does, and Closed if it is too late.
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

// Drop ends everything: what is queued or in hand counts as lost. The owner of the
// right to write may still be using the batch in hand.
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
	InHand  int  // bytes of the batch in hand
	Writing bool // somebody has the right to write
	Closed  bool // nothing more is written
}

// State returns the state at this moment.
func (q *Queue[F]) State() State {
	q.mu.Lock()
	defer q.mu.Unlock()
	return State{q.bytes, q.inHand, q.phase == busy || q.phase == closing, q.phase == closed}
}
