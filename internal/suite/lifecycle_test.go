package suite_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wsrouter/wsrouter"
	"github.com/wsrouter/wsrouter/internal/rawtest"
	"github.com/wsrouter/wsrouter/wsroutertest"
)

// TestOnInit: it runs once, before the first client, and clients wait for it.
func TestOnInit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		router := newRouter()
		inits := 0
		router.OnInit(func(r *wsrouter.Router) error {
			require.Same(t, router, r)
			time.Sleep(time.Minute)
			inits++
			return nil
		})
		begin := time.Now()
		var wg sync.WaitGroup
		for range 10 {
			wg.Go(func() { wsroutertest.Connect(t, router, nil) })
		}
		wg.Wait()
		require.Equal(t, time.Minute, time.Since(begin))
		require.Equal(t, 1, inits)
	})
}

// TestOnInitFails: its error, or panic, refuses clients with 503.
func TestOnInitFails(t *testing.T) {
	for name, fn := range map[string]func(*wsrouter.Router) error{
		"error":  func(*wsrouter.Router) error { return errors.New("no database") },
		"panic":  func(*wsrouter.Router) error { panic("no database") },
		"goexit": func(*wsrouter.Router) error { runtime.Goexit(); return nil },
	} {
		t.Run(name, func(t *testing.T) {
			router := newRouter()
			router.OnInit(fn)
			for range 2 {
				_, err := router.Connect(t.Context(), nil)
				var status *wsrouter.StatusError
				require.ErrorAs(t, err, &status)
				require.Equal(t, http.StatusServiceUnavailable, status.StatusCode)
				require.NotContains(t, status.Text, "database")
			}
		})
	}
}

// TestOnConnectGuards: until it returns nil the client's events wait, emits to the
// client are held, and no Target selects it. After that everything arrives in order.
func TestOnConnectGuards(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		router := newRouter()
		let := make(chan struct{})
		router.OnConnect(func(c *wsrouter.Conn) error {
			require.NoError(t, c.Emit("welcome", 1))
			require.NoError(t, c.Join("room:a"))
			require.Equal(t, []string{"room:a"}, c.Rooms())
			require.ErrorIs(t, c.Call(c.Context(), "q", nil, nil), wsrouter.ErrNotConnected)
			<-let
			return c.Emit("welcome", 2)
		})
		client := wsroutertest.Connect(t, router, nil)
		client.Emit("events", "early")
		require.NoError(t, router.Emit("broadcast", "too early"))
		client.ExpectNothing()
		require.Equal(t, 0, router.Stats().Connections)
		close(let)
		client.Expect("welcome", 1)
		client.Expect("welcome", 2)
		client.Expect("events", "early")
		require.NoError(t, router.To("room:a").Emit("broadcast", "now"))
		client.Expect("broadcast", "now")
	})
}

// TestOnConnectRefuses: the error determines the code, joins are undone, held emits are
// dropped, and OnDisconnect does not run for clients that were never connected.
func TestOnConnectRefuses(t *testing.T) {
	tests := []struct {
		name   string
		fn     func() error
		code   int
		reason string
	}{
		{"CloseError", func() error { return &wsrouter.CloseError{Code: 4003, Reason: "no seat"} }, 4003, "no seat"},
		{"CloseError without code", func() error { return &wsrouter.CloseError{Reason: "no"} }, 1008, "no"},
		{"WsError", func() error { return wsrouter.NewError("refused") }, 1008, "refused"},
		{"long message", func() error { return wsrouter.NewError(strings.Repeat("é", 100)) }, 1008, strings.Repeat("é", 61)},
		{"unknown error", func() error { return errors.New("secret") }, 1011, "Internal server error"},
		{"panic", func() error { panic("secret") }, 1011, "Internal server error"},
		{"goexit", func() error { runtime.Goexit(); return nil }, 1011, "Internal server error"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				router := newRouter()
				var refused *wsrouter.Conn
				router.OnConnect(func(c *wsrouter.Conn) error {
					refused = c
					require.NoError(t, c.Join("room:a"))
					require.NoError(t, c.Emit("welcome"))
					return test.fn()
				})
				router.OnDisconnect(func(context.Context, *wsrouter.Conn, *wsrouter.CloseError) { t.Error("was never connected") })
				client := wsroutertest.Connect(t, router, nil)
				client.Emit("events", "hi")
				ce := client.ExpectClose(test.code)
				require.Equal(t, test.reason, ce.Reason)
				require.Equal(t, wsrouter.CausePeer, ce.Cause)
				client.ExpectNothing()
				require.Empty(t, refused.Rooms())
				require.Equal(t, 0, router.Stats().Rooms)
				require.EqualValues(t, 1, router.Stats().Refused[wsrouter.RefusedGuard])
				require.ErrorAs(t, refused.Emit("x"), &ce)
				require.Error(t, refused.Join("x"))
			})
		})
	}
}

// TestConnectTimeout: it bounds OnConnect, and the wait for the auth frame.
func TestConnectTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		router := newRouter()
		router.OnConnect(func(c *wsrouter.Conn) error {
			<-c.Context().Done()
			return context.Cause(c.Context())
		})
		begin := time.Now()
		wsroutertest.Connect(t, router, nil).ExpectClose(1013)
		require.Equal(t, 10*time.Second, time.Since(begin))

		begin = time.Now()
		raw := rawtest.Connect(router, &wsrouter.WSOptions{AuthFrame: true}, nil)
		_, ce := raw.Read()
		require.Equal(t, 1013, ce.Code)
		require.Equal(t, 10*time.Second, time.Since(begin))
		raw.Wait()
		require.Equal(t, map[wsrouter.Refusal]int64{wsrouter.RefusedTimeout: 2}, router.Stats().Refused)
	})
}

// TestVanishInOnConnect: when the client goes meanwhile, the hook's context ends.
func TestVanishInOnConnect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		router := newRouter()
		ends := 0
		router.OnConnect(func(c *wsrouter.Conn) error { <-c.Context().Done(); return nil })
		router.OnDisconnect(func(context.Context, *wsrouter.Conn, *wsrouter.CloseError) { ends++ })
		raw := rawtest.Connect(router, nil, nil)
		synctest.Wait()
		raw.Abort()
		raw.Wait()
		require.Equal(t, 1, ends, "OnConnect returned nil, so there is something to undo")
		require.Equal(t, 0, router.Stats().Connections)
	})
}

// TestAuthFrame: OnConnect has the payload. Any other first frame is refused.
func TestAuthFrame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		router := newRouter()
		router.OnConnect(func(c *wsrouter.Conn) error {
			var auth struct{ Token string }
			if err := c.Auth(&auth); err != nil {
				return err
			}
			if auth.Token != "good" {
				return wsrouter.NewError("bad token")
			}
			return nil
		})
		token := func(v any) *wsrouter.DialOptions {
			return &wsrouter.DialOptions{Auth: func(context.Context) (any, error) { return v, nil }}
		}
		client := wsroutertest.Connect(t, router, token(map[string]string{"token": "good"}))
		client.Emit("events", "hi")
		client.Expect("events", "hi")
		wsroutertest.Connect(t, router, token(map[string]string{"token": "x"})).ExpectClose(1008)
		ce := wsroutertest.Connect(t, router, token(map[string]int{"token": 1})).ExpectClose(1008)
		require.Equal(t, "auth.token: expected a string, got a number", ce.Reason)

		_, err := router.Connect(t.Context(), token(make(chan int)))
		require.ErrorContains(t, err, "auth")
		_, err = router.Connect(t.Context(), &wsrouter.DialOptions{
			Auth: func(context.Context) (any, error) { return nil, errors.New("no token") },
		})
		require.ErrorContains(t, err, "no token")

		raw := rawtest.Connect(router, &wsrouter.WSOptions{AuthFrame: true}, nil)
		raw.Send(`{"ping":1}`)
		raw.Read()
		raw.Send(`{"event":"events","data":"too early"}`)
		_, closed := raw.Read()
		require.Equal(t, &wsrouter.CloseError{Code: 1008, Reason: "auth expected"}, closed)
		raw.Wait()
	})
}

// TestOnDisconnect: it runs after the handlers, with a live context of its own,
// readable rooms, and a cause to switch on.
func TestOnDisconnect(t *testing.T) {
	tests := []struct {
		name string
		end  func(raw *rawtest.Raw, c *wsrouter.Conn)
		want wsrouter.CloseError
	}{
		{"peer", func(raw *rawtest.Raw, _ *wsrouter.Conn) { raw.Close(4000, "done") }, wsrouter.CloseError{Code: 4000, Reason: "done", Cause: wsrouter.CausePeer}},
		{"cut", func(raw *rawtest.Raw, _ *wsrouter.Conn) { raw.Abort() }, wsrouter.CloseError{Code: 1006, Cause: wsrouter.CausePeer}},
		{"us", func(_ *rawtest.Raw, c *wsrouter.Conn) { c.Close(4001, "bye"); c.Close(4002, "again") }, wsrouter.CloseError{Code: 4001, Reason: "bye", Cause: wsrouter.CauseLocal}},
		{"protocol", func(raw *rawtest.Raw, _ *wsrouter.Conn) { raw.Send(`{"id":1,"re":1}`) }, wsrouter.CloseError{Code: 1002, Reason: "id beside re", Cause: wsrouter.CauseProtocol}},
		{"silence", func(*rawtest.Raw, *wsrouter.Conn) { time.Sleep(time.Minute) }, wsrouter.CloseError{Code: 1006, Reason: "ping timeout", Cause: wsrouter.CauseTimeout}},
		{"close", func(_ *rawtest.Raw, c *wsrouter.Conn) { c.Router().Close() }, wsrouter.CloseError{Code: 1001, Reason: "shutting down", Cause: wsrouter.CauseShutdown}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				router := newRouter()
				var conn *wsrouter.Conn
				router.OnConnect(func(c *wsrouter.Conn) error { conn = c; return c.Join("room:a", "room:b") })
				ended := 0
				router.OnDisconnect(func(ctx context.Context, c *wsrouter.Conn, err *wsrouter.CloseError) {
					ended++
					var ce *wsrouter.CloseError
					require.ErrorAs(t, err, &ce)
					require.Equal(t, test.want, *ce)
					require.ErrorIs(t, err, context.Cause(c.Context()))
					require.NoError(t, ctx.Err())
					require.Equal(t, []string{"room:a", "room:b"}, c.Rooms())
					require.Equal(t, 0, router.Stats().Connections)
					require.NoError(t, router.To("room:a", c.ID()).Emit("nobody is there"))
					<-ctx.Done() // HookTimeout
				})
				raw := rawtest.Connect(router, nil, nil)
				synctest.Wait()
				test.end(raw, conn)
				raw.Wait()
				require.Equal(t, 1, ended)
				require.Empty(t, conn.Rooms())
				require.ErrorIs(t, conn.Emit("x"), context.Cause(conn.Context()))
			})
		})
	}
}

func TestOnDisconnectPanics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, fn := range []func(){func() { panic("x") }, runtime.Goexit} {
			router := newRouter()
			router.OnDisconnect(func(context.Context, *wsrouter.Conn, *wsrouter.CloseError) { fn() })
			client := wsroutertest.Connect(t, router, nil)
			synctest.Wait()
			require.NoError(t, client.Close())
			require.NoError(t, router.Shutdown(t.Context()))
			require.EqualValues(t, 1, router.Stats().Panics)
		}
	})
}

// TestCloseInsideHandler: what was sent before arrives, and what comes after is not
// handled.
func TestCloseInsideHandler(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		router := newRouter()
		router.On("close", func(c *wsrouter.Context) error {
			c.Emit("last", "words")
			require.Error(t, c.Conn().Close(999, "no such code"))
			require.NoError(t, c.Conn().Close(4001, "bye"))
			var ce *wsrouter.CloseError
			require.ErrorAs(t, c.Emit("too late"), &ce)
			require.Equal(t, 4001, ce.Code)
			require.ErrorAs(t, c.Conn().Call(c.Context(), "too late", nil, nil), &ce)
			return nil
		})
		client := wsroutertest.Connect(t, router, nil)
		client.Emit("close")
		client.Emit("events", "not handled")
		client.Expect("last", "words")
		require.Equal(t, "bye", client.ExpectClose(4001).Reason)
		client.ExpectNothing()
	})
}

// TestShutdown: running handlers finish, streams end, queued frames and what was
// read are served, OnDisconnect runs, late clients are refused.
func TestShutdown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		router := newRouter()
		var ended atomic.Int64
		router.OnDisconnect(func(_ context.Context, _ *wsrouter.Conn, err *wsrouter.CloseError) {
			time.Sleep(time.Second)
			ended.Add(1)
		})
		router.On("slow", func(c *wsrouter.Context) error { time.Sleep(time.Minute); return c.Reply(c.Value()) })
		router.On("endless", func(c *wsrouter.Context) error {
			ch := make(chan int)
			go func() { <-c.Context().Done(); close(ch) }()
			return wsrouter.Stream(c, ch)
		})
		router.On("ask", func(c *wsrouter.Context) error {
			time.Sleep(30 * time.Second)
			return c.Conn().Call(c.Context(), "question", nil, nil)
		})
		answers := wsrouter.New(nil)
		answers.On("question", noop)
		client := wsroutertest.Connect(t, router, &wsrouter.DialOptions{Router: answers})
		idle := wsroutertest.Connect(t, router, nil)
		client.Emit("endless")
		client.Emit("ask")
		client.Emit("slow", 1)
		client.Emit("slow", 2)
		synctest.Wait()

		begin := time.Now()
		done := make(chan error)
		go func() { done <- router.Shutdown(t.Context()) }()
		client.Expect("exception", map[string]string{"status": "error", "message": "shutting down", "code": "shutdown"})
		idle.ExpectClose(1001)
		_, err := router.Connect(t.Context(), nil)
		var status *wsrouter.StatusError
		require.ErrorAs(t, err, &status)
		require.Equal(t, 503, status.StatusCode)
		client.Expect("slow", 1)
		client.Expect("slow", 2)
		require.Equal(t, "shutting down", client.ExpectClose(1001).Reason)
		require.NoError(t, <-done)
		require.Equal(t, 2*time.Minute+31*time.Second, time.Since(begin))
		require.EqualValues(t, 2, ended.Load())
		require.NoError(t, router.Shutdown(t.Context()), "idempotent")
		require.NoError(t, router.Close())
	})
}

// TestShutdownCut: when the context ends the remaining connections are cut, and its
// error is returned.
func TestShutdownCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		router := newRouter()
		refuse := make(chan struct{})
		router.On("polite", func(c *wsrouter.Context) error { <-c.Context().Done(); return nil })
		router.On("rude", func(c *wsrouter.Context) error { <-refuse; return nil })
		polite, rude := wsroutertest.Connect(t, router, nil), wsroutertest.Connect(t, router, nil)
		polite.Emit("polite")
		rude.Emit("rude")
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		begin := time.Now()
		require.ErrorIs(t, router.Shutdown(ctx), context.DeadlineExceeded)
		require.Less(t, time.Since(begin), time.Minute+5*time.Second)
		polite.ExpectClose(1006)
		rude.ExpectClose(1006)
		require.Equal(t, 0, router.Stats().Connections)
		close(refuse)
		require.NoError(t, router.Shutdown(t.Context()))
	})
}

// TestShutdownInsideHandler: Shutdown does not wait for the handler that calls it, and
// is not cut short when that handler's own connection ends.
func TestShutdownInsideHandler(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		router := newRouter()
		result := make(chan error, 1)
		router.On("shutdown", func(c *wsrouter.Context) error {
			result <- router.Shutdown(c.Context())
			return nil
		})
		router.On("slow", func(c *wsrouter.Context) error { time.Sleep(time.Minute); return c.Reply("done") })
		admin, user := wsroutertest.Connect(t, router, nil), wsroutertest.Connect(t, router, nil)
		user.Emit("slow")
		synctest.Wait()
		begin := time.Now()
		admin.Emit("shutdown")
		admin.ExpectClose(1001)
		require.NoError(t, <-result)
		require.Equal(t, time.Minute, time.Since(begin))
		user.Expect("slow", "done")
		user.ExpectClose(1001)
	})
}

// TestShutdownNamespace ends only one namespace and its children.
func TestShutdownNamespace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		router := newRouter()
		chat := router.Namespace("/chat")
		room := chat.Namespace("/room")
		root := wsroutertest.Connect(t, router, nil)
		inChat, inRoom := wsroutertest.Connect(t, chat, nil), wsroutertest.Connect(t, room, nil)
		synctest.Wait()
		require.NoError(t, chat.Shutdown(t.Context()))
		inChat.ExpectClose(1001)
		inRoom.ExpectClose(1001)
		_, err := room.Connect(t.Context(), nil)
		require.Error(t, err)
		root.Emit("events", "hi")
		root.Expect("events", "hi")
	})
}

// TestClose: it cuts connections and does not wait for handlers.
func TestClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		router := newRouter()
		ended := false
		router.On("slow", func(c *wsrouter.Context) error {
			<-c.Context().Done()
			time.Sleep(time.Minute)
			ended = true
			return nil
		})
		client := wsroutertest.Connect(t, router, nil)
		client.Emit("slow")
		synctest.Wait()
		begin := time.Now()
		require.NoError(t, router.Close())
		require.NoError(t, router.Close())
		require.Zero(t, time.Since(begin))
		client.ExpectClose(1006)
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		require.True(t, ended)
	})
}

// TestLogs: one line when a client connects, one when it disconnects, and nothing
// private.
func TestLogs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		router := wsrouter.New(&wsrouter.Options{Logger: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))})
		router.On("fail", func(*wsrouter.Context) error { return errors.New("cause") })
		req, _ := http.NewRequest("GET", "http://host/ws?token=private", nil)
		req.Header.Set("Cookie", "private")
		client := wsroutertest.Connect(t, router, &wsrouter.DialOptions{
			Request: req,
			Auth:    func(context.Context) (any, error) { return "private", nil },
		})
		synctest.Wait()
		require.Equal(t, 1, strings.Count(log.String(), "\n"), log.String())
		require.Contains(t, log.String(), `msg="wsrouter: connected" conn=`)
		client.Emit("private", "private")
		client.Call(t.Context(), "private", "private", nil)
		client.Emit("fail", "private")
		time.Sleep(90 * time.Second)
		client.Close()
		synctest.Wait()
		require.Contains(t, log.String(), `duration=1m30s cause=peer code=1000 bytes_in=`)
		require.Contains(t, log.String(), `event=fail err=cause`)
		require.NotContains(t, log.String(), "private")
	})
}

// TestConn checks the accessors of a connection.
func TestConn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		type user struct{ Name string }
		userKey, other := wsrouter.NewKey[user]("user"), wsrouter.NewKey[user]("user")
		router := newRouter()
		router.OnConnect(func(c *wsrouter.Conn) error {
			userKey.Set(c, user{"ann"})
			require.Equal(t, "value", c.Context().Value(ctxKey{}))
			return nil
		})
		router.On("who", func(c *wsrouter.Context) error {
			u, ok := userKey.Get(c.Conn())
			require.True(t, ok)
			_, ok = other.Get(c.Conn())
			require.False(t, ok)
			require.Equal(t, "user", userKey.String())
			require.Equal(t, "/?x=1", c.Request().URL.RequestURI())
			require.Regexp(t, "^~[A-Za-z0-9_-]{19}$", c.Conn().ID())
			return c.Reply(u.Name)
		})
		ctx, cancel := context.WithCancel(context.WithValue(t.Context(), ctxKey{}, "value"))
		req, _ := http.NewRequestWithContext(ctx, "GET", "http://host/?x=1", nil)
		client := wsroutertest.Connect(t, router, &wsrouter.DialOptions{Request: req})
		cancel() // the connection does not end with the request
		client.Emit("who")
		client.Expect("who", "ann")
	})
}
