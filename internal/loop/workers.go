package loop

import "sync"

// maxIdle is how many workers of a set may have nothing to do.
const maxIdle = 64

// workers are goroutines that are used again: their stacks have grown, which a new
// one's would have to.
type workers struct {
	mu     sync.Mutex // guards what follows
	idle   []chan func()
	closed bool
}

// run calls f on a goroutine of its own. It does not wait.
func (w *workers) run(f func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := len(w.idle) - 1
	if n < 0 {
		go w.work(f)
		return
	}
	w.idle[n] <- f // has room
	w.idle = w.idle[:n]
}

func (w *workers) work(f func()) {
	next := make(chan func(), 1)
	for f != nil {
		f()
		if !w.rest(next) {
			return
		}
		f = <-next
	}
}

// rest reports false if there are enough.
func (w *workers) rest(next chan func()) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed || len(w.idle) == maxIdle {
		return false
	}
	w.idle = append(w.idle, next)
	return true
}

// close lets those go that have nothing to do, and the others when they are done.
func (w *workers) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = true
	for _, next := range w.idle {
		next <- nil
	}
	w.idle = nil
}
