package lazy

import (
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
)

// TestGroupModel: whoever waits waits until nothing is running, however often that
// changes afterwards, and nobody waits while nothing is running.
func TestGroupModel(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 0))
	var g Group
	n := 0
	var waiting, released []<-chan struct{}
	isClosed := func(ch <-chan struct{}) bool {
		select {
		case <-ch:
			return true
		default:
			return false
		}
	}
	for range 10_000 {
		switch rnd.IntN(3) {
		case 0:
			more := 1 + rnd.IntN(3)
			g.Add(more)
			n += more
		case 1:
			if less := rnd.IntN(n + 1); less > 0 {
				g.Add(-less)
				n -= less
			}
		case 2:
			waiting = append(waiting, g.Empty())
		}
		if n == 0 {
			waiting, released = nil, append(released, waiting...)
		}
		for _, ch := range waiting {
			if isClosed(ch) {
				t.Fatalf("%d are running", n)
			}
		}
		for _, ch := range released {
			if !isClosed(ch) {
				t.Fatal("nothing was running")
			}
		}
		released = released[:0]
	}
}

func TestGroupRace(t *testing.T) {
	var g Group
	var running atomic.Int32
	g.Add(8)
	running.Store(8)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			running.Add(-1)
			g.Add(-1)
		})
		wg.Go(func() {
			<-g.Empty()
			if n := running.Load(); n > 0 {
				t.Errorf("%d are running", n)
			}
		})
	}
	wg.Wait()
}
