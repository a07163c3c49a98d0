package clientjs

import (
	"encoding/json"
	"errors"
	"iter"
	"log/slog"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wsrouter/wsrouter"
)

// mountRecovering mounts routers with Recovery: at /recovery; at /recovery/auth,
// where the first frame must have auth; and at /recovery/brief, with a window that
// is soon over.
func mountRecovering(t *testing.T, mux *http.ServeMux) {
	t.Helper()
	newRouter := func(window time.Duration) *wsrouter.Router {
		router := wsrouter.New(&wsrouter.Options{
			Logger:   slog.New(slog.DiscardHandler),
			Origins:  []string{"127.0.0.1:*"},
			Recovery: &wsrouter.Recovery{Window: window},
		})
		registerRecovering(router)
		t.Cleanup(func() { require.NoError(t, router.Close()) })
		return router
	}
	mux.Handle("/recovery", newRouter(time.Minute))
	mux.Handle("/recovery/auth", newRouter(time.Minute).Handler(&wsrouter.WSOptions{AuthFrame: true}))
	mux.Handle("/recovery/brief", newRouter(100*time.Millisecond))
}

// diary is what a connection records.
type diary struct {
	mu     sync.Mutex // guards what follows
	got    []int      // events from the client
	banned bool
}

var diaryOf = wsrouter.NewKey[*diary]("diary")

func diaryFrom(c *wsrouter.Conn) *diary {
	d, _ := diaryOf.Get(c)
	return d
}

func (d *diary) add(n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.got = append(d.got, n)
}

func registerRecovering(router *wsrouter.Router) {
	router.OnConnect(func(c *wsrouter.Conn) error { diaryOf.Set(c, new(diary)); return nil })
	router.OnResume(func(c *wsrouter.Conn) error {
		d := diaryFrom(c)
		d.mu.Lock()
		defer d.mu.Unlock()
		if d.banned {
			return errors.New("banned")
		}
		return nil
	})
	router.On("ban", func(c *wsrouter.Context) error {
		d := diaryFrom(c.Conn())
		d.mu.Lock()
		defer d.mu.Unlock()
		d.banned = true
		return nil
	})
	wsrouter.Handle(router, "n", func(c *wsrouter.Context, n int) (any, error) {
		diaryFrom(c.Conn()).add(n)
		return nil, nil
	})
	router.On("diary", func(c *wsrouter.Context) error {
		d := diaryFrom(c.Conn())
		d.mu.Lock()
		defer d.mu.Unlock()
		return c.Reply(d.got)
	})
	router.On("whoami", func(c *wsrouter.Context) error { return c.Reply(c.Conn().ID()) })
	router.On("auth", func(c *wsrouter.Context) error {
		var auth json.RawMessage
		err := c.Conn().Auth(&auth)
		return errors.Join(err, c.Reply(auth))
	})
	registerTraffic(router)
}

func upTo(n int) iter.Seq2[int, error] {
	return func(yield func(int, error) bool) {
		for i := range n {
			if !yield(i+1, nil) {
				return
			}
		}
	}
}

// registerTraffic registers everything that may be under way when a connection is
// lost.
func registerTraffic(router *wsrouter.Router) {
	// tick emits the numbers to n, one each millisecond.
	wsrouter.Handle(router, "tick", func(c *wsrouter.Context, n int) (any, error) {
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for i := 1; i <= n; i++ {
			select {
			case <-tick.C:
			case <-c.Context().Done():
				return nil, c.Context().Err()
			}
			if err := c.Conn().Emit("tick", i); err != nil {
				return nil, err
			}
		}
		return n, nil
	}, wsrouter.Concurrent)
	router.On("count", func(c *wsrouter.Context) error {
		var to int
		if err := c.Bind(&to); err != nil {
			return err
		}
		return wsrouter.StreamSeq(c, upTo(to))
	}, wsrouter.Concurrent)
	registerWaiting(router)
}

// registerWaiting registers what waits for clients, and close.
func registerWaiting(router *wsrouter.Router) {
	// ask asks the client n questions, one after another.
	wsrouter.Handle(router, "ask", func(c *wsrouter.Context, n int) (int, error) {
		sum := 0
		for i := 1; i <= n; i++ {
			answer, err := wsrouter.Call[int](c.Context(), c.Conn(), "question", i)
			if err != nil {
				return 0, err
			}
			sum += answer
		}
		return sum, nil
	}, wsrouter.Concurrent)
	// hold answers when the client, which may be away in the meantime, releases it.
	held := make(chan struct{})
	router.On("hold", func(c *wsrouter.Context) error {
		select {
		case <-held:
			return c.Reply("released")
		case <-c.Context().Done():
			return c.Context().Err()
		}
	}, wsrouter.Concurrent)
	router.On("release", func(c *wsrouter.Context) error {
		select {
		case held <- struct{}{}:
			return nil
		case <-c.Context().Done():
			return c.Context().Err()
		}
	})
	wsrouter.Handle(router, "close", func(c *wsrouter.Context, code int) (any, error) {
		return nil, c.Conn().Close(code, "because")
	})
}
