package suite_test

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wsrouter/wsrouter"
)

// TestTakeoverOfWhoIsPaused: a transport whose reading is paused because too much waits
// is taken over. It ends, and what has arrived over it is handled.
func TestTakeoverOfWhoIsPaused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		router := newResuming(wsrouter.Options{InboxBytes: 10 << 10})
		block := make(chan struct{})
		n := 0
		router.On("x", func(*wsrouter.Context) error { <-block; n++; return nil })
		old := router.raw(t, `{"session":""}`)
		secret := old.opens()
		text := `{"event":"x","data":"` + strings.Repeat("x", 4<<10) + `"}`
		for range 4 {
			old.send(text)
			synctest.Wait()
		}
		next := router.raw(t, comeBack(secret, 0))
		next.reads(resumed(secret, 4))
		synctest.Wait()
		gone := make(chan struct{})
		go func() { old.Wait(); close(gone) }()
		time.Sleep(time.Second)
		synctest.Wait()
		select {
		case <-gone:
		default:
			t.Error("the old transport is still there")
		}
		next.send(text)
		close(block)
		for range 3 {
			synctest.Wait()
			next.send(text)
		}
		synctest.Wait()
		require.Equal(t, 8, n)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		require.NoError(t, router.Shutdown(ctx))
		requireNothingHeld(t, router.Router)
	})
}

// TestCloseOfAClientThatAsks: it does not wait for a server that has not decided yet.
func TestCloseOfAClientThatAsks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		router := guarded(func(*wsrouter.Conn) error { time.Sleep(9 * time.Second); return nil })
		client, err := router.Connect(t.Context(), resumes(wsrouter.DialOptions{}))
		require.NoError(t, err)
		synctest.Wait()
		client.Abort()
		time.Sleep(2 * time.Second)
		began := time.Now()
		require.NoError(t, client.Close())
		require.Less(t, time.Since(began), time.Second)
		require.NoError(t, router.Shutdown(t.Context()))
	})
}

// TestCloseWaitsForHandlersOfLostConnections: it also waits for those of connections
// that the client could not resume.
func TestCloseWaitsForHandlersOfLostConnections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		router := newResuming(wsrouter.Options{})
		mine := wsrouter.New(&wsrouter.Options{Logger: slog.New(slog.DiscardHandler)})
		returned := false
		mine.On("slow", func(*wsrouter.Context) error { time.Sleep(time.Minute); returned = true; return nil })
		client, err := router.Connect(t.Context(), resumes(wsrouter.DialOptions{Router: mine}))
		require.NoError(t, err)
		server := router.only()
		require.NoError(t, server.Emit("slow"))
		synctest.Wait()
		client.Abort()
		synctest.Wait()
		require.NoError(t, server.Close(1000, ""))
		require.NoError(t, client.Ready(t.Context()))
		require.NoError(t, client.Close())
		require.True(t, returned)
		require.NoError(t, router.Shutdown(t.Context()))
	})
}
