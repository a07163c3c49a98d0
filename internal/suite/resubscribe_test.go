package suite_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wsrouter/wsrouter"
)

// watched is a server with rooms that clients watch.
type watched struct {
	router *wsrouter.Router

	mu    sync.Mutex // guards what follows
	fails []error    // for the next clients that watch
	slow  time.Duration
	asked []time.Time
}

// next returns what happens to the next client that asks.
func (s *watched) next() (wait time.Duration, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = append(s.asked, time.Now())
	wait, s.slow = s.slow, 0
	if len(s.fails) > 0 {
		err, s.fails = s.fails[0], s.fails[1:]
	}
	return wait, err
}

func newWatched() *watched {
	s := &watched{router: wsrouter.New(nil)}
	s.router.On("watch", func(c *wsrouter.Context) error {
		wait, err := s.next()
		if err != nil {
			return err
		}
		time.Sleep(wait)
		var rooms []string
		if err := c.Bind(&rooms); err != nil {
			return err
		}
		if err := errors.Join(c.Join(rooms...), c.Emit("news", "meanwhile")); err != nil {
			return err
		}
		return c.Reply(len(rooms))
	})
	return s
}

// watcher is a client that watches again after each connection.
type watcher struct {
	*wsrouter.Client
	log     []string // what was done and received, in order
	retries []error
	failed  error // what OnConnect returns once, instead of asking
}

func (s *watched) watch(t *testing.T, failed error) *watcher {
	t.Helper()
	w := &watcher{failed: failed}
	handlers := wsrouter.New(nil)
	handlers.OnConnect(func(c *wsrouter.Conn) error {
		if err := w.failed; err != nil {
			w.failed = nil
			return err
		}
		n, err := wsrouter.Call[int](c.Context(), c, "watch", []string{"a", "b"})
		if err == nil {
			require.Equal(t, 2, n)
			w.log = append(w.log, "watching")
		}
		return err
	})
	handlers.On("news", func(c *wsrouter.Context) error {
		var text string
		err := c.Bind(&text)
		w.log = append(w.log, text)
		return err
	})
	var err error
	w.Client, err = s.router.Connect(t.Context(), &wsrouter.DialOptions{Router: handlers, Reconnect: &wsrouter.Reconnect{
		OnRetry: func(_ int, _ time.Duration, err error) bool { w.retries = append(w.retries, err); return true },
	}})
	require.NoError(t, err)
	return w
}

// news returns what the client hears once it has had time to come back.
func (w *watcher) news(t *testing.T, s *watched) []string {
	t.Helper()
	time.Sleep(5 * time.Minute)
	require.NoError(t, s.router.To("b").Emit("news", "later"))
	synctest.Wait()
	return slices.Clone(w.log)
}

var watching = []string{"watching", "meanwhile", "later"}

// TestResubscribe: what a client asks for by Call in its OnConnect it asks for again on
// each connection, before it handles what the server sends meanwhile.
func TestResubscribe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newWatched()
		w := s.watch(t, nil)
		defer w.Close()
		require.Equal(t, watching, w.news(t, s))
		w.Abort()
		require.Equal(t, slices.Concat(watching, watching), w.news(t, s))
		require.Len(t, w.retries, 1)
	})
}

// TestResubscribeFails: a client whose OnConnect fails comes back, whatever the server
// has answered, with the same waits as after a lost connection.
func TestResubscribeFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newWatched()
		s.fails = []error{errors.New("boom"), wsrouter.NewError("shutting down").WithCode(wsrouter.CodeShutdown), wsrouter.NewError("no")}
		w := s.watch(t, errors.New("no token"))
		defer w.Close()
		require.Equal(t, watching, w.news(t, s))
		require.Len(t, s.asked, 4)
		require.Len(t, w.retries, 4)
		require.ErrorContains(t, w.retries[0], "no token")
		var answer *wsrouter.WsError
		require.ErrorAs(t, w.retries[2], &answer)
		require.Equal(t, wsrouter.CodeShutdown, answer.Code)
		last := s.asked[3].Sub(s.asked[2])
		require.GreaterOrEqual(t, last, 2*time.Second, "the fourth wait")
		require.LessOrEqual(t, last, 4*time.Second)
	})
}

// TestResubscribeTakesTooLong: ConnectTimeout ends a connection whose OnConnect does
// not return, and the client comes back.
func TestResubscribeTakesTooLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newWatched()
		s.slow = time.Hour
		w := s.watch(t, nil)
		defer w.Close()
		require.Equal(t, watching, w.news(t, s))
		require.Len(t, w.retries, 1)
		var ce *wsrouter.CloseError
		require.ErrorAs(t, w.retries[0], &ce)
		require.Equal(t, wsrouter.CauseTimeout, ce.Cause)
		time.Sleep(2 * time.Hour) // the first handler returns
	})
}

// TestResubscribeLost: a connection that is lost while OnConnect runs is like any
// other.
func TestResubscribeLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newWatched()
		s.slow = time.Minute
		w := s.watch(t, nil)
		defer w.Close()
		synctest.Wait()
		w.Abort()
		require.Equal(t, watching, w.news(t, s)[:3])
		require.Len(t, w.retries, 1)
	})
}

// TestOnConnectStaysAway: after a CloseError with a code that means so, or after Close,
// a client's OnConnect does not run again.
func TestOnConnectStaysAway(t *testing.T) {
	for name, code := range map[string]int{"application": 4001, "policy": wsrouter.ClosePolicy, "normal": wsrouter.CloseNormal} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newWatched()
				handlers := wsrouter.New(nil)
				runs := 0
				handlers.OnConnect(func(*wsrouter.Conn) error { runs++; return &wsrouter.CloseError{Code: code, Reason: "enough"} })
				client, err := s.router.Connect(t.Context(), &wsrouter.DialOptions{Router: handlers, Reconnect: &wsrouter.Reconnect{}})
				require.NoError(t, err)
				defer client.Close()
				time.Sleep(5 * time.Minute)
				synctest.Wait()
				require.Equal(t, 1, runs)
				require.ErrorContains(t, client.Emit("x"), "enough")
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				require.ErrorContains(t, client.Ready(ctx), "enough")
			})
		})
	}
}

// TestCloseInOnConnect: Conn.Close there ends the client, whatever OnConnect returns.
func TestCloseInOnConnect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		handlers := wsrouter.New(nil)
		runs := 0
		handlers.OnConnect(func(c *wsrouter.Conn) error {
			runs++
			require.NoError(t, c.Close(wsrouter.CloseNormal, ""))
			return errors.New("closed")
		})
		client, err := newWatched().router.Connect(t.Context(), &wsrouter.DialOptions{Router: handlers, Reconnect: &wsrouter.Reconnect{}})
		require.NoError(t, err)
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		require.Equal(t, 1, runs)
		require.NoError(t, client.Close())
	})
}
