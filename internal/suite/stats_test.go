package suite_test

import (
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wsrouter/wsrouter/wsroutertest"
)

// TestStatsAreNotNegative: whatever is sent and read meanwhile, what is held and
// what waits are never negative, not even for one scrape.
func TestStatsAreNotNegative(t *testing.T) {
	router := newRouter()
	var over atomic.Bool
	var wg sync.WaitGroup
	for range 8 {
		client := wsroutertest.Connect(t, router, nil)
		wg.Go(func() {
			for !over.Load() {
				client.Call(t.Context(), "events", "hi", nil)
			}
		})
	}
	least := router.Stats()
	for range 5_000 {
		stats := router.Stats()
		least.Inbox, least.Outbox = min(least.Inbox, stats.Inbox), min(least.Outbox, stats.Outbox)
	}
	over.Store(true)
	wg.Wait()
	require.GreaterOrEqual(t, least.Inbox, 0)
	require.GreaterOrEqual(t, least.Outbox, 0)
}
