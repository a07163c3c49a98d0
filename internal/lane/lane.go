// Package lane keeps the events of one connection in order. They are handled in
// turns: whoever has the turn handles its item and then takes the next one. An item
// that yields gives the turn to somebody else before it has been handled, so order
// is kept up to that point. In an idle lane nobody has the turn.
//
// A Lane is passive: it starts no goroutine and calls nothing, it tells its caller
// what to do next.
//
//	          Push, Next, Yield              Yield
//	waiting ──────────────────▶ working ───────────────▶ yielded ──┐
//	   │                           │  │     Release               │ │ Release
//	   │ Drop                 Next │  └───────────▶ released ◀──────┘
//	   ▼                           ▼                   │ Next   │ Next
//	 done ◀────────────────────────┴───────────────────┴────────┘
package lane

import (
	"sync"
	"time"
)

type state uint8

const (
	waiting  state = iota
	working        // being handled, with the turn
	yielded        // being handled beside the next one
	released       // likewise, and nobody waits for it
	done
)

// Item is a place in a lane. It is used once.
type Item[T any] struct {
	Value T

	// Running is how many items were being handled when this one began, including
	// this one. Only its handler may read it.
	Running int

	// Guarded by Lane.mu.
	state      state
	began      time.Time
	next, prev *Item[T] // in the list of those that wait, or of those that run
}

// Lane is the inbox of one connection. All methods may be called concurrently. The
// zero value is ready for use.
type Lane[T any] struct {
	mu      sync.Mutex // guards everything below
	closed  bool
	turn    bool    // somebody has the turn
	waiting list[T] // in the order of arrival
	running list[T] // oldest first, without those that are released
	idle    chan struct{}
}

type list[T any] struct {
	first, last *Item[T]
	n           int
}

func (l *list[T]) push(it *Item[T]) {
	it.prev, it.next = l.last, nil
	if l.first == nil {
		l.first = it
	} else {
		l.last.next = it
	}
	l.last = it
	l.n++
}

func (l *list[T]) remove(it *Item[T]) {
	if it.prev == nil {
		l.first = it.next
	} else {
		it.prev.next = it.next
	}
	if it.next == nil {
		l.last = it.prev
	} else {
		it.next.prev = it.prev
	}
	it.prev, it.next = nil, nil
	l.n--
}

// Outcome says what has become of an item.
type Outcome uint8

const (
	Queued  Outcome = iota // it will have its turn
	Start                  // it has the turn, and the caller must have it handled
	Refused                // the lane is closed
)

// Push adds an item.
func (l *Lane[T]) Push(it *Item[T]) Outcome {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return Refused
	}
	l.waiting.push(it)
	if l.turn {
		return Queued
	}
	l.nextLocked()
	return Start
}

// nextLocked gives the turn to the first item that waits, and returns it. If none
// waits nobody has the turn.
func (l *Lane[T]) nextLocked() *Item[T] {
	it := l.waiting.first
	l.turn = it != nil
	if it != nil {
		l.waiting.remove(it)
		it.state, it.began = working, time.Now()
		l.running.push(it)
		it.Running = l.running.n
	}
	return it
}

// Begin gives the turn to an item that has not waited. Nobody else may have it.
func (l *Lane[T]) Begin(it *Item[T]) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.waiting.push(it)
	l.nextLocked()
}

// Next says that an item has been handled. If the item still had the turn, Next
// gives it to the next item, and returns that for the caller to handle. gaveUp
// reports whether it had given up its turn.
func (l *Lane[T]) Next(it *Item[T]) (next *Item[T], gaveUp bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	was := it.state
	if was == working || was == yielded {
		l.running.remove(it)
	}
	it.state = done
	if was == working {
		next = l.nextLocked()
	}
	l.signalLocked()
	return next, was != working
}

// Yield takes the turn from an item, and reports whether the item had it. It
// returns the next item, if there is one, for somebody else to handle.
func (l *Lane[T]) Yield(it *Item[T]) (next *Item[T], had bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if it.state != working {
		return nil, false
	}
	it.state = yielded
	return l.nextLocked(), true
}

// Release is Yield, after which nobody waits for the item any more.
func (l *Lane[T]) Release(it *Item[T]) (next *Item[T], had bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	was := it.state
	if was != working && was != yielded {
		return nil, false
	}
	l.running.remove(it)
	it.state = released
	if had = was == working; had {
		next = l.nextLocked()
	}
	l.signalLocked()
	return next, had
}

// Close makes the lane refuse further items.
func (l *Lane[T]) Close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
}

// Closed reports whether Close has been called.
func (l *Lane[T]) Closed() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.closed
}

// Drop removes the items that wait, and returns them.
func (l *Lane[T]) Drop() (dropped []T) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for it := l.waiting.first; it != nil; it = l.waiting.first {
		l.waiting.remove(it)
		it.state = done
		dropped = append(dropped, it.Value)
	}
	l.signalLocked()
	return dropped
}

// Idle returns a channel that is closed when no item waits, and no item is running
// that somebody waits for.
func (l *Lane[T]) Idle() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.idle == nil {
		l.idle = make(chan struct{})
	}
	idle := l.idle
	l.signalLocked()
	return idle
}

func (l *Lane[T]) signalLocked() {
	if l.idle != nil && l.running.n == 0 && l.waiting.n == 0 {
		close(l.idle)
		l.idle = nil
	}
}

// Running returns how many items are being handled, and when the oldest began.
func (l *Lane[T]) Running() (n int, oldest time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.running.first != nil {
		oldest = l.running.first.began
	}
	return l.running.n, oldest
}

// Began returns when an item began to be handled.
func (l *Lane[T]) Began(it *Item[T]) time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	return it.began
}
