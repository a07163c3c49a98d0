// Package quota says how much a client may still do, either of what time
// replenishes or of what the client pays for with bytes. It is passive, and starts
// full.
package quota

import (
	"sync"
	"time"
)

// Bucket is a token bucket: size actions at once, replenished over time. Its
// methods are safe for concurrent use. The zero Bucket is full.
type Bucket struct {
	mu     sync.Mutex // guards what follows
	left   float64
	filled int64 // when, in Unix nanoseconds, which take a third of a time.Time; 0 before the first Take
}

// Take takes one of size tokens, of which rate come back each second. It reports
// false if none is left.
func (b *Bucket) Take(size int, rate float64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now().UnixNano()
	if b.filled == 0 {
		b.left = float64(size)
	} else { // a clock that was set back brings nothing
		b.left = min(b.left+time.Duration(max(now-b.filled, 0)).Seconds()*rate, float64(size))
	}
	b.filled = now
	if b.left < 1 {
		return false
	}
	b.left--
	return true
}
