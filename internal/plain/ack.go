package plain

import (
	"sync"
	"time"
)

// A frame of a session is acknowledged after ackAfter at the latest, or earlier
// with others, when there are enough of them or they have enough bytes. The peer
// keeps what is not acknowledged.
const (
	ackAfter  = time.Second
	ackFrames = 32
	ackBytes  = 64 << 10
)

// acks decides when to acknowledge what has arrived.
type acks struct {
	send func()

	mu     sync.Mutex // guards what follows
	frames int        // that are not acknowledged
	bytes  int
	timer  *time.Timer // nil before the first one
	over   bool
}

// took counts a frame, and sends an acknowledgment if it is due.
func (a *acks) took(size int) {
	a.mu.Lock()
	a.frames++
	a.bytes += size
	due := a.frames >= ackFrames || a.bytes >= ackBytes
	switch {
	case due:
		a.clearLocked()
	case a.frames > 1 || a.over:
	case a.timer == nil:
		a.timer = time.AfterFunc(ackAfter, a.late)
	default:
		a.timer.Reset(ackAfter)
	}
	a.mu.Unlock()
	if due {
		a.send()
	}
}

func (a *acks) clearLocked() {
	a.frames, a.bytes = 0, 0
	if a.timer != nil {
		a.timer.Stop()
	}
}

func (a *acks) late() {
	a.mu.Lock()
	due := a.frames > 0 && !a.over
	a.clearLocked()
	a.mu.Unlock()
	if due {
		a.send()
	}
}

// stop ends acknowledging.
func (a *acks) stop() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.over = true
	a.clearLocked()
}
