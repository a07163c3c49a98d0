package outbox_test

import (
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wsrouter/wsrouter/internal/outbox"
)

// frame is a number with a cost.
type frame struct{ id, size int }

func (f frame) Held() int { return f.size }

// TestPhases walks through the drawing in the package's doc.
func TestPhases(t *testing.T) {
	q := outbox.New[frame](100)
	put := func(size int, mode outbox.Mode, want outbox.Outcome) {
		t.Helper()
		got, space := q.Put(frame{size: size}, mode)
		require.Equal(t, want, got)
		require.Equal(t, want == outbox.Full && mode != outbox.Now, space != nil)
	}
	take := func(frames, freed int, want outbox.Step) {
		t.Helper()
		batch, n, step := q.Take()
		require.Equal(t, want, step)
		require.Len(t, batch, frames)
		require.Equal(t, freed, n)
	}
	put(1000, outbox.Now, outbox.Wake) // larger than the limit, but alone
	put(1, outbox.Now, outbox.Full)
	put(1, outbox.Wait, outbox.Full)
	take(1, 0, outbox.Write)
	put(40, outbox.Wait, outbox.Queued)
	put(20, outbox.Wait, outbox.Full)
	put(20, outbox.Direct, outbox.Full)
	put(60, outbox.Now, outbox.Queued)
	require.Equal(t, outbox.State{Bytes: 100, InHand: 1000, Writing: true}, q.State())
	take(2, 1000, outbox.Write)
	take(0, 100, outbox.Rest)
	put(7, outbox.Direct, outbox.InHand)
	require.Equal(t, []frame{{size: 7}}, q.Hand())
	put(8, outbox.Direct, outbox.Queued)
	require.Equal(t, outbox.Queued, q.Close())
	require.Equal(t, outbox.Queued, q.Close(), "closing again changes nothing")
	put(1, outbox.Now, outbox.Closed)
	take(1, 7, outbox.Write)
	take(0, 8, outbox.Goodbye)
	require.Equal(t, outbox.Closed, q.Close())
	require.Equal(t, outbox.State{Closed: true}, q.State())

	q = outbox.New[frame](100)
	require.Equal(t, outbox.Wake, q.Close(), "whoever closes an idle queue says goodbye")
	take(0, 0, outbox.Goodbye)

	q = outbox.New[frame](100)
	put(3, outbox.Now, outbox.Wake)
	take(1, 0, outbox.Write)
	put(4, outbox.Now, outbox.Queued)
	lost, freed := q.Drop()
	require.Equal(t, []int{2, 7}, []int{lost, freed})
	take(0, 0, outbox.Rest)
	lost, freed = q.Drop()
	require.Equal(t, []int{0, 0}, []int{lost, freed})
	wake, ok := q.Force([]frame{{size: 1}})
	require.False(t, wake || ok)
}

// model is a queue that is obviously right.
type model struct {
	queue, hand   []frame
	right         bool
	closing, over bool
}

func held(frames []frame) (n int) {
	for _, f := range frames {
		n += f.size
	}
	return n
}

const modelLimit = 200_000

func (m *model) put(f frame, mode outbox.Mode) outbox.Outcome {
	limit := modelLimit
	if mode != outbox.Now {
		limit /= 2
	}
	switch {
	case m.closing || m.over:
		return outbox.Closed
	case len(m.queue) > 0 && held(m.queue)+f.size > limit:
		return outbox.Full
	case !m.right && mode == outbox.Direct:
		m.right, m.hand = true, []frame{f}
		return outbox.InHand
	}
	m.queue = append(m.queue, f)
	if !m.right {
		m.right = true
		return outbox.Wake
	}
	return outbox.Queued
}

func (m *model) take() (batch []frame, freed int, step outbox.Step) {
	freed, m.hand = held(m.hand), nil
	switch {
	case m.over:
		return nil, freed, outbox.Rest
	case len(m.queue) == 0 && m.closing:
		m.right, m.over = false, true
		return nil, freed, outbox.Goodbye
	case len(m.queue) == 0:
		m.right = false
		return nil, freed, outbox.Rest
	}
	for len(m.queue) > 0 && held(m.hand) < 64<<10 {
		m.hand, m.queue = append(m.hand, m.queue[0]), m.queue[1:]
	}
	return m.hand, freed, outbox.Write
}

func (m *model) close() outbox.Outcome {
	was := m.right
	switch {
	case m.over:
		return outbox.Closed
	case was:
		m.closing = true
		return outbox.Queued
	}
	m.closing, m.right = true, true
	return outbox.Wake
}

func (m *model) drop() (lost, freed int) {
	lost, freed = len(m.queue)+len(m.hand), held(m.queue)+held(m.hand)
	*m = model{over: true}
	return lost, freed
}

func same[T comparable](t *testing.T, step int, want, got T) {
	t.Helper()
	if want != got {
		t.Fatalf("step %d: got %v, want %v", step, got, want)
	}
}

// TestModel: a queue does what the model does, in any order of operations.
func TestModel(t *testing.T) {
	for seed := range uint64(4) {
		t.Logf("seed %d", seed)
		r := rand.New(rand.NewPCG(seed, 0))
		q, m := outbox.New[frame](modelLimit), &model{}
		right := false // somebody must call Take
		for step := range 25_000 {
			switch n := r.IntN(1000); {
			case n < 500:
				f, mode := frame{step, 1 + r.IntN(40_000)}, outbox.Mode(r.IntN(3))
				want := m.put(f, mode)
				got, _ := q.Put(f, mode)
				same(t, step, want, got)
				right = right || got == outbox.Wake || got == outbox.InHand
				if got == outbox.InHand {
					require.Equal(t, []frame{f}, q.Hand())
				}
			case n < 990:
				if !right {
					continue
				}
				batch, freed, next := m.take()
				gotBatch, gotFreed, gotNext := q.Take()
				same(t, step, next, gotNext)
				same(t, step, freed, gotFreed)
				same(t, step, len(batch), len(gotBatch))
				for i := range batch {
					same(t, step, batch[i], gotBatch[i])
				}
				right = next == outbox.Write
			case n < 998:
				frames := []frame{{step, 1 + r.IntN(300_000)}, {-step, 1}}[:r.IntN(3)]
				wake, ok := q.Force(frames)
				same(t, step, !m.closing && !m.over, ok)
				same(t, step, ok && !m.right && len(frames) > 0, wake)
				if ok {
					m.queue, m.right = append(m.queue, frames...), m.right || wake
				}
				right = right || wake
			default:
				if r.IntN(2) == 0 {
					got := q.Close()
					same(t, step, m.close(), got)
					right = right || got == outbox.Wake
				} else {
					lost, freed := m.drop()
					gotLost, gotFreed := q.Drop()
					require.Equal(t, []int{lost, freed}, []int{gotLost, gotFreed}, step)
				}
			}
			same(t, step, held(m.queue), q.State().Bytes)
			same(t, step, held(m.hand), q.State().InHand)
			same(t, step, m.over, q.State().Closed)
			if m.over && !right {
				q, m = outbox.New[frame](modelLimit), &model{}
			}
		}
	}
}

// TestRace: many put, one has the right to write, and somebody closes or drops.
// Nothing is lost, nothing arrives twice, the order of each is kept, and every byte
// that is counted in is counted out.
func TestRace(t *testing.T) {
	for round := range 60 {
		var (
			q             = outbox.New[frame](2000)
			written, lost atomic.Int64
			put           atomic.Int64
			bytes         atomic.Int64
			goodbyes      atomic.Int64
			last          [8]int // guarded by the right to write, as the race detector checks
			wg            sync.WaitGroup
		)
		write := func(batch []frame) {
			for _, f := range batch {
				who, n := f.id>>20, f.id&(1<<20-1)
				if n <= last[who] {
					t.Errorf("%d: %d comes after %d", who, n, last[who])
				}
				last[who] = n
			}
			runtime.Gosched()
			written.Add(int64(len(batch)))
		}
		flush := func(batch []frame) {
			write(batch)
			for {
				batch, freed, step := q.Take()
				bytes.Add(int64(-freed))
				if step != outbox.Write {
					if step == outbox.Goodbye {
						goodbyes.Add(1)
					}
					break
				}
				write(batch)
			}
		}
		for who := range len(last) {
			wg.Go(func() {
				for n := 1; n <= 100; n++ {
					f := frame{who<<20 | n, 100 + n}
					outcome, space := q.Put(f, outbox.Mode(1+n%2))
					for outcome == outbox.Full {
						<-space
						outcome, space = q.Put(f, outbox.Wait)
					}
					if outcome == outbox.Closed {
						return
					}
					put.Add(1)
					bytes.Add(int64(f.size))
					switch outcome {
					case outbox.Wake:
						flush(nil)
					case outbox.InHand:
						flush(q.Hand())
					}
				}
			})
		}
		if round%3 == 0 {
			wg.Go(func() {
				runtime.Gosched()
				n, freed := q.Drop()
				lost.Add(int64(n))
				bytes.Add(int64(-freed))
			})
		}
		if round%3 == 1 {
			wg.Go(func() {
				if q.Close() == outbox.Wake {
					flush(nil)
				}
			})
		}
		wg.Wait()
		if round%3 == 0 { // a batch in hand counts as lost when it is dropped, but may be written
			require.GreaterOrEqual(t, written.Load()+lost.Load(), put.Load())
		} else {
			require.Equal(t, put.Load(), written.Load())
		}
		require.Zero(t, bytes.Load(), "bytes that are still counted")
		require.Zero(t, q.State().Bytes+q.State().InHand)
		require.False(t, q.State().Writing)
		require.EqualValues(t, round%3&1, goodbyes.Load())
	}
}
