package quota_test

import (
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wsrouter/wsrouter/internal/quota"
)

// TestTallyModel: whatever happens when, one of each reason a minute is shown, and
// tells how many were not; those shown and those told are all.
func TestTallyModel(t *testing.T) {
	var tally quota.Tally[int]
	require.Nil(t, tally.Load())
	rnd := rand.New(rand.NewPCG(1, 0))
	now := time.Now()
	counted, hidden, shown := map[int]int64{}, map[int]int64{}, map[int]time.Time{}
	for range 10_000 {
		now = now.Add(time.Duration(rnd.IntN(20_000)) * time.Millisecond)
		reason := rnd.IntN(5)
		counted[reason]++
		show, more := tally.Add(reason, now)
		last, before := shown[reason]
		require.Equal(t, !before || now.Sub(last) >= time.Minute, show)
		if !show {
			require.Zero(t, more)
			hidden[reason]++
			continue
		}
		require.Equal(t, hidden[reason], more)
		hidden[reason], shown[reason] = 0, now
	}
	require.Equal(t, counted, tally.Load())
}

// TestTallyRace: of many at once one is shown, and all are counted.
func TestTallyRace(t *testing.T) {
	var tally quota.Tally[string]
	var wg sync.WaitGroup
	shown := make(chan struct{}, 100)
	now := time.Now()
	for range 100 {
		wg.Go(func() {
			if show, _ := tally.Add("r", now); show {
				shown <- struct{}{}
			}
		})
	}
	wg.Wait()
	require.Len(t, shown, 1)
	require.Equal(t, map[string]int64{"r": 100}, tally.Load())
}
