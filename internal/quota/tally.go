package quota

import (
	"sync"
	"time"
)

// Tally counts by reason, and allows one log line a minute for each: what strangers
// cause may happen any number of times. Its methods are safe for concurrent use.
// The zero Tally is empty.
type Tally[R comparable] struct {
	mu sync.Mutex // guards of
	of map[R]*tallied
}

type tallied struct {
	all    int64
	more   int64 // since one was logged
	logged time.Time
}

// Add counts one. It reports whether to log it, and how many were not logged since
// the last.
func (t *Tally[R]) Add(reason R, now time.Time) (show bool, more int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.of == nil {
		t.of = make(map[R]*tallied)
	}
	c := t.of[reason]
	if c == nil {
		c = new(tallied)
		t.of[reason] = c
	}
	c.all++
	if c.all > 1 && now.Sub(c.logged) < time.Minute {
		c.more++
		return false, 0
	}
	more, c.more, c.logged = c.more, 0, now
	return true, more
}

// Load returns the counts, or nil if there are none.
func (t *Tally[R]) Load() map[R]int64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.of == nil {
		return nil
	}
	n := make(map[R]int64, len(t.of))
	for reason, c := range t.of {
		n[reason] = c.all
	}
	return n
}
