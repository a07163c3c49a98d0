package suite_test

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wsrouter/wsrouter"
)

// TestBadFramesAreCounted: the sender counts a frame whatever the other end makes of
// it, and the answer to it is one of the connection's frames.
func TestBadFramesAreCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		router := newResuming(wsrouter.Options{})
		s := router.raw(t, `{"session":""}`)
		secret := s.opens()
		s.send(`{"event":""}`)
		s.reads(`{"event":"exception","data":{"status":"error","message":"event must have 1 to 256 bytes","code":"invalid"}}`)
		s.send(`{"session":""}`)
		s.reads(`{"event":"exception","data":{"status":"error","message":"session must come first","code":"invalid"}}`)
		s.reads(`{"ack":2}`)
		conn := router.only()
		require.NoError(t, conn.Emit("news", 3))
		s.reads(`{"event":"news","data":3}`)
		s.Abort()
		s.Wait()
		require.NoError(t, conn.Emit("news", 4))
		s = router.raw(t, comeBack(secret, 3))
		s.reads(resumed(secret, 2), `{"event":"news","data":4}`)
		require.NoError(t, router.Shutdown(t.Context()))
	})
}

// TestLongNamesOverALoss: events that one end may not read are not handled twice.
func TestLongNamesOverALoss(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		router := newResuming(wsrouter.Options{})
		var got []string
		router.On("x", func(c *wsrouter.Context) error { got = append(got, "server x"); return nil })
		mine := wsrouter.New(&wsrouter.Options{Logger: slog.New(slog.DiscardHandler)})
		mine.On("y", func(c *wsrouter.Context) error { got = append(got, "client y"); return nil })
		client, err := router.Connect(t.Context(), resumes(wsrouter.DialOptions{Router: mine}))
		require.NoError(t, err)
		conn := router.only()
		long := strings.Repeat("x", 1000)
		require.NoError(t, client.Emit(long))
		require.NoError(t, client.Emit("x"))
		synctest.Wait()
		require.NoError(t, conn.Emit(long))
		require.NoError(t, conn.Emit("y"))
		synctest.Wait()
		for n := range 3 {
			client.Abort()
			synctest.Wait()
			require.NoError(t, client.Ready(t.Context()))
			synctest.Wait()
			require.EqualValues(t, n+1, router.Stats().Resumed)
			require.Equal(t, []string{"server x", "client y"}, got, fmt.Sprint(n))
			time.Sleep(time.Second)
		}
		require.NoError(t, client.Close())
	})
}

// TestExceptionsAreCountedOnce: the exception for an event that is not a request is one
// frame.
func TestExceptionsAreCountedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		router := newResuming(wsrouter.Options{})
		client, err := router.Connect(t.Context(), resumes(wsrouter.DialOptions{}))
		require.NoError(t, err)
		require.NoError(t, client.Emit("no such event"))
		synctest.Wait()
		client.Abort()
		synctest.Wait()
		require.NoError(t, client.Ready(t.Context()))
		synctest.Wait()
		require.EqualValues(t, 1, router.Stats().Resumed)
		require.NoError(t, client.Close())
	})
}
