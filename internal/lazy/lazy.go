// Package lazy has what a connection may need to wait, and makes it when somebody does.
// For most connections nobody ever does, and an idle one should cost little.
package lazy

import "sync/atomic"

// Latch is an event that happens once. All methods may be called concurrently. The
// zero value is ready for use, and must not be copied then.
type Latch struct{ ch atomic.Pointer[chan struct{}] }

var closed = func() *chan struct{} {
	ch := make(chan struct{})
	close(ch)
	return &ch
}()

// Done returns a channel that is closed when it has happened.
func (l *Latch) Done() <-chan struct{} {
	for {
		if ch := l.ch.Load(); ch != nil {
			return *ch
		}
		ch := make(chan struct{})
		if l.ch.CompareAndSwap(nil, &ch) {
			return ch
		}
	}
}

// Happen lets it happen. Doing so again does nothing.
func (l *Latch) Happen() {
	if ch := l.ch.Swap(closed); ch != nil && ch != closed {
		close(*ch)
	}
}

// Happened reports whether it has.
func (l *Latch) Happened() bool { return l.ch.Load() == closed }

// Signal is an event that happens again and again. All methods may be called
// concurrently. The zero value is ready for use.
type Signal struct{ ch atomic.Pointer[chan struct{}] }

// Next returns a channel that is closed when it happens next.
func (s *Signal) Next() <-chan struct{} {
	for {
		if ch := s.ch.Load(); ch != nil {
			return *ch
		}
		ch := make(chan struct{})
		if s.ch.CompareAndSwap(nil, &ch) {
			return ch
		}
	}
}

// Happen lets it happen.
func (s *Signal) Happen() {
	if ch := s.ch.Swap(nil); ch != nil {
		close(*ch)
	}
}

// Gate lets one through each time that it is opened. The zero value is shut.
type Gate struct{ channel channel }

// Open opens the gate, unless it is open.
func (g *Gate) Open() {
	select {
	case g.channel.get() <- struct{}{}:
	default:
	}
}

// Wait waits until the gate is open, and shuts it.
func (g *Gate) Wait() { <-g.channel.get() }

// Mutex is a mutex that a testing/synctest bubble sees somebody wait for, unlike
// sync.Mutex. The zero value is unlocked.
type Mutex struct {
	holders atomic.Int32 // who has it, and those who wait
	turn    channel
}

// Lock waits for the mutex. Those who wait get it in the order in which they came.
func (m *Mutex) Lock() {
	if m.holders.Add(1) > 1 {
		<-m.turn.get()
	}
}

// TryLock reports false where Lock would wait.
func (m *Mutex) TryLock() bool { return m.holders.CompareAndSwap(0, 1) }

// Unlock gives the mutex to the next who waits.
func (m *Mutex) Unlock() {
	if m.holders.Add(-1) > 0 {
		m.turn.get() <- struct{}{} // has room: nobody else can unlock before it is taken
	}
}

// channel is a channel with room for one. It is made when somebody wants it.
type channel struct{ ch atomic.Pointer[chan struct{}] }

func (c *channel) get() chan struct{} {
	for {
		if ch := c.ch.Load(); ch != nil {
			return *ch
		}
		ch := make(chan struct{}, 1)
		if c.ch.CompareAndSwap(nil, &ch) {
			return ch
		}
	}
}
