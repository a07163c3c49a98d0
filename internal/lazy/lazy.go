// Package lazy has what a connection may need to wait, made when somebody first
// waits. For most connections nobody ever does, and an idle one should cost little.
package lazy

import "sync/atomic"

// Latch is an event that happens once. All methods may be called concurrently. The
// zero value is ready for use, and must not be copied after first use.
type Latch struct{ ch atomic.Pointer[chan struct{}] }

var closed = func() *chan struct{} {
	ch := make(chan struct{})
	close(ch)
	return &ch
}()

// Done returns a channel that is closed when the event has happened.
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

// Happen makes the event happen. Calling it again does nothing.
func (l *Latch) Happen() {
	if ch := l.ch.Swap(closed); ch != nil && ch != closed {
		close(*ch)
	}
}

// Signal is an event that happens again and again. All methods may be called
// concurrently. The zero value is ready for use.
type Signal struct{ ch atomic.Pointer[chan struct{}] }

// Next returns a channel that is closed when the event happens next.
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

// Happen makes the event happen.
func (s *Signal) Happen() {
	if ch := s.ch.Swap(nil); ch != nil {
		close(*ch)
	}
}

// Gate lets one caller of Wait pass each time that it is opened. The zero value is
// shut.
type Gate struct{ channel channel }

// Open opens the gate. It does nothing if the gate is open.
func (g *Gate) Open() {
	select {
	case g.channel.get() <- struct{}{}:
	default:
	}
}

// Wait waits until the gate is open, and shuts it.
func (g *Gate) Wait() { <-g.channel.get() }

// Mutex is a mutex whose waiters a testing/synctest bubble sees, unlike those of a
// sync.Mutex. The zero value is unlocked.
type Mutex struct {
	holders atomic.Int32 // the holder, and those who wait
	turn    channel
}

// Lock waits for the mutex. Those who wait get it in the order in which they came.
func (m *Mutex) Lock() {
	if m.holders.Add(1) > 1 {
		<-m.turn.get()
	}
}

// TryLock reports false if Lock would wait.
func (m *Mutex) TryLock() bool { return m.holders.CompareAndSwap(0, 1) }

// Unlock gives the mutex to the next who waits.
func (m *Mutex) Unlock() {
	if m.holders.Add(-1) > 0 {
		m.turn.get() <- struct{}{} // has room: nobody else can unlock before it is taken
	}
}

// channel is a channel with room for one element, made when it is first used.
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
