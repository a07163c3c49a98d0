package suite_test

import (
	"context"
	"log/slog"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wsrouter/wsrouter"
)

// slowLog is a log that takes a second for the first line that says something.
type slowLog struct {
	slog.Handler
	line string
	slow *atomic.Bool
}

func (h slowLog) Enabled(context.Context, slog.Level) bool { return true }

func (h slowLog) Handle(_ context.Context, r slog.Record) error {
	if r.Message == h.line && !h.slow.Swap(true) {
		time.Sleep(time.Second)
	}
	return nil
}

// TestAwayAgainWhileItIsLogged: a client is lost, comes back and is lost once more
// before it was told that it is away. OnAway is called for each loss, the first first.
func TestAwayAgainWhileItIsLogged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := slowLog{slog.DiscardHandler, "wsrouter: away", new(atomic.Bool)}
		router := &resuming{Router: wsrouter.New(&wsrouter.Options{Logger: slog.New(log), Recovery: &wsrouter.Recovery{Window: time.Minute}})}
		router.OnAway(func(*wsrouter.Conn, *wsrouter.CloseError) {
			router.tell("away")
			time.Sleep(2 * time.Second)
			router.tell("back")
		})
		router.OnDisconnect(func(context.Context, *wsrouter.Conn, *wsrouter.CloseError) { router.tell("disconnect") })
		s := router.raw(t, `{"session":""}`)
		secret := s.opens()
		s.Abort()
		synctest.Wait()
		s = router.raw(t, comeBack(secret, 0))
		s.reads(resumed(secret, 0))
		s.Abort()
		s.Wait()
		require.NoError(t, router.Shutdown(t.Context()))
		require.Equal(t, []string{"away", "back", "away", "back", "disconnect"}, router.wasTold())
		requireNothingHeld(t, router.Router)
	})
}
