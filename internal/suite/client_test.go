package suite_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wsrouter/wsrouter"
)

// TestReconnect: a client that lost its connection comes back on its own, with a fresh
// auth payload, and hooks run for each connection.
func TestReconnect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		router := newRouter()
		var tokens []int
		router.OnConnect(func(c *wsrouter.Conn) error {
			var n int
			err := c.Auth(&n)
			tokens = append(tokens, n)
			return err
		})
		hold := make(chan struct{})
		router.On("hold", func(c *wsrouter.Context) error { <-hold; return nil })
		handlers := wsrouter.New(nil)
		connects, disconnects := 0, 0
		handlers.OnConnect(func(*wsrouter.Conn) error { connects++; return nil })
		handlers.OnDisconnect(func(context.Context, *wsrouter.Conn, *wsrouter.CloseError) { disconnects++ })
		auths, retries := 0, 0
		client, err := router.Connect(t.Context(), &wsrouter.DialOptions{
			Router: handlers,
			Auth:   func(context.Context) (any, error) { auths++; return auths, nil },
			Reconnect: &wsrouter.Reconnect{OnRetry: func(attempt int, wait time.Duration, err error) bool {
				retries++
				require.Equal(t, 1, attempt)
				require.GreaterOrEqual(t, wait, 250*time.Millisecond)
				require.LessOrEqual(t, wait, 500*time.Millisecond)
				require.ErrorContains(t, err, "1006")
				return true
			}},
		})
		require.NoError(t, err)
		require.NoError(t, client.Ready(t.Context()))
		synctest.Wait()
		lost := make(chan error)
		go func() { lost <- client.Call(t.Context(), "hold", nil, nil) }()
		synctest.Wait()
		client.Abort()
		var ce *wsrouter.CloseError
		require.ErrorAs(t, <-lost, &ce, "a call in flight says that the connection went")
		require.ErrorAs(t, client.Emit("events", "x"), &ce, "nothing is queued while away")
		close(hold)
		require.NoError(t, client.Ready(t.Context()))
		require.NoError(t, client.Call(t.Context(), "events", "back", nil))
		require.Equal(t, []int{1, 2}, tokens)
		require.Equal(t, 1, retries)
		require.NoError(t, client.Close())
		require.NoError(t, client.Close())
		require.Equal(t, 2, connects)
		require.Equal(t, 2, disconnects)
		require.Error(t, client.Ready(t.Context()))
	})
}

// TestReconnectBackoff: waits double up to the cap, with jitter. After a connection
// that lasted they start over. Close ends the wait.
func TestReconnectBackoff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		router := wsrouter.New(nil)
		var down atomic.Bool
		var waits []time.Duration
		client, err := router.Connect(t.Context(), &wsrouter.DialOptions{
			Auth: func(context.Context) (any, error) {
				if down.Load() {
					return nil, errors.New("no token")
				}
				return nil, nil
			},
			Reconnect: &wsrouter.Reconnect{Min: time.Second, Max: time.Minute,
				OnRetry: func(attempt int, wait time.Duration, _ error) bool {
					require.Equal(t, len(waits)+1, attempt)
					waits = append(waits, wait)
					return true
				}},
		})
		require.NoError(t, err)
		synctest.Wait()
		down.Store(true)
		client.Abort()
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		require.Greater(t, len(waits), 10)
		for i, wait := range waits {
			full := min(time.Second<<i, time.Minute)
			require.GreaterOrEqual(t, wait, full/2)
			require.LessOrEqual(t, wait, full)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		require.ErrorIs(t, client.Ready(ctx), context.DeadlineExceeded)
		down.Store(false)
		require.NoError(t, client.Ready(t.Context()))
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		waits = nil
		down.Store(true)
		client.Abort()
		synctest.Wait()
		require.Len(t, waits, 1)
		require.LessOrEqual(t, waits[0], time.Second)
		begin := time.Now()
		require.NoError(t, client.Close())
		require.Zero(t, time.Since(begin))
	})
}

// TestReconnectCodes: after which ends a client comes back.
func TestReconnectCodes(t *testing.T) {
	codes := map[int]bool{
		1000: false, 1001: true, 1002: false, 1008: false, 1009: false, 1011: true, 1012: true, 1013: true,
		3000: true, 4000: false, 4499: false, 4500: true, 4999: true,
	}
	for code, back := range codes {
		t.Run(fmt.Sprint(code), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				router := newRouter()
				router.On("close", func(c *wsrouter.Context) error { return c.Conn().Close(code, "") })
				client, err := router.Connect(t.Context(), &wsrouter.DialOptions{Reconnect: &wsrouter.Reconnect{}})
				require.NoError(t, err)
				require.NoError(t, client.Emit("close"))
				<-client.Conn().Context().Done()
				err = client.Ready(t.Context())
				var ce *wsrouter.CloseError
				if back {
					require.NoError(t, err)
				} else {
					require.ErrorAs(t, err, &ce)
					require.Equal(t, code, ce.Code)
				}
				require.NoError(t, client.Close())
			})
		})
	}
}

// TestReconnectOverNetwork: a client tries again if the server is not there yet, and
// gives up if it is refused for good.
func TestReconnectOverNetwork(t *testing.T) {
	router := newRouter()
	var status atomic.Int32
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if code := status.Load(); code != 0 {
			w.WriteHeader(int(code))
			return
		}
		router.ServeHTTP(w, r)
	}))
	defer s.Close()
	client, err := wsrouter.Dial(t.Context(), s.URL, &wsrouter.DialOptions{Reconnect: &wsrouter.Reconnect{
		Min: time.Millisecond,
		OnRetry: func(attempt int, _ time.Duration, _ error) bool {
			switch attempt {
			case 1:
				status.Store(http.StatusBadGateway)
			case 3:
				status.Store(0)
			}
			return true
		},
	}})
	require.NoError(t, err)
	lost := client.Conn()
	client.Abort()
	<-lost.Context().Done()
	require.NoError(t, client.Ready(t.Context()))
	require.NoError(t, client.Call(t.Context(), "events", "back", nil))

	status.Store(http.StatusUnauthorized)
	client.Abort()
	err = client.Ready(t.Context())
	for err == nil { // the client had not noticed yet
		err = client.Ready(t.Context())
	}
	var se *wsrouter.StatusError
	require.ErrorAs(t, err, &se)
	require.Equal(t, http.StatusUnauthorized, se.StatusCode)
	require.NoError(t, client.Close())
	require.NoError(t, router.Shutdown(t.Context()))
}

// TestReconnectGivesUp: OnRetry may end the attempts, and Close may come while the
// client is dialing.
func TestReconnectGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		attempts := 0
		client, err := newRouter().Connect(t.Context(), &wsrouter.DialOptions{Reconnect: &wsrouter.Reconnect{
			OnRetry: func(attempt int, _ time.Duration, _ error) bool { attempts++; return false },
		}})
		require.NoError(t, err)
		client.Abort()
		<-client.Conn().Context().Done()
		require.ErrorContains(t, client.Ready(t.Context()), "1006")
		require.Equal(t, 1, attempts)
		require.NoError(t, client.Close())

		router := newRouter()
		var slow atomic.Bool
		client, err = router.Connect(t.Context(), &wsrouter.DialOptions{
			Auth: func(context.Context) (any, error) {
				if slow.Load() {
					time.Sleep(time.Minute)
				}
				return nil, nil
			},
			Reconnect: &wsrouter.Reconnect{},
		})
		require.NoError(t, err)
		synctest.Wait()
		slow.Store(true)
		client.Abort()
		time.Sleep(30 * time.Second) // it is dialing now
		require.NoError(t, client.Close())
		synctest.Wait()
		require.Zero(t, router.Stats().Connections)
	})
}

// TestConnCloseStopsReconnecting: a handler of the client may end it.
func TestConnCloseStopsReconnecting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		router := newRouter()
		handlers := wsrouter.New(nil)
		handlers.On("stop", func(c *wsrouter.Context) error { return c.Conn().Close(1000, "") })
		client, err := router.Connect(t.Context(), &wsrouter.DialOptions{Router: handlers, Reconnect: &wsrouter.Reconnect{}})
		require.NoError(t, err)
		synctest.Wait()
		require.NoError(t, router.Emit("stop"))
		<-client.Conn().Context().Done()
		require.Error(t, client.Ready(t.Context()))
		require.NoError(t, client.Close())
	})
}

// TestClientShutdown: so may a shutdown of the client's own router.
func TestClientShutdown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		handlers := wsrouter.New(nil)
		client, err := newRouter().Connect(t.Context(), &wsrouter.DialOptions{Router: handlers, Reconnect: &wsrouter.Reconnect{}})
		require.NoError(t, err)
		require.NoError(t, handlers.Shutdown(t.Context()))
		require.Error(t, client.Ready(t.Context()))
		require.NoError(t, client.Close())
		_, err = newRouter().Connect(t.Context(), &wsrouter.DialOptions{Router: handlers})
		require.Error(t, err)
	})
}

// TestDial: the same client over the network.
func TestDial(t *testing.T) {
	router := wireRouter(nil)
	router.On("ask", func(c *wsrouter.Context) error {
		var out string
		if err := c.Conn().Call(c.Context(), "question", c.Value(), &out); err != nil {
			return err
		}
		return c.Reply(out + "!")
	})
	gone := make(chan error, 1)
	router.OnDisconnect(func(_ context.Context, _ *wsrouter.Conn, err *wsrouter.CloseError) { gone <- err })
	handlers := wsrouter.New(nil)
	events := make(chan string, 10)
	handlers.On("question", func(c *wsrouter.Context) error { return c.Reply("answer") })
	handlers.On("events", func(c *wsrouter.Context) error { events <- string(c.Raw()); return c.Reply("to nobody") })
	client, err := wsrouter.Dial(t.Context(), server(t, router), &wsrouter.DialOptions{Router: handlers})
	require.NoError(t, err)

	var out string
	require.NoError(t, client.Call(t.Context(), "ask", "?", &out))
	require.Equal(t, "answer!", out)
	require.NoError(t, client.Emit("named", 5))
	require.Equal(t, "5", <-events)
	require.ErrorIs(t, client.Call(t.Context(), "stream", nil, &out), wsrouter.ErrStream)
	require.ErrorContains(t, client.Call(t.Context(), "echo", 1, &out), "expected a string, got a number")
	var ws *wsrouter.WsError
	require.ErrorAs(t, client.Call(t.Context(), "fail", nil, nil), &ws)
	require.Equal(t, "E_FAIL", ws.Code)
	require.NoError(t, client.Close())
	require.NoError(t, client.Close())
	var ce *wsrouter.CloseError
	require.ErrorAs(t, client.Call(t.Context(), "echo", 1, nil), &ce)
	require.ErrorIs(t, client.Emit("echo"), net.ErrClosed)
	require.ErrorAs(t, <-gone, &ce)
	require.Equal(t, wsrouter.CausePeer, ce.Cause)
	require.Equal(t, 1000, ce.Code)
}

// TestDialErrors: an HTTP status is a StatusError with its text.
func TestDialErrors(t *testing.T) {
	url := server(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "who are you?", http.StatusUnauthorized) }))
	_, err := wsrouter.Dial(t.Context(), url, nil)
	var status *wsrouter.StatusError
	require.ErrorAs(t, err, &status)
	require.Equal(t, 401, status.StatusCode)
	require.Equal(t, "wsrouter: server answered 401 Unauthorized: who are you?\n", err.Error())
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = wsrouter.Dial(ctx, url, nil)
	require.ErrorIs(t, err, context.Canceled)
	_, err = wsrouter.Dial(t.Context(), "ws://127.0.0.1:1", nil)
	require.ErrorContains(t, err, "wsrouter: dial: ")
	require.False(t, errors.As(err, &status))
}

// TestCallDeadline: when the caller's context ends the call ends, and the other side is
// told to cancel.
func TestCallDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		router := wsrouter.New(nil)
		canceled := make(chan error, 1)
		router.On("wait", func(c *wsrouter.Context) error {
			<-c.Context().Done()
			canceled <- context.Cause(c.Context())
			return nil
		})
		client, err := router.Connect(t.Context(), nil)
		require.NoError(t, err)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		require.ErrorIs(t, client.Call(ctx, "wait", nil, nil), context.DeadlineExceeded)
		require.ErrorIs(t, <-canceled, context.Canceled)
		require.NoError(t, client.Close())
	})
}
