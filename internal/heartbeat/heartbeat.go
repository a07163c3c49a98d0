// Package heartbeat finds out whether a peer is still there. It is passive: a timer
// calls its owner, which asks for the verdict and acts on it.
//
//	heard ── silent for Interval ──▶ pinged ── silent for Timeout ──▶ Dead
//	  ▲                                │
//	  └────────── Heard ───────────────┘
//
// Any byte from the peer is a sign of life, and a peer that sends something is never
// pinged.
package heartbeat

import (
	"sync"
	"sync/atomic"
	"time"
)

// Monitor watches one peer. All methods are safe for concurrent use. The zero Monitor
// has not started.
type Monitor struct {
	heard atomic.Int64 // when the peer was last heard, in Unix nanoseconds

	mu     sync.Mutex  // guards what follows
	pinged int64       // when, like heard; 0 if the peer has been heard since
	timer  *time.Timer // nil before Start and after Stop
}

// Timing says how long a peer may be silent.
type Timing struct {
	Interval time.Duration // before it is pinged
	Timeout  time.Duration // after that, before it is dead
}

// Condition is what else is known about the connection.
type Condition uint8

// The conditions. If several apply, the last one counts.
const (
	Idle    Condition = iota
	Writing           // something is being written, behind which a ping would wait
	Paused            // we do not read, so that silence proves nothing
	Broken            // writing has failed
)

// Verdict says what the owner does now.
type Verdict uint8

// The verdicts.
const (
	Alive Verdict = iota // nothing
	Ping                 // ask the peer for a sign of life
	Dead                 // give the peer up: it was asked in vain
	Lost                 // give the peer up: it cannot be written to
)

// Start makes a timer call check whenever there is something to find out. early is
// how much earlier than after an interval it does so for the first time.
func (m *Monitor) Start(interval, early time.Duration, check func()) {
	m.heard.Store(time.Now().Add(-early).UnixNano())
	m.mu.Lock() // the timer may fire at once
	defer m.mu.Unlock()
	m.timer = time.AfterFunc(interval-early, check)
}

// Heard says that the peer gave a sign of life, or could not.
func (m *Monitor) Heard() { m.heard.Store(time.Now().UnixNano()) }

// WriteFailed allows the peer one more second: what it sent before, perhaps why it
// closes, may still be read.
func (m *Monitor) WriteFailed() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.timer != nil {
		m.timer.Reset(time.Second)
	}
}

// Stop ends it: check is no longer called, and if it just was, its verdict is Alive.
func (m *Monitor) Stop() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.timer != nil {
		m.timer.Stop()
		m.timer = nil
	}
}

// Check is for the function that Start was given. It returns the verdict, and sets the
// timer for the next one unless the peer is given up.
func (m *Monitor) Check(c Condition, t Timing) Verdict {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.timer == nil {
		return Alive
	}
	now, heard := time.Now().UnixNano(), m.heard.Load()
	idle := time.Duration(now - heard)
	if heard >= m.pinged {
		m.pinged = 0
	}
	switch {
	case c == Broken:
		return Lost
	case c == Paused:
		m.pinged = 0
		m.timer.Reset(t.Interval)
	case m.pinged != 0:
		patience := t.Timeout - time.Duration(now-m.pinged)
		if patience <= 0 {
			return Dead
		}
		m.timer.Reset(min(patience, t.Interval))
	case idle < t.Interval:
		m.timer.Reset(t.Interval - idle)
	case c == Writing: // which WriteTimeout limits
		m.timer.Reset(min(t.Interval, time.Second))
	default:
		m.pinged = now
		m.timer.Reset(min(t.Timeout, t.Interval)) // in time for the next ping
		return Ping
	}
	return Alive
}
