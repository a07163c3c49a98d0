package suite_test

import (
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/wsrouter/wsrouter"
)

// TestTakeoverOfWhoIsLost: the transport ends at the moment in which the client comes
// back by another. What the connection holds counts, and is let go of in the end.
func TestTakeoverOfWhoIsLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		router := &resuming{Router: newManyfold(wsrouter.Options{}).Router}
		s := router.raw(t, `{"session":""}`)
		secret := s.opens()
		conn := router.only()
		require.NoError(t, conn.SetData(strings.Repeat("x", 100<<10)))
		held := router.Stats().Inbox
		for range 3000 {
			next := router.raw(t, comeBack(secret, 0))
			var wg sync.WaitGroup
			wg.Go(s.Abort)
			wg.Go(func() { next.Read() })
			wg.Wait()
			s.Wait()
			synctest.Wait()
			require.Equal(t, held, router.Stats().Inbox)
			s = next
		}
		s.Close(1000, "")
		s.Wait()
		requireNothingHeld(t, router.Router)
	})
}
