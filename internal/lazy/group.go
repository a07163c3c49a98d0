package lazy

import "sync"

// Group counts what is running, like a sync.WaitGroup for which one can wait in a
// select. All methods may be called concurrently. The zero value is empty, and must not
// be copied after first use.
type Group struct {
	mu    sync.Mutex // guards what follows
	n     int
	empty chan struct{} // closed when n is zero; nil if nobody waits
}

// Add adds n, which may be negative.
func (g *Group) Add(n int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.n += n
	g.signalLocked()
}

// Empty returns a channel that is closed once nothing is running, be it for a moment.
func (g *Group) Empty() <-chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.empty == nil {
		g.empty = make(chan struct{})
	}
	empty := g.empty
	g.signalLocked()
	return empty
}

func (g *Group) signalLocked() {
	if g.n == 0 && g.empty != nil {
		close(g.empty)
		g.empty = nil
	}
}
