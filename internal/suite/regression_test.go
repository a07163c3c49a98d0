package suite_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"
	"github.com/stretchr/testify/require"

	"github.com/wsrouter/wsrouter"
	"github.com/wsrouter/wsrouter/internal/rawtest"
	"github.com/wsrouter/wsrouter/wsroutertest"
)

// The tests in this file cover what a hostile review has found.

// TestPingsAfterWrites: the time limit of a batch does not outlive it; otherwise pings
// of an idle connection would fail.
func TestPingsAfterWrites(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		router := newRouter()
		conn := upgrade(t, router)
		frames := make(chan []byte, 100)
		go func() {
			buf := make([]byte, 1024)
			for {
				n, err := conn.Read(buf)
				if err != nil {
					close(frames)
					return
				}
				frames <- bytes.Clone(buf[:n])
			}
		}()
		conn.Write(wsFrame(1, true, `{"event":"events","data":"x"}`))
		require.Contains(t, string(<-frames), "events")
		for range 5 {
			ping := <-frames // 25 s later
			require.EqualValues(t, 0x89, ping[0])
			conn.Write(wsFrame(10, true, string(ping[2:])))
		}
		time.Sleep(20 * time.Second)
		conn.Write(wsFrame(9, true, "?"))
		require.Equal(t, "\x8a\x01?", string(<-frames))
		require.Equal(t, 1, router.Stats().Connections)
		conn.Close()
		for range frames {
		}
	})
}

// TestPongTimeoutAbovePingInterval keeps a client that answers.
func TestPongTimeoutAbovePingInterval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		router := wsrouter.New(&wsrouter.Options{PingInterval: 10 * time.Second, PongTimeout: time.Minute})
		wsroutertest.Connect(t, router, nil)
		time.Sleep(time.Hour)
		require.Equal(t, 1, router.Stats().Connections)
		begin, gone := time.Now(), make(chan struct{})
		raw := rawtest.Connect(router, nil, nil)
		go func() { raw.Wait(); close(gone) }()
		<-gone
		require.Equal(t, 70*time.Second, time.Since(begin))
	})
}

// TestMaxBufferedTakesOneOnly: only the client with the full inbox is cut.
func TestMaxBufferedTakesOneOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		router := wsrouter.New(&wsrouter.Options{MaxBuffered: 100_000})
		router.On("block", func(c *wsrouter.Context) error { <-c.Context().Done(); return nil })
		router.On("n", noop)
		for range 20 {
			wsroutertest.Connect(t, router, nil)
		}
		flood := rawtest.Connect(router, nil, nil)
		flood.Send(`{"event":"block"}`)
		for flood.Send(`{"event":"n","data":"` + strings.Repeat("x", 10_000) + `"}`) {
		}
		flood.Wait()
		require.Equal(t, 20, router.Stats().Connections)
		require.EqualValues(t, 1, router.Stats().Slow)
	})
}

type panicsInJSON struct{}

func (panicsInJSON) MarshalJSON() ([]byte, error) { panic("in MarshalJSON") }

type panicsInIs struct{}

func (panicsInIs) Error() string   { return "x" }
func (panicsInIs) Is(error) bool   { panic("in Is") }
func (panicsInIs) Unwrap() []error { panic("in Unwrap") }

// TestErrorsThatPanic: a typed nil does not count as an error, and an error whose
// methods panic only ends its event.
func TestErrorsThatPanic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		router := newRouter()
		router.OnConnect(func(*wsrouter.Conn) error { var none *wsrouter.CloseError; return none })
		router.On("typed nil", func(*wsrouter.Context) error { var none *wsrouter.WsError; return none })
		router.On("MarshalJSON", func(*wsrouter.Context) error { return wsrouter.NewError("x").WithData(panicsInJSON{}) })
		router.On("Is", func(*wsrouter.Context) error { return panicsInIs{} })
		router.On("reply", func(c *wsrouter.Context) error { return c.Reply(panicsInJSON{}) })
		client := wsroutertest.Connect(t, router, nil)
		require.NoError(t, client.Call(t.Context(), "typed nil", nil, nil))
		for _, event := range []string{"MarshalJSON", "Is", "reply"} {
			require.EqualError(t, client.Call(t.Context(), event, nil, nil), "Internal server error", event)
		}
	})
}

// TestLateUseOfContext: Shutdown with the context of a handler that has returned, and
// Yield on a Context that was kept, change nothing.
func TestLateUseOfContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		router := newRouter()
		down := make(chan error, 1)
		var kept *wsrouter.Context
		router.On("keep", func(c *wsrouter.Context) error { kept = c; return nil })
		running := 0
		router.On("slow", func(*wsrouter.Context) error {
			running++
			require.Equal(t, 1, running)
			kept.Yield()
			time.Sleep(time.Second)
			running--
			return nil
		})
		router.On("stop", func(c *wsrouter.Context) error {
			ctx := c.Context()
			go func() { time.Sleep(time.Second); down <- router.Shutdown(ctx) }()
			return c.Reply("stopping")
		})
		client := wsroutertest.Connect(t, router, nil)
		client.Emit("keep")
		client.Emit("slow")
		client.Emit("slow")
		client.Emit("stop")
		client.Expect("stop", "stopping")
		require.NoError(t, <-down)
		client.ExpectClose(1001)
	})
}

// TestLargeBadBodies: what does not fit is named in bodies of every size and depth, and
// the name is bounded.
func TestLargeBadBodies(t *testing.T) {
	type node struct {
		Next *node
		V    int
	}
	nested := strings.Repeat(`{"Next":`, 500) + `{"V":[` + strings.Repeat("0,", 200_000) + `0]}` + strings.Repeat("}", 500)
	small := strings.Repeat(`{"Next":`, 500) + `{"V":""}` + strings.Repeat("}", 500)
	synctest.Test(t, func(t *testing.T) {
		router := wsrouter.New(nil)
		wsrouter.Handle(router, "node", func(*wsrouter.Context, node) (int, error) { return 0, nil })
		wsrouter.Handle(router, "list", func(*wsrouter.Context, []int) (int, error) { return 0, nil })
		wsrouter.Handle(router, "time", func(*wsrouter.Context, []time.Time) (int, error) { return 0, nil })
		client := wsroutertest.Connect(t, router, nil)
		want := map[string]string{
			nested: `node Next.Next`, small: `node Next.Next`,
			`[` + strings.Repeat("0,", 100_000) + `""]`:   `list [100000]: expected an integer, got a string`,
			`["` + strings.Repeat("x", 20_000) + `"]`:     `time [0]: expected a valid time, got a string`,
			`["` + strings.Repeat("x", 1_000) + `"]`:      `time [0]: expected a valid time, got a string`,
			`[` + strings.Repeat("[0],", 10_000) + `[0]]`: `list [0]: expected an integer, got an array`,
		}
		for body, want := range want {
			event, message, _ := strings.Cut(want, " ")
			err := client.Call(t.Context(), event, json.RawMessage(body), nil)
			require.ErrorContains(t, err, message)
		}
	})
}

// TestTrickleWithPongs: control frames between its fragments do not give a message more
// time.
func TestTrickleWithPongs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		router := newRouter()
		gone := make(chan error, 1)
		router.OnDisconnect(func(_ context.Context, _ *wsrouter.Conn, err *wsrouter.CloseError) { gone <- err })
		conn := upgrade(t, router)
		all := drainConn(conn)
		begin := time.Now()
		done := make(chan struct{})
		go func() {
			defer close(done)
			conn.Write(wsFrame(1, false, "x"))
			for {
				time.Sleep(5 * time.Second)
				conn.Write(wsFrame(10, true, ""))
				if _, err := conn.Write(wsFrame(0, false, "x")); err != nil {
					return
				}
			}
		}()
		require.ErrorContains(t, <-gone, "message took too long")
		require.LessOrEqual(t, time.Since(begin), 80*time.Second)
		conn.Close()
		<-all
		<-done
	})
}

// TestCloseFrameDuringFlood: a client that closes while it is being sent to gets its
// close frame back.
func TestCloseFrameDuringFlood(t *testing.T) {
	router := wsrouter.New(nil)
	router.On("go", func(c *wsrouter.Context) error {
		for {
			if err := c.Emit("n", strings.Repeat("x", 100)); err != nil {
				return nil
			}
		}
	})
	url := server(t, router)
	for range 40 {
		conn := dial(t, url)
		write(t, conn, websocket.MessageText, `{"event":"go"}`)
		for range 50 {
			read(t, conn)
		}
		require.NoError(t, conn.Close(websocket.StatusNormalClosure, ""))
	}
	require.NoError(t, router.Shutdown(t.Context()))
}

// TestOnInitThatBlocks: nobody waits for it longer than their own context.
func TestOnInitThatBlocks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		router := newRouter()
		release := make(chan struct{})
		router.OnInit(func(*wsrouter.Router) error { <-release; return nil })
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		begin := time.Now()
		_, err := router.Connect(ctx, nil)
		var status *wsrouter.StatusError
		require.ErrorAs(t, err, &status)
		require.Equal(t, time.Second, time.Since(begin))
		close(release)
		synctest.Wait()
		wsroutertest.Connect(t, router, nil)
	})
}

// TestMiddlewareConstructorPanics: then nobody is served, rather than badly.
func TestMiddlewareConstructorPanics(t *testing.T) {
	router := newRouter()
	router.Use(func(wsrouter.HandlerFunc) wsrouter.HandlerFunc { panic("no database") })
	for range 2 {
		refused(t, router, nil, http.StatusServiceUnavailable)
	}
}

// TestSpoiledRequests: a request that is wrong except for its id is answered under that
// id.
func TestSpoiledRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		raw := rawtest.Connect(newRouter(), nil, nil)
		for i, frame := range []string{`{"event":"","id":%d}`, `{"event":7,"id":%d}`, `{"event":"a","id":%d,"pull":0}`,
			`{"event":"` + strings.Repeat("e", 300) + `","id":%d}`} {
			raw.Send(fmt.Sprintf(frame, i))
			got, _ := raw.Read()
			require.Contains(t, got, fmt.Sprintf(`"code":"invalid"},"re":%d}`, i))
		}
		raw.Close(1000, "")
		raw.Wait()
		raw = rawtest.Connect(newRouter(), &wsrouter.WSOptions{AuthFrame: true}, nil)
		raw.Send("garbage")
		_, ce := raw.Read()
		require.Equal(t, &wsrouter.CloseError{Code: 1008, Reason: "auth expected"}, ce)
		raw.Wait()
	})
}

// TestResponseNames: they are subject to the rules of Emit.
func TestResponseNames(t *testing.T) {
	c, client := wsroutertest.NewContext(t, "x", nil)
	require.ErrorContains(t, c.Reply(wsrouter.Response{}), "needs an Event")
	require.ErrorContains(t, c.Reply(wsrouter.Response{Event: "connect"}), "reserved")
	require.NoError(t, c.Reply(wsrouter.Response{Event: "exception", Data: 1}))
	client.Expect("exception", 1)
}

// TestIDsAreReserved from the connection's birth to its end.
func TestIDsAreReserved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		router := newRouter()
		ids := make(chan string, 1)
		release := make(chan struct{})
		router.OnConnect(func(c *wsrouter.Conn) error {
			if c.Request().URL.Query().Has("wait") {
				ids <- c.ID()
				<-release
			}
			return nil
		})
		_, conns := crowd(t, router, 1)
		wsroutertest.Connect(t, router, &wsrouter.DialOptions{Request: request("http://h/?wait")})
		id := <-ids
		require.ErrorContains(t, conns[0].Join(id), "another connection's id")
		close(release)
	})
}

// TestKeyOfInterface: a nil that was set counts as set.
func TestKeyOfInterface(t *testing.T) {
	c, _ := wsroutertest.NewContext(t, "x", nil)
	key := wsrouter.NewKey[error]("err")
	_, ok := key.Get(c.Conn())
	require.False(t, ok)
	key.Set(c.Conn(), nil)
	err, ok := key.Get(c.Conn())
	require.True(t, ok)
	require.NoError(t, err)
}

// TestDialsAgainstFullServer: connections that are refused after their upgrade end
// cleanly.
func TestDialsAgainstFullServer(t *testing.T) {
	router := wsrouter.New(&wsrouter.Options{MaxConns: 1})
	url := server(t, router)
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			if client, err := wsrouter.Dial(t.Context(), url, nil); err == nil {
				client.Close()
			}
		})
	}
	wg.Wait()
	require.NoError(t, router.Shutdown(t.Context()))
}

// TestLeaveAfterGoodbye: an event that came before the client's goodbye takes effect,
// and OnDisconnect sees it.
func TestLeaveAfterGoodbye(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		router := newRouter()
		router.On("leave", func(c *wsrouter.Context) error {
			time.Sleep(time.Second)
			c.Leave("room:a")
			return nil
		})
		var left []string
		router.OnConnect(func(c *wsrouter.Conn) error { return c.Join("room:a", "room:b") })
		router.OnDisconnect(func(_ context.Context, c *wsrouter.Conn, _ *wsrouter.CloseError) { left = c.Rooms() })
		raw := rawtest.Connect(router, nil, nil)
		raw.Send(`{"event":"leave"}`)
		raw.Close(1000, "")
		raw.Wait()
		require.Equal(t, []string{"room:b"}, left)
	})
}

// TestShutdownWaitsForProducers: it waits for a stream's producer that takes a while to
// end, and for one that does not end only until the context ends.
func TestShutdownWaitsForProducers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		router := newRouter()
		stop := make(chan struct{})
		stream := func(end func(c *wsrouter.Context)) wsrouter.HandlerFunc {
			return func(c *wsrouter.Context) error {
				ch := make(chan int)
				go func() {
					defer close(ch)
					end(c)
				}()
				return wsrouter.Stream(c, ch)
			}
		}
		router.On("slow", stream(func(c *wsrouter.Context) { <-c.Context().Done(); time.Sleep(time.Second) }))
		router.On("never", stream(func(*wsrouter.Context) { <-stop }))
		slow := router.Namespace("/slow")
		slow.On("slow", stream(func(c *wsrouter.Context) { <-c.Context().Done(); time.Sleep(time.Second) }))
		wsroutertest.Connect(t, slow, nil).Emit("slow")
		client := wsroutertest.Connect(t, router, nil)
		client.Emit("slow")
		client.Emit("never")
		synctest.Wait()
		begin := time.Now()
		require.NoError(t, slow.Shutdown(t.Context()))
		require.Equal(t, time.Second, time.Since(begin))
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		require.ErrorIs(t, router.Shutdown(ctx), context.DeadlineExceeded)
		require.Equal(t, 1, router.Stats().Producers)
		close(stop)
		require.NoError(t, router.Shutdown(t.Context()))
	})
}
