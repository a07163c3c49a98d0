package loop

import "sync/atomic"

// maxIdle is how many idle workers a set keeps.
const maxIdle = 64

// workers are goroutines that are reused: their stacks have already grown, which
// the stack of a new one would have to.
type workers struct {
	next chan func() // run does not wait to send
	idle atomic.Int32
}

func newWorkers() *workers { return &workers{next: make(chan func())} }

// run calls f in a goroutine of its own. It does not wait. It must not be called
// after close.
func (w *workers) run(f func()) {
	select {
	case w.next <- f:
	default:
		go w.work(f)
	}
}

func (w *workers) work(f func()) {
	for f != nil {
		f()
		f = nil
		if w.idle.Add(1) <= maxIdle {
			f = <-w.next // nil after close
		}
		w.idle.Add(-1)
	}
}

// close ends the workers that are idle, and the others when they are done.
func (w *workers) close() { close(w.next) }
