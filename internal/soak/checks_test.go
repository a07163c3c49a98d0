package soak

import (
	"bytes"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/pprof"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// patience is how long anything that a server owes may take. It does not measure speed:
// what takes that long will not come at all.
const patience = time.Minute

// watchdog ends the process and shows all goroutines if something that should end does
// not. The test could not go on, because what hangs would keep it from cleaning up.
type watchdog struct {
	mu   sync.Mutex // guards open
	open map[*task]struct{}
}

type task struct {
	what  string
	began time.Time
}

// start starts the watchdog, until the function that it returns is called.
func (d *watchdog) start(s *soak) (stop func()) {
	d.open = make(map[*task]struct{})
	ticker := time.NewTicker(time.Second)
	done, over := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(over)
		for {
			select {
			case <-ticker.C:
				d.look(s)
			case <-done:
				return
			}
		}
	}()
	return func() {
		ticker.Stop()
		close(done)
		<-over
	}
}

func (d *watchdog) look(s *soak) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for t := range d.open {
		if since := time.Since(t.began); since > patience {
			debug.SetTraceback("all")
			panic(fmt.Sprintf("soak: %s: not over after %v, in a run of %v with -seed %d; done so far: %v",
				t.what, since.Round(time.Second), s.length, s.seed, &s.deeds))
		}
	}
}

// watch runs do, which must return.
func (d *watchdog) watch(what string, do func()) {
	t := &task{what, time.Now()}
	d.mu.Lock()
	d.open[t] = struct{}{}
	d.mu.Unlock()
	defer func() {
		d.mu.Lock()
		delete(d.open, t)
		d.mu.Unlock()
	}()
	do()
}

// deed is something that must happen in a run, so that the run means something.
type deed int

const (
	answered    deed = iota // a request of a client
	excepted                // a request whose handler failed
	asked                   // a client by its handler
	calledAll               // clients by Target.Call
	streamed                // to the end
	canceled                // before the end
	heardNews               // that went to all
	heardTopic              // that went to a room
	said                    // by a client to a room
	shutDown                // a server, in time
	cutShort                // a server's shutdown
	reconnected             // a client of Dial
	upgraded                // a session from polling
	cycled                  // 40 and 41
	vanished
	stalled
	slowCut // by the server
	attacked
	allDeeds
)

var deedNames = [allDeeds]string{"answered", "excepted", "asked", "called", "streamed", "canceled", "news", "topics", "said",
	"shut down", "cut short", "reconnected", "upgraded", "cycled", "vanished", "stalled", "slow", "attacked"}

type deeds [allDeeds]atomic.Int64

func (d *deeds) add(what deed) { d[what].Add(1) }

func (d *deeds) complete(wanted deed) bool {
	for what := range wanted {
		if d[what].Load() == 0 {
			return false
		}
	}
	return true
}

func (d *deeds) String() string {
	var b strings.Builder
	for what, name := range deedNames {
		fmt.Fprintf(&b, "%s %d, ", name, d[what].Load())
	}
	return strings.TrimSuffix(b.String(), ", ")
}

// sequence checks the order of numbers: each must be one more than the previous one.
type sequence struct {
	last  int
	known bool // last is valid; otherwise any number may come
}

func (q *sequence) next(n int) (err error) {
	if q.known && n != q.last+1 {
		err = fmt.Errorf("%d came after %d", n, q.last)
	}
	q.last, q.known = n, true
	return err
}

// resources is what a process holds.
type resources struct {
	goroutines, descriptors int
	heap                    uint64 // reachable bytes
}

// measure counts after what sync.Pools and finalizers hold has been released.
func measure() resources {
	for range 3 {
		runtime.GC()
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	files, _ := os.ReadDir("/dev/fd") // empty if there is no such directory
	return resources{runtime.NumGoroutine(), len(files), m.HeapAlloc}
}

// settle measures again once everything that is about to end has ended. What is created
// only once, such as some descriptors, exists after a first run.
func (before resources) settle() (now resources) {
	for begin := time.Now(); time.Since(begin) < patience; time.Sleep(100 * time.Millisecond) {
		if now = measure(); now.goroutines <= before.goroutines {
			break
		}
	}
	return now
}

// heapNoise is how much the heap grows in a run that leaves nothing behind, mostly
// because the runtime keeps half a kilobyte for each goroutine that has existed at the
// same time.
const heapNoise = 4 << 20

func (before resources) back(now resources) bool {
	return now.goroutines <= before.goroutines && now.descriptors <= before.descriptors && now.heap <= before.heap+heapNoise
}

// requireBack gives what is about to end some time.
func (before resources) requireBack(t *testing.T) {
	t.Helper()
	var now resources
	for begin := time.Now(); time.Since(begin) < patience; time.Sleep(100 * time.Millisecond) {
		if now = measure(); before.back(now) {
			t.Logf("before %+v, after %+v", before, now)
			return
		}
	}
	var stacks bytes.Buffer
	pprof.Lookup("goroutine").WriteTo(&stacks, 1)
	t.Errorf("before the run %+v, long after it %+v; goroutines:\n%s", before, now, &stacks)
}
