package tail_test

import (
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wsrouter/wsrouter/internal/tail"
)

type frame struct{ n, size int }

func (f frame) Held() int { return f.size }

func TestTail(t *testing.T) {
	tl := tail.New[frame](100)
	require.Equal(t, 40, tl.Add(frame{1, 40}))
	require.Equal(t, 40, tl.Add(frame{2, 40}))
	require.True(t, tl.Fits(20, false))
	require.False(t, tl.Fits(20, true))
	require.False(t, tl.Fits(21, false))
	frames, ok := tl.After(0)
	require.True(t, ok)
	require.Equal(t, []frame{{1, 40}, {2, 40}}, frames)
	_, ok = tl.After(3)
	require.False(t, ok, "fewer were sent")
	freed, ok := tl.Acknowledge(3)
	require.False(t, ok)
	require.Zero(t, freed)
	freed, ok = tl.Acknowledge(1)
	require.True(t, ok)
	require.Equal(t, 40, freed)
	_, ok = tl.After(0)
	require.False(t, ok, "it has been acknowledged")
	freed, ok = tl.Acknowledge(1)
	require.True(t, ok, "again")
	require.Zero(t, freed)
	require.EqualValues(t, 2, tl.Sent())
}

// TestTooMuchIsForgotten checks that the oldest frames are forgotten first, and
// that a peer which has received those can still resume.
func TestTooMuchIsForgotten(t *testing.T) {
	tl := tail.New[frame](100)
	for n := range 5 {
		tl.Add(frame{n + 1, 40})
	}
	require.Equal(t, 80, tl.Bytes())
	require.True(t, tl.Torn())
	_, ok := tl.After(2)
	require.False(t, ok)
	frames, ok := tl.After(3)
	require.True(t, ok)
	require.Equal(t, []frame{{4, 40}, {5, 40}}, frames)
	tl.Acknowledge(3)
	require.False(t, tl.Torn(), "what was forgotten has arrived")
	require.Equal(t, 920, tl.Add(frame{6, 1000}), "alone, however large")
	frames, _ = tl.After(5)
	require.Len(t, frames, 1)
	require.True(t, tl.Torn())
}

// TestModel compares the tail with a plain list.
func TestModel(t *testing.T) {
	for seed := range uint64(4) {
		r := rand.New(rand.NewPCG(seed, 1))
		tl := tail.New[frame](1000)
		var all []frame
		base, torn := 0, 0
		held := func() (n int) {
			for _, f := range all[base:] {
				n += f.size
			}
			return n
		}
		for step := range 20_000 {
			switch r.IntN(4) {
			case 0, 1:
				f := frame{len(all) + 1, 1 + r.IntN(300)}
				was := held()
				all = append(all, f)
				for held() > 1000 && base < len(all)-1 {
					base++
					torn = base
				}
				if got := tl.Add(f); got != held()-was {
					t.Fatalf("seed %d, step %d: grown %d, want %d", seed, step, got, held()-was)
				}
			case 2:
				n := r.IntN(len(all) + 2)
				_, ok := tl.Acknowledge(uint64(n))
				if ok != (n <= len(all)) {
					t.Fatalf("seed %d, step %d: acknowledged %d of %d: %v", seed, step, n, len(all), ok)
				}
				if ok {
					base = max(base, n)
					if n >= torn {
						torn = 0
					}
				}
			case 3:
				n := r.IntN(len(all) + 2)
				frames, ok := tl.After(uint64(n))
				if ok != (base <= n && n <= len(all)) {
					t.Fatalf("seed %d, step %d: after %d: %v", seed, step, n, ok)
				}
				if ok && len(frames) != len(all)-n || len(frames) > 0 && frames[0] != all[n] {
					t.Fatalf("seed %d, step %d: after %d: %v", seed, step, n, frames)
				}
			}
			if tl.Bytes() != held() || tl.Torn() != (torn > 0) || tl.Sent() != uint64(len(all)) {
				t.Fatalf("seed %d, step %d: %d bytes, want %d", seed, step, tl.Bytes(), held())
			}
		}
	}
}

func TestRace(t *testing.T) {
	tl := tail.New[frame](1000)
	var wg sync.WaitGroup
	for n := range 4 {
		wg.Go(func() {
			for i := range 1000 {
				tl.Add(frame{n, 10})
				tl.Acknowledge(tl.Sent() - min(uint64(i%3), tl.Sent()))
				tl.After(tl.Sent())
				tl.Fits(10, true)
			}
		})
	}
	wg.Wait()
	tl.Acknowledge(4000)
	require.Zero(t, tl.Bytes())
	require.EqualValues(t, 4000, tl.Sent())
}
