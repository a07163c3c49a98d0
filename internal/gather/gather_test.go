package gather_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wsrouter/wsrouter/internal/gather"
)

var errNo = errors.New("no")

// TestModel: with several calls at a time, never more than allowed are asked at once.
// Each is asked once unless the call ends early; answers come as soon as they are there,
// errors do not, and nothing is asked any more when the call returns.
func TestModel(t *testing.T) {
	for seed := range uint64(100) {
		synctest.Test(t, func(t *testing.T) {
			const limit = 5
			turns := gather.NewTurns(limit)
			var running, most atomic.Int32
			var calls sync.WaitGroup
			for call := range uint64(3) {
				calls.Go(func() { one(t, rand.New(rand.NewPCG(seed, call)), turns, &running, &most) })
			}
			calls.Wait()
			require.Zero(t, running.Load())
			require.LessOrEqual(t, most.Load(), int32(limit))
			require.Empty(t, turns)
		})
	}
}

// one makes a call.
func one(t *testing.T, rnd *rand.Rand, turns gather.Turns, running, most *atomic.Int32) {
	takes := make([]time.Duration, rnd.IntN(20))
	want := 0
	for i := range takes {
		takes[i] = time.Duration(1+rnd.IntN(1000)) * time.Millisecond
		if takes[i]%3 > 0 {
			want++
		}
	}
	patience, wanted := time.Hour, len(takes)+1
	switch rnd.IntN(3) {
	case 0:
		patience = time.Duration(rnd.IntN(2000)) * time.Millisecond
	case 1:
		wanted = 1 + rnd.IntN(20)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var own, asked atomic.Int32
	var got []int
	gather.Each(ctx, turns, slices.Collect(sequence(len(takes))), func(ctx context.Context, i int) (int, error) {
		n := running.Add(1)
		defer running.Add(-1)
		own.Add(1)
		defer own.Add(-1)
		asked.Add(1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		select {
		case <-time.After(takes[i]):
		case <-ctx.Done():
			return 0, ctx.Err()
		}
		if takes[i]%3 == 0 {
			return i, errNo
		}
		return i, nil
	}, func(i int) bool {
		got = append(got, i)
		return len(got) < wanted
	})
	require.Zero(t, own.Load(), "nothing is asked any more")
	for _, i := range got {
		require.NotZero(t, takes[i]%3, "it was an error")
	}
	require.Len(t, slices.Compact(slices.Sorted(slices.Values(got))), len(got), "each once")
	switch {
	case ctx.Err() != nil:
		require.LessOrEqual(t, len(got), want)
	case wanted <= want:
		require.Len(t, got, wanted)
	default:
		require.Len(t, got, want)
		require.EqualValues(t, len(takes), asked.Load())
	}
}

func sequence(n int) func(func(int) bool) {
	return func(yield func(int) bool) {
		for i := 0; i < n && yield(i); i++ {
		}
	}
}

// TestEachWaits: it waits for a turn no longer than for its context.
func TestEachWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		turns := gather.NewTurns(1)
		ask := func(ctx context.Context, _ int) (int, error) { <-ctx.Done(); return 0, ctx.Err() }
		none := func(int) bool { t.Error("nobody answers"); return true }
		first, cancel := context.WithCancel(t.Context())
		var calls sync.WaitGroup
		calls.Go(func() { gather.Each(first, turns, []int{1, 2}, ask, none) })
		synctest.Wait()
		begin := time.Now()
		second, done := context.WithTimeout(t.Context(), time.Second)
		defer done()
		gather.Each(second, turns, []int{3}, ask, none)
		require.Equal(t, time.Second, time.Since(begin))
		cancel()
		calls.Wait()
		require.Empty(t, turns)
	})
}
