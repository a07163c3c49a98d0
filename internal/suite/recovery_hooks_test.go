package suite_test

import (
	"context"
	"errors"
	"log/slog"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wsrouter/wsrouter"
	"github.com/wsrouter/wsrouter/internal/rawtest"
)

// slowLog is a log that takes one second for the first line with a certain text.
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

// TestAwayAgainWhileItIsLogged: a client is lost, comes back and is lost again before
// anybody was told that it is away. OnAway is called for each loss, in order.
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

// guarded returns a router whose OnResume is fn.
func guarded(fn func(*wsrouter.Conn) error) *resuming {
	router := &resuming{Router: wsrouter.New(&wsrouter.Options{
		Logger: slog.New(slog.DiscardHandler), Recovery: &wsrouter.Recovery{Window: time.Minute}})}
	router.OnResume(func(c *wsrouter.Conn) error {
		router.tell("ask")
		defer router.tell("decided")
		return fn(c)
	})
	router.OnDisconnect(func(context.Context, *wsrouter.Conn, *wsrouter.CloseError) { router.tell("disconnect") })
	return router
}

// TestOnResumeIsNotAskedOfWhoIsGone: of two attempts the first ends the connection, so
// that the second has nothing to resume.
func TestOnResumeIsNotAskedOfWhoIsGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		router := guarded(func(*wsrouter.Conn) error { time.Sleep(time.Second); return errors.New("no") })
		s := router.raw(t, `{"session":""}`)
		secret := s.opens()
		s.Abort()
		s.Wait()
		first, second := router.raw(t, comeBack(secret, 0)), router.raw(t, comeBack(secret, 0))
		first.opens()
		second.opens()
		synctest.Wait()
		told := router.wasTold()
		require.Equal(t, "disconnect", told[len(told)-1], "%v", told)
		require.NoError(t, router.Shutdown(t.Context()))
		requireNothingHeld(t, router.Router)
	})
}

// TestOnDisconnectWaitsForOnResume: the window expires while OnResume runs.
func TestOnDisconnectWaitsForOnResume(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		router := guarded(func(*wsrouter.Conn) error { time.Sleep(5 * time.Second); return nil })
		s := router.raw(t, `{"session":""}`)
		secret := s.opens()
		s.Abort()
		s.Wait()
		time.Sleep(58 * time.Second)
		s = router.raw(t, comeBack(secret, 0))
		s.opens()
		synctest.Wait()
		require.Equal(t, []string{"ask", "decided", "disconnect"}, router.wasTold())
		require.NoError(t, router.Shutdown(t.Context()))
		requireNothingHeld(t, router.Router)
	})
}

// TestAttemptsEndWithTheirLinks: while OnResume does not return, nothing is held of
// clients that have asked for the same connection and have gone again.
func TestAttemptsEndWithTheirLinks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		block := make(chan struct{})
		router := guarded(func(*wsrouter.Conn) error { <-block; return nil })
		s := router.raw(t, `{"session":""}`)
		secret := s.opens()
		s.Abort()
		s.Wait()
		before := runtime.NumGoroutine()
		for range 100 {
			s = router.raw(t, comeBack(secret, 0))
			synctest.Wait()
			s.Abort()
			s.Wait()
		}
		synctest.Wait()
		require.LessOrEqual(t, runtime.NumGoroutine(), before+10, "but for who runs OnResume")
		close(block)
		synctest.Wait()
		s = router.raw(t, comeBack(secret, 0))
		s.reads(resumed(secret, 0))
		require.NoError(t, router.Shutdown(t.Context()))
		requireNothingHeld(t, router.Router)
	})
}

// TestOnAwayThatDoesNotReturn: it keeps a client from coming back for at most
// ConnectTimeout.
func TestOnAwayThatDoesNotReturn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		block := make(chan struct{})
		router := guarded(func(*wsrouter.Conn) error { return nil })
		router.OnAway(func(*wsrouter.Conn, *wsrouter.CloseError) { <-block })
		s := router.raw(t, `{"session":""}`)
		secret := s.opens()
		s.Abort()
		s.Wait()
		began := time.Now()
		s = router.raw(t, comeBack(secret, 0))
		s.closes(1013, "connect timeout")
		require.Equal(t, 10*time.Second, time.Since(began))
		close(block)
		s = router.raw(t, comeBack(secret, 0))
		s.reads(resumed(secret, 0))
		require.NoError(t, router.Shutdown(t.Context()))
		requireNothingHeld(t, router.Router)
	})
}

// TestAttemptsAreCounted: what a client sends about itself when it asks for its
// connection counts as held, from the first byte on, and only as long as it is held.
func TestAttemptsAreCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		block := make(chan struct{})
		router := guarded(func(*wsrouter.Conn) error { <-block; return nil })
		connect := func(first string) session {
			req := rawtest.SessionRequest()
			req.Header.Set("X", strings.Repeat("x", 100<<10))
			s := session{t, rawtest.Connect(router.Router, &wsrouter.WSOptions{AuthFrame: true}, req)}
			s.send(first)
			return s
		}
		auth := `,"auth":"` + strings.Repeat("x", 100<<10) + `"}`
		s := connect(`{"session":"","auth":1}`)
		secret := s.opens()
		conn := router.only()
		s.Abort()
		s.Wait()
		asks := strings.TrimSuffix(comeBack(secret, 0), "}") + auth
		away := router.Stats().Inbox
		var all []session
		for range 5 {
			all = append(all, connect(asks))
		}
		synctest.Wait()
		require.Greater(t, router.Stats().Inbox, away+5*(190<<10))
		for _, s := range all {
			s.Abort()
			s.Wait()
		}
		synctest.Wait()
		require.Equal(t, away, router.Stats().Inbox)
		var told any
		require.NoError(t, conn.Auth(&told))
		require.EqualValues(t, 1, told, "it is not known by whoever it was not")
		close(block)
		synctest.Wait()
		s = connect(asks)
		s.reads(resumed(secret, 0))
		synctest.Wait()
		require.NoError(t, conn.Auth(&told))
		require.Len(t, told, 100<<10)
		require.NoError(t, router.Shutdown(t.Context()))
		requireNothingHeld(t, router.Router)
	})
}
