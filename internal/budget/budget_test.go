package budget_test

import (
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wsrouter/wsrouter/internal/budget"
)

const (
	limit    = 1000
	large    = 5000 // of one message
	overhead = 1 << 10
)

func newAccount() (*budget.Pool[string], *budget.Account[string]) {
	pool := budget.NewPool[string](0)
	return pool, pool.NewAccount("first", limit, large)
}

func all(a *budget.Account[string]) int { n, _ := a.Held(); return n }

func TestPause(t *testing.T) {
	_, a := newAccount()
	require.Equal(t, budget.Go, a.Wait(999))
	require.Equal(t, budget.Pause, a.Wait(1))
	require.True(t, a.Paused())
	require.True(t, a.Handle(1))
	require.False(t, a.Handle(999), "resumed once")
	require.Equal(t, 1000+2*overhead, all(a))
	a.Done(1, false)
	a.Yield(999)
	a.Done(999, true)
	require.Zero(t, all(a))
}

// TestPauseHolds: a reader that takes no notice of Pause until all that it has read
// is delivered is resumed all the same.
func TestPauseHolds(t *testing.T) {
	_, a := newAccount()
	require.Equal(t, budget.Pause, a.Wait(1000))
	require.Equal(t, budget.Pause, a.Wait(1))
	require.False(t, a.Drop(1))
	require.True(t, a.Paused())
	require.True(t, a.Drop(1000))
}

// TestOpen: while a call or a stream is open reading goes on, to four times the
// limit and a message.
func TestOpen(t *testing.T) {
	_, a := newAccount()
	require.Equal(t, budget.Pause, a.Wait(large))
	require.True(t, a.Open(1), "however large the message is that waits")
	require.Equal(t, budget.Over, a.Wait(1))
	a.Drop(large + 1)
	require.Equal(t, budget.Go, a.Wait(3999))
	require.Equal(t, budget.Go, a.Wait(large))
	require.Equal(t, budget.Over, a.Wait(1))
	require.False(t, a.Open(-1), "nobody has been told to pause")
	require.Equal(t, budget.Pause, a.Wait(1))
	require.True(t, a.End())
	require.False(t, a.End())
	require.Equal(t, budget.Go, a.Wait(large))
}

func TestCrowded(t *testing.T) {
	_, a := newAccount()
	require.False(t, a.Crowded(1<<30), "beside nothing")
	a.Yield(4*large - 1)
	require.False(t, a.Crowded(0))
	require.True(t, a.Crowded(1))
}

// TestKeep: a part of what is kept is what every connection costs.
func TestKeep(t *testing.T) {
	pool, a := newAccount()
	a.Keep(8 << 10)
	require.Zero(t, all(a))
	a.Keep(5)
	require.Equal(t, 5, all(a))
	require.True(t, pool.Over())
	a.Keep(-(8 << 10))
	require.Zero(t, all(a))
	a.Keep(-5)
	require.Zero(t, all(a))
	require.False(t, pool.Over())
}

// TestLeave: what an account still holds when it leaves is not charged to others,
// and what it lets go of afterwards is not to their credit.
func TestLeave(t *testing.T) {
	pool, a := newAccount()
	other := pool.NewAccount("", limit, large)
	other.Out(1)
	a.Out(100)
	a.Leave()
	a.Leave()
	require.True(t, a.Gone())
	require.Equal(t, 100, all(a))
	a.Out(-100)
	a.Answer(7)
	require.Equal(t, 7, a.Answers())
	a.Taken(7)
	require.Zero(t, all(a))
	require.True(t, pool.Over())
	other.Out(-1)
	require.False(t, pool.Over())
	require.False(t, budget.NewPool[string](-1).NewAccount("", 1, 1).Waiting())
}

// TestMerge: what an account holds, and what was begun with it, is the heir's.
func TestMerge(t *testing.T) {
	pool, a := newAccount()
	a.Keep(6 << 10)
	a.Tail(7)
	a.Out(5)
	a.Answer(3)
	require.Equal(t, budget.Pause, a.Wait(1000))
	a.Open(1)
	b := pool.NewAccount("second", limit, large)
	b.Keep(6 << 10)
	require.Empty(t, a.Heir())
	a.Merge(b)
	require.Equal(t, "second", a.Heir())
	a.Merge(pool.NewAccount("third", limit, large))
	require.Equal(t, "second", a.Heir())
	a.Leave()
	held, out := b.Held()
	require.Equal(t, 7+5+3+1000+4<<10, held, "of what is kept one part only is free")
	require.Equal(t, 5, out)
	require.Equal(t, 3, b.Answers())
	require.True(t, b.Waiting())
	require.Equal(t, held, all(a))
	for _, accounts := range [][]*budget.Account[string]{{a}, {b}, {a, b}, {b, a, a}} {
		together, out := pool.Held(accounts)
		require.Equal(t, []int{held, 5}, []int{together, out}, "counted once, whoever is asked")
	}
	require.Equal(t, budget.Go, b.Wait(1), "a call is open")
	b.Open(-1)
	require.Equal(t, budget.Pause, b.Wait(1))
	require.True(t, a.Handle(1000), "of the reader that is there now")
	a.Done(1000, false)
	b.Drop(2)
	b.Forget(2)
	a.Taken(3)
	a.Out(-5)
	a.Tail(-7)
	a.Keep(-6 << 10)
	require.Zero(t, all(b))
	b.Keep(-6 << 10)
	require.Zero(t, all(b))
	require.False(t, pool.Over())
}

// TestHeirs: who has left is no heir any more, and what it was is let go of.
func TestHeirs(t *testing.T) {
	pool, a := newAccount()
	b, c := pool.NewAccount("second", limit, large), pool.NewAccount("third", limit, large)
	require.False(t, a.Merged())
	a.Merge(b)
	b.Merge(c)
	require.True(t, a.Merged())
	require.Equal(t, "second", a.Heir())
	b.Leave()
	require.Equal(t, "third", a.Heir())
	c.Leave()
	require.Empty(t, a.Heir())
	require.True(t, a.Merged())
}

// TestMergeResumes: a reader that is paused when it inherits an open call is resumed.
func TestMergeResumes(t *testing.T) {
	pool, a := newAccount()
	b := pool.NewAccount("", limit, large)
	a.Open(1)
	require.Equal(t, budget.Pause, b.Wait(2000))
	require.True(t, a.Merge(b))
	require.False(t, b.Paused())
}

// TestPass: of a link with two connections each may go on to another link. What the
// second has is not left with the first, whichever of them ends.
func TestPass(t *testing.T) {
	pool, one := newAccount()
	two, three := pool.NewAccount("", limit, large), pool.NewAccount("", limit, large)
	one.Tail(1000)
	one.Keep(10 << 10)
	one.Merge(two)
	one.Pass(three, 1000, 10<<10)
	one.Merge(three)
	one.Leave()
	require.Equal(t, 1000+2<<10, all(three))
	require.Zero(t, all(two))
	three.Tail(-1000)
	two.Leave()
	three.Keep(-10 << 10)
	require.Zero(t, all(three))
	three.Tail(1)
	require.True(t, pool.Over())
}

// TestMergeRace: whatever is counted while accounts merge, and one leaves, is let go
// of in the end, and a reader that was paused is resumed.
func TestMergeRace(t *testing.T) {
	for range 2000 {
		pool, a := newAccount()
		b, c := pool.NewAccount("", limit, large), pool.NewAccount("", limit, large)
		var wg sync.WaitGroup
		for range 3 {
			wg.Go(func() {
				for range 20 {
					a.Out(3)
					a.Keep(5000)
					a.Wait(10)
					a.Handle(10)
					a.Yield(10)
					a.Done(10, true)
					a.Keep(-5000)
					a.Answer(1)
					a.Out(-3)
					a.Taken(1)
				}
			})
		}
		wg.Go(func() { a.Merge(b); b.Merge(c) })
		wg.Go(func() { a.Leave() })
		wg.Wait()
		held, out := pool.Held([]*budget.Account[string]{a, b, c})
		require.Equal(t, []int{0, 0}, []int{held, out})
		require.Zero(t, all(a))
		require.False(t, a.Waiting())
		require.Zero(t, a.Answers())
		require.False(t, pool.Over())
	}
}

// TestHeldTogether: what is held is counted once, whoever looks while accounts merge.
func TestHeldTogether(t *testing.T) {
	for range 200 {
		pool, a := newAccount()
		a.Tail(1000)
		a.Out(10)
		accounts := []*budget.Account[string]{a}
		for range 20 {
			accounts = append(accounts, pool.NewAccount("", limit, large))
		}
		merged := make(chan struct{})
		go func() {
			defer close(merged)
			for i, next := range accounts[1:] {
				accounts[i].Merge(next)
			}
		}()
		for more := true; more; {
			select {
			case <-merged:
				more = false
			default:
			}
			held, out := pool.Held(accounts)
			require.Equal(t, []int{1010, 10}, []int{held, out})
		}
	}
}

// TestModel: what is held and whether reading goes on is what a plain sum says.
func TestModel(t *testing.T) {
	for seed := range uint64(4) {
		t.Logf("seed %d", seed)
		r := rand.New(rand.NewPCG(seed, 0))
		pool, a := newAccount()
		var waiting, running []int
		wait, hold, open, paused := 0, 0, 0, false
		goesOn := func() bool { return wait < limit || open > 0 }
		for step := range 25_000 {
			n := 1 + r.IntN(800)
			resume := false
			switch op := r.IntN(10); {
			case op < 4 && !paused:
				waiting = append(waiting, n)
				over := wait >= 4*limit
				wait, hold = wait+n, hold+n
				want := budget.Go
				switch {
				case !goesOn():
					want, paused = budget.Pause, true
				case open > 0 && over:
					want = budget.Over
				}
				if got := a.Wait(n); got != want {
					t.Fatalf("step %d: got %v, want %v", step, got, want)
				}
			case op < 7 && len(waiting) > 0:
				n, waiting = waiting[0], waiting[1:]
				wait -= n
				if op == 4 {
					hold -= n
					resume = a.Drop(n)
					a.Forget(n)
				} else {
					running = append(running, n)
					hold += overhead
					resume = a.Handle(n)
				}
			case op < 8 && len(running) > 0:
				n, running = running[0], running[1:]
				hold -= n + overhead
				if n%2 == 0 {
					a.Yield(n)
				}
				a.Done(n, n%2 == 0)
			case op == 8:
				open++
				resume = a.Open(1)
			case op == 9 && open > 0:
				open--
				resume = a.Open(-1)
			}
			if want := paused && goesOn(); resume != want {
				t.Fatalf("step %d: resumed %v, want %v", step, resume, want)
			}
			paused = paused && !resume
			if paused != a.Paused() || hold != all(a) || (wait > 0) != a.Waiting() || pool.Over() != (hold > 0) {
				t.Fatalf("step %d: paused %v, want %v; held %d, want %d", step, a.Paused(), paused, all(a), hold)
			}
		}
	}
}

// TestRace: a reader that pauses, handlers that let go, calls that open and end. The
// reader is resumed exactly once for each pause, or it would wait forever here or
// find a second resume, and nothing is counted in the end.
func TestRace(t *testing.T) {
	pool, a := newAccount()
	resumed := make(chan struct{}, 100)
	resume := func(yes bool) {
		if yes {
			resumed <- struct{}{}
		}
	}
	messages := make(chan int, 10_000)
	first := make(chan struct{}) // closed at the first pause: before that nobody lets go
	var pauses int
	var over atomic.Int64
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			<-first
			for n := range messages {
				runtime.Gosched()
				if n%5 == 0 {
					resume(a.Drop(n))
					a.Forget(n)
					continue
				}
				resume(a.Handle(n))
				a.Out(n)
				if n%2 == 0 {
					a.Yield(n)
				}
				a.Keep(n)
				a.Keep(-n)
				a.Done(n, n%2 == 0)
				a.Out(-n)
			}
		})
		wg.Go(func() {
			<-first
			for range 2000 {
				resume(a.Open(1))
				a.Answer(10)
				runtime.Gosched()
				a.Taken(10)
				resume(a.Open(-1))
			}
		})
	}
	wg.Go(func() {
		defer close(messages)
		for i := range 20_000 {
			n := 1 + i%700
			verdict := a.Wait(n)
			messages <- n
			switch verdict {
			case budget.Pause:
				if pauses++; pauses == 1 {
					close(first)
				}
				<-resumed
			case budget.Over:
				over.Add(1)
			}
		}
	})
	wg.Wait()
	require.Empty(t, resumed, "each pause is resumed once")
	require.False(t, a.Paused())
	require.Positive(t, pauses)
	all, out := a.Held()
	require.Equal(t, []int{0, 0, 0}, []int{all, out, a.Answers()})
	require.False(t, a.Waiting())
	require.False(t, pool.Over())
	t.Logf("%d pauses, %d over", pauses, over.Load())
}

// TestRaceLeave: an account leaves the pool while everything goes on, and the pool
// has just what the others hold.
func TestRaceLeave(t *testing.T) {
	pool := budget.NewPool[string](0)
	for range 200 {
		a := pool.NewAccount("", limit, large)
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				for i := range 50 {
					a.Wait(i)
					a.Handle(i)
					a.Done(i, false)
				}
				a.Out(100) // which is never let go of
			})
		}
		wg.Go(a.Leave)
		wg.Wait()
		require.Equal(t, 400, all(a))
	}
	one := pool.NewAccount("", limit, large)
	require.False(t, pool.Over())
	one.Out(1)
	require.True(t, pool.Over())
}
