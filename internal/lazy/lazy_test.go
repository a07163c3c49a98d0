package lazy

import (
	"sync"
	"testing"
	"testing/synctest"
)

func TestLatch(t *testing.T) {
	var before, after Latch
	waiting := before.Done()
	select {
	case <-waiting:
		t.Fatal("it has not happened")
	default:
	}
	for range 2 { // the second does nothing
		before.Happen()
		after.Happen()
	}
	<-waiting
	<-before.Done()
	<-after.Done()
}

func TestLatchOnce(t *testing.T) {
	for range 1000 {
		var l Latch
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() { <-l.Done() })
			wg.Go(l.Happen)
		}
		wg.Wait()
	}
}

func TestMutex(t *testing.T) {
	var m Mutex
	n := 0
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 10_000 {
				m.Lock()
				n++
				m.Unlock()
				if m.TryLock() {
					n--
					m.Unlock()
					m.Lock()
					n++
					m.Unlock()
				}
			}
		})
	}
	wg.Wait()
	if n != 80_000 {
		t.Fatalf("%d of 80,000 were counted", n)
	}
	if !m.TryLock() {
		t.Fatal("nobody has it")
	}
	if m.TryLock() {
		t.Fatal("it is taken")
	}
}

// TestMutexInBubble: the time of a bubble advances while somebody waits for a
// Mutex, which it does not for a sync.Mutex.
func TestMutexInBubble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var m Mutex
		m.Lock()
		got := false
		go func() {
			m.Lock()
			got = true
			m.Unlock()
		}()
		synctest.Wait()
		if got {
			t.Fatal("it is taken")
		}
		m.Unlock()
		synctest.Wait()
		if !got {
			t.Fatal("it is free")
		}
	})
}

func TestSignal(t *testing.T) {
	var s Signal
	s.Happen() // nobody waits
	first := s.Next()
	if first != s.Next() {
		t.Fatal("it has not happened meanwhile")
	}
	select {
	case <-first:
		t.Fatal("it has happened before only")
	default:
	}
	s.Happen()
	<-first
	select {
	case <-s.Next():
		t.Fatal("it has not happened again")
	default:
	}
}
