package loop

import "sync"

// maxIdle is how many idle workers a set keeps.
const maxIdle = 64

// workers are goroutines that are reused: their stacks have already grown, which
// the stack of a new one would have to.
type workers struct {
	mu     sync.Mutex // guards what follows
	idle   []chan func()
	closed bool
}

// run calls f in a goroutine of its own. It does not wait.
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

// rest reports false if there are enough idle workers.
func (w *workers) rest(next chan func()) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed || len(w.idle) == maxIdle {
		return false
	}
	w.idle = append(w.idle, next)
	return true
}

// close ends the workers that are idle, and the others when they are done.
func (w *workers) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = true
	for _, next := range w.idle {
		next <- nil
	}
	w.idle = nil
}
