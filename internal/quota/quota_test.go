package quota_test

import (
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wsrouter/wsrouter/internal/quota"
)

func TestBucket(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b quota.Bucket
		take := func(want int) {
			t.Helper()
			for range want {
				require.True(t, b.Take(5, 2))
			}
			require.False(t, b.Take(5, 2))
		}
		take(5)
		take(0)
		time.Sleep(499 * time.Millisecond)
		take(0)
		time.Sleep(time.Millisecond)
		take(1)
		time.Sleep(time.Second)
		take(2)
		time.Sleep(time.Hour)
		take(5) // and no more
	})
}

// TestBucketModel: in any time no more is taken than size and what came back, and
// nobody is refused who could be given one.
func TestBucketModel(t *testing.T) {
	for seed := range uint64(20) {
		synctest.Test(t, func(t *testing.T) {
			rnd := rand.New(rand.NewPCG(seed, 0))
			size, rate := 1+rnd.IntN(10), 1+rnd.IntN(10)
			var b quota.Bucket
			left := size * 1000 // thousandths
			for range 500 {
				slept := rnd.IntN(300)
				time.Sleep(time.Duration(slept) * time.Millisecond)
				left = min(left+slept*rate, size*1000)
				got := b.Take(size, float64(rate))
				if left != 1000 { // which floats may miss by a hair
					require.Equal(t, left > 1000, got)
				}
				if got {
					left -= 1000
				}
			}
		})
	}
}

func TestBucketRace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b quota.Bucket
		var taken atomic.Int64
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				for range 100 {
					if b.Take(50, 1) {
						taken.Add(1)
					}
				}
			})
		}
		wg.Wait()
		require.EqualValues(t, 50, taken.Load())
	})
}

func TestLines(t *testing.T) {
	var l quota.Lines
	take := func(traffic int64, want bool, leftOut int64) {
		t.Helper()
		ok, n := l.Take(traffic)
		require.Equal(t, want, ok)
		require.Equal(t, leftOut, n)
	}
	for range 6 {
		take(0, true, 0)
	}
	take(0, false, 0)
	take(255, false, 0)
	take(256, true, 2)
	take(511, false, 0)
	take(3*256, true, 1)
	take(3*256, true, 0)
	take(3*256, false, 0)
}

// TestLinesRace: each line is written, or left out and told of.
func TestLinesRace(t *testing.T) {
	var l quota.Lines
	var written, told atomic.Int64
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 100 {
				if ok, leftOut := l.Take(0); ok {
					written.Add(1)
					told.Add(leftOut)
				}
			}
		})
	}
	wg.Wait()
	ok, leftOut := l.Take(1 << 20)
	require.True(t, ok)
	require.LessOrEqual(t, written.Load(), int64(6))
	require.EqualValues(t, 800, written.Load()+told.Load()+leftOut)
}
