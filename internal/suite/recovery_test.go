package suite_test

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wsrouter/wsrouter"
)

// resuming is a server with recovery, and what its hooks were told.
type resuming struct {
	*wsrouter.Router
	mu   sync.Mutex
	told []string
}

func newResuming(o wsrouter.Options) *resuming {
	if o.Recovery == nil {
		o.Recovery = &wsrouter.Recovery{Window: time.Minute}
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	r := &resuming{Router: wsrouter.New(&o)}
	r.OnConnect(func(*wsrouter.Conn) error { r.tell("connect"); return nil })
	r.OnAway(func(c *wsrouter.Conn, err *wsrouter.CloseError) { r.tell("away") })
	r.OnResume(func(c *wsrouter.Conn) error { r.tell("resume"); return nil })
	r.OnDisconnect(func(_ context.Context, c *wsrouter.Conn, err *wsrouter.CloseError) {
		if c.Away() {
			r.tell("expired")
			return
		}
		r.tell("disconnect")
	})
	return r
}

func (r *resuming) tell(what string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.told = append(r.told, what)
}

func (r *resuming) wasTold() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]string(nil), r.told...)
}

// resumes returns the options of a client that comes back soon.
func resumes(o wsrouter.DialOptions) *wsrouter.DialOptions {
	if o.Router == nil {
		o.Router = wsrouter.New(&wsrouter.Options{Logger: slog.New(slog.DiscardHandler)})
	}
	if o.Reconnect == nil {
		o.Reconnect = &wsrouter.Reconnect{Min: time.Second, Max: time.Second}
	}
	o.Reconnect.Resume = true
	return &o
}

// TestResume: a lost client resumes its Conn, with rooms and values, and both sides get
// what they have missed, in order and once.
func TestResume(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		router := newResuming(wsrouter.Options{})
		var got []int
		router.On("n", func(c *wsrouter.Context) error {
			var n int
			err := c.Bind(&n)
			got = append(got, n)
			return err
		})
		user := wsrouter.NewKey[string]("user")
		router.On("login", func(c *wsrouter.Context) error {
			user.Set(c.Conn(), "ann")
			return c.Join("lobby")
		})
		router.On("who", func(c *wsrouter.Context) error {
			name, _ := user.Get(c.Conn())
			return c.Reply(name)
		})
		mine := wsrouter.New(&wsrouter.Options{Logger: slog.New(slog.DiscardHandler)})
		var news []int
		mine.On("news", func(c *wsrouter.Context) error {
			var n int
			err := c.Bind(&n)
			news = append(news, n)
			return err
		})
		client, err := router.Connect(t.Context(), resumes(wsrouter.DialOptions{Router: mine}))
		require.NoError(t, err)
		require.NoError(t, client.Call(t.Context(), "login", nil, nil))
		server := router.only()
		require.NoError(t, router.To("lobby").Emit("news", 1))
		synctest.Wait()
		require.False(t, server.Away())

		before := client.Conn()
		client.Abort()
		synctest.Wait()
		require.True(t, server.Away())
		require.True(t, before.Away())
		require.Equal(t, []*wsrouter.Conn{server}, slices.Collect(router.Conns()))
		require.Equal(t, 1, router.Stats().Away)
		require.Equal(t, 1, router.Stats().Connections)
		for n := 2; n <= 4; n++ {
			require.NoError(t, router.To("lobby").Emit("news", n))
			require.NoError(t, client.Emit("n", n))
		}
		require.Empty(t, got)
		require.NoError(t, client.Ready(t.Context()))
		synctest.Wait()

		require.Same(t, before, client.Conn())
		require.Equal(t, []int{1, 2, 3, 4}, news)
		require.Equal(t, []int{2, 3, 4}, got)
		require.False(t, server.Away())
		require.True(t, server.Recovered())
		name, err := wsrouter.Call[string](t.Context(), client, "who", nil)
		require.NoError(t, err)
		require.Equal(t, "ann", name)
		require.Equal(t, []string{"connect", "away", "resume"}, router.wasTold())
		require.EqualValues(t, 1, router.Stats().Resumed)
		require.Zero(t, router.Stats().Away)

		require.NoError(t, client.Close())
		synctest.Wait()
		require.Equal(t, []string{"connect", "away", "resume", "disconnect"}, router.wasTold())
		requireNothingHeld(t, router.Router)
	})
}

// requireNothingHeld requires that no connection, session or byte is left.
func requireNothingHeld(t *testing.T, router *wsrouter.Router) {
	t.Helper()
	synctest.Wait()
	st := router.Stats()
	require.Zero(t, st.Connections+st.Rooms+st.Inbox+st.Outbox+st.Handlers+st.Streams+st.Producers+st.Away, "%+v", st)
}

// TestCallsAndStreamsGoOn: those of both sides go on over a loss in the middle.
func TestCallsAndStreamsGoOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		router := newResuming(wsrouter.Options{})
		release := make(chan struct{})
		router.On("slow", func(c *wsrouter.Context) error {
			<-release
			return c.Reply("done")
		})
		router.On("count", func(c *wsrouter.Context) error {
			return wsrouter.StreamSeq(c, func(yield func(int, error) bool) {
				for i := 1; i <= 100 && yield(i, nil); i++ {
				}
			})
		}, wsrouter.Concurrent)
		mine := wsrouter.New(&wsrouter.Options{Logger: slog.New(slog.DiscardHandler)})
		asked := make(chan struct{})
		mine.On("ask", func(c *wsrouter.Context) error {
			<-asked
			return c.Reply("answer")
		})
		client, err := router.Connect(t.Context(), resumes(wsrouter.DialOptions{Router: mine}))
		require.NoError(t, err)
		var wg sync.WaitGroup
		wg.Go(func() {
			answer, err := wsrouter.Call[string](t.Context(), client, "slow", nil)
			require.NoError(t, err)
			require.Equal(t, "done", answer)
		})
		wg.Go(func() {
			want := 1
			for n, err := range wsrouter.Pull[int](t.Context(), client, "count", nil) {
				require.NoError(t, err)
				require.Equal(t, want, n)
				if want++; n%30 == 0 {
					client.Abort()
				}
			}
			require.Equal(t, 101, want)
		})
		server := router.only()
		wg.Go(func() {
			answer, err := wsrouter.Call[string](t.Context(), server, "ask", nil)
			require.NoError(t, err)
			require.Equal(t, "answer", answer)
		})
		synctest.Wait()
		client.Abort()
		synctest.Wait()
		close(release)
		close(asked)
		wg.Wait()
		require.GreaterOrEqual(t, router.Stats().Resumed, int64(2))
		require.NoError(t, client.Ready(t.Context())) // a client that is away cannot say goodbye
		require.NoError(t, client.Close())
		synctest.Wait()
		requireNothingHeld(t, router.Router)
	})
}

// TestExpiry: after the window the connection ends on both sides, and the client makes
// a new one.
func TestExpiry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		router := newResuming(wsrouter.Options{})
		var up atomic.Bool
		up.Store(true)
		client, err := router.Connect(t.Context(), resumes(wsrouter.DialOptions{
			Reconnect: &wsrouter.Reconnect{Min: time.Second, Max: time.Second},
			HeaderFunc: func(context.Context) (http.Header, error) {
				if !up.Load() {
					return nil, errors.New("no network")
				}
				return nil, nil
			},
		}))
		require.NoError(t, err)
		first := client.Conn()
		synctest.Wait()
		up.Store(false)
		client.Abort()
		synctest.Wait()
		pending := make(chan error, 1)
		go func() { pending <- client.Call(t.Context(), "x", nil, nil) }()
		time.Sleep(59 * time.Second)
		synctest.Wait()
		require.True(t, first.Away())
		require.Equal(t, []string{"connect", "away"}, router.wasTold())
		time.Sleep(2 * time.Second)
		synctest.Wait()
		require.Equal(t, []string{"connect", "away", "expired"}, router.wasTold())
		var ce *wsrouter.CloseError
		require.ErrorAs(t, <-pending, &ce)
		require.Equal(t, wsrouter.CloseAbnormal, ce.Code)
		require.ErrorAs(t, client.Emit("x"), &ce)
		require.Empty(t, slices.Collect(router.Conns()))
		require.EqualValues(t, 1, router.Stats().Expired)
		requireNothingHeld(t, router.Router)

		up.Store(true)
		require.NoError(t, client.Ready(t.Context()))
		require.NotSame(t, first, client.Conn())
		require.NoError(t, client.Close())
	})
}

// TestGoodbyesEndConnections: a client that leaves is not away, and Shutdown ends those
// that are.
func TestGoodbyesEndConnections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		router := newResuming(wsrouter.Options{})
		client, err := router.Connect(t.Context(), resumes(wsrouter.DialOptions{}))
		require.NoError(t, err)
		require.NoError(t, client.Close())
		synctest.Wait()
		require.Equal(t, []string{"connect", "disconnect"}, router.wasTold())
		client, err = router.Connect(t.Context(), resumes(wsrouter.DialOptions{Reconnect: &wsrouter.Reconnect{Min: time.Minute, Max: time.Minute}}))
		require.NoError(t, err)
		synctest.Wait()
		client.Abort()
		synctest.Wait()
		require.Equal(t, 1, router.Stats().Away)
		require.NoError(t, router.Shutdown(t.Context()))
		require.Equal(t, []string{"connect", "disconnect", "connect", "away", "expired"}, router.wasTold())
		require.NoError(t, client.Close())
		requireNothingHeld(t, router.Router)
	})
}

// TestCloseResume: a token can be refreshed this way, and nothing is lost.
func TestCloseResume(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		router := newResuming(wsrouter.Options{})
		tokens := 0
		client, err := router.Connect(t.Context(), resumes(wsrouter.DialOptions{
			Auth: func(context.Context) (any, error) { tokens++; return tokens, nil },
		}))
		require.NoError(t, err)
		server := router.only()
		require.NoError(t, server.Close(wsrouter.CloseResume, "token expired"))
		require.True(t, server.Away())
		synctest.Wait()
		require.NoError(t, client.Ready(t.Context()))
		var token int
		require.NoError(t, server.Auth(&token))
		require.Equal(t, 2, token)
		require.Equal(t, []string{"connect", "away", "resume"}, router.wasTold())
		require.NoError(t, client.Close())
	})
}

// only waits for the only connection and returns it.
func (r *resuming) only() *wsrouter.Conn {
	synctest.Wait()
	return slices.Collect(r.Conns())[0]
}
