package lane_test

import (
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wsrouter/wsrouter/internal/lane"
)

type item = lane.Item[int]

// TestTurns walks through the drawing in the package's doc.
func TestTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l lane.Lane[int]
		items := make([]item, 6)
		for i := range items {
			items[i].Value = i
			time.Sleep(time.Second)
			want := lane.Queued
			if i == 0 {
				want = lane.Start
			}
			require.Equal(t, want, l.Push(&items[i]))
		}
		idle := l.Idle()
		began := time.Now()
		next, had := l.Yield(&items[0])
		require.Same(t, &items[1], next)
		require.True(t, had)
		require.Equal(t, began, l.Began(&items[1]))
		next, had = l.Yield(&items[0])
		require.True(t, next == nil && !had, "it has given its turn up already")
		next, had = l.Release(&items[1])
		require.Same(t, &items[2], next)
		require.True(t, had)
		next, had = l.Release(&items[0])
		require.True(t, next == nil && !had)
		next, had = l.Release(&items[0])
		require.True(t, next == nil && !had)
		n, oldest := l.Running()
		require.Equal(t, 1, n, "without those that are released")
		require.Equal(t, began, oldest)
		for i := range 2 {
			next, gaveUp := l.Next(&items[i])
			require.True(t, next == nil && gaveUp)
		}
		next, gaveUp := l.Next(&items[2])
		require.Same(t, &items[3], next)
		require.False(t, gaveUp)
		l.Close()
		require.True(t, l.Closed())
		require.Equal(t, lane.Refused, l.Push(new(item)))
		require.Equal(t, []int{4, 5}, l.Drop())
		select {
		case <-idle:
			t.Fatal("something runs")
		default:
		}
		next, gaveUp = l.Next(&items[3])
		require.True(t, next == nil && !gaveUp)
		<-idle
		<-l.Idle()
	})
}

func TestBegin(t *testing.T) {
	var l lane.Lane[int]
	var first, second item
	l.Close()
	l.Begin(&first)
	n, _ := l.Running()
	require.Equal(t, 1, n)
	require.Equal(t, lane.Refused, l.Push(&second))
	next, gaveUp := l.Next(&first)
	require.True(t, next == nil && !gaveUp)
}

// model is a lane that is obviously right.
type model struct {
	waiting, running []int
	turn             int // -1 means nobody's
}

func (m *model) next() int {
	m.turn = -1
	if len(m.waiting) > 0 {
		m.turn, m.waiting = m.waiting[0], m.waiting[1:]
		m.running = append(m.running, m.turn)
	}
	return m.turn
}

func (m *model) ends(id int) {
	m.running = slices.DeleteFunc(m.running, func(n int) bool { return n == id })
}

func same[T comparable](t *testing.T, step int, want, got T) {
	t.Helper()
	if want != got {
		t.Fatalf("step %d: got %v, want %v", step, got, want)
	}
}

func valueOf(it *item) int {
	if it == nil {
		return -1
	}
	return it.Value
}

// TestModel: a lane does what the model does, in any order of operations.
func TestModel(t *testing.T) {
	for seed := range uint64(4) {
		t.Logf("seed %d", seed)
		r := rand.New(rand.NewPCG(seed, 0))
		var l lane.Lane[int]
		m := model{turn: -1}
		var handled []*item // those for which Next has not been called
		add := func(it *item) {
			if it != nil {
				handled = append(handled, it)
			}
		}
		for step := range 25_000 {
			at := 0
			if len(handled) > 0 {
				at = r.IntN(len(handled))
			}
			switch n := r.IntN(100); {
			case n < 40:
				it := &item{Value: step}
				m.waiting = append(m.waiting, step)
				start := m.turn == -1
				if start {
					m.next()
					add(it)
				}
				same(t, step, start, l.Push(it) == lane.Start)
			case n == 99 && r.IntN(20) == 0:
				if got := l.Drop(); !slices.Equal(m.waiting, got) {
					t.Fatalf("dropped %v, want %v", got, m.waiting)
				}
				m.waiting = nil
			case len(handled) == 0:
			case n < 80:
				it := handled[at]
				handled = slices.Delete(handled, at, at+1)
				had, want := m.turn == it.Value, -1
				m.ends(it.Value)
				if had {
					want = m.next()
				}
				next, gaveUp := l.Next(it)
				same(t, step, !had, gaveUp)
				same(t, step, want, valueOf(next))
				add(next)
			default:
				it, give := handled[at], l.Yield
				if n < 90 {
					give = l.Release
					m.ends(it.Value)
				}
				had, want := m.turn == it.Value, -1
				if had {
					want = m.next()
				}
				next, gave := give(it)
				same(t, step, had, gave)
				same(t, step, want, valueOf(next))
				add(next)
			}
			n, _ := l.Running()
			same(t, step, len(m.running), n)
			select {
			case <-l.Idle():
				same(t, step, 0, len(m.running)+len(m.waiting))
			default:
				same(t, step, true, len(m.running)+len(m.waiting) > 0)
			}
		}
	}
}

// TestRace: many push, and the items that are handled yield or not. Each item is
// handled once, those of one pusher begin in order, one at a time has the turn, and
// in the end the lane is idle.
func TestRace(t *testing.T) {
	const pushers, each = 8, 2000
	var (
		l       lane.Lane[[2]int]
		handled atomic.Int64
		last    [pushers]int // guarded by the turn, as the race detector checks
		wg      sync.WaitGroup
		work    func(it *lane.Item[[2]int])
	)
	start := func(it *lane.Item[[2]int]) {
		if it != nil {
			wg.Go(func() { work(it) })
		}
	}
	work = func(it *lane.Item[[2]int]) {
		for it != nil {
			who, n := it.Value[0], it.Value[1]
			if n != last[who]+1 {
				t.Errorf("%d comes after %d", n, last[who])
			}
			last[who] = n
			handled.Add(1)
			switch n % 4 {
			case 1:
				next, _ := l.Yield(it)
				start(next)
			case 2:
				next, _ := l.Release(it)
				start(next)
			case 3:
				next, _ := l.Yield(it)
				start(next)
				next, _ = l.Release(it)
				start(next)
			}
			it, _ = l.Next(it)
		}
	}
	for who := range pushers {
		wg.Go(func() {
			for n := range each {
				it := &lane.Item[[2]int]{Value: [2]int{who, n + 1}}
				if l.Push(it) == lane.Start {
					start(it)
				}
			}
		})
	}
	wg.Wait()
	require.EqualValues(t, pushers*each, handled.Load())
	<-l.Idle()
	n, _ := l.Running()
	require.Zero(t, n)
	require.Empty(t, l.Drop())
}
