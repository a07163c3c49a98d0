package suite_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wsrouter/wsrouter"
	"github.com/wsrouter/wsrouter/internal/leak"
	"github.com/wsrouter/wsrouter/internal/rawtest"
	"github.com/wsrouter/wsrouter/wsroutertest"
)

// The tests in this file check the promises of the package doc, one name for each.
// Those about time and silence run in a bubble; promise_ws_test.go has those that need
// a real WebSocket.

// TestOrderOfEvents: events of one connection are handled one at a time, in the
// order in which they arrived.
func TestOrderOfEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		router := wsrouter.New(nil)
		running := 0
		router.On("n", func(c *wsrouter.Context) error {
			running++
			defer func() { running-- }()
			require.Equal(t, 1, running)
			time.Sleep(time.Duration(7-string(c.Raw())[0]%7) * time.Millisecond)
			return c.Reply(c.Value())
		})
		client := wsroutertest.Connect(t, router, nil)
		for i := range 500 {
			require.NoError(t, client.Emit("n", i))
		}
		for i := range 500 {
			client.Expect("n", i)
		}
	})
}

// TestOrderUntilYield: a handler that yields lets the next event begin, and only that
// one.
func TestOrderUntilYield(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		router := wsrouter.New(nil)
		router.On("slow", func(c *wsrouter.Context) error {
			c.Emit("trace", "slow begins")
			time.Sleep(time.Second)
			c.Yield()
			c.Yield() // does nothing
			c.Emit("trace", "slow has yielded")
			time.Sleep(time.Second)
			return c.Emit("trace", "slow ends")
		})
		router.On("quick", func(c *wsrouter.Context) error {
			defer time.Sleep(time.Millisecond)
			return c.Emit("trace", "quick")
		})
		client := wsroutertest.Connect(t, router, nil)
		client.Emit("slow")
		client.Emit("quick")
		client.Emit("quick")
		client.Expect("trace", "slow begins")
		seen := []string{}
		for range 4 {
			var what string
			client.Next(&what)
			seen = append(seen, what)
		}
		require.ElementsMatch(t, []string{"slow has yielded", "quick", "quick", "slow ends"}, seen)
		require.Equal(t, "slow ends", seen[3])
	})
}

// TestOrderOfFrames: what is sent to one connection leaves in the order of the calls,
// whoever sends it.
func TestOrderOfFrames(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		router := wsrouter.New(nil)
		router.On("go", func(c *wsrouter.Context) error {
			for i := 0; i < 900; i += 3 {
				require.NoError(t, c.Emit("n", i))
				require.NoError(t, c.Conn().Emit("n", i+1))
				require.NoError(t, router.Emit("n", i+2))
			}
			return nil
		})
		client := wsroutertest.Connect(t, router, nil)
		client.Emit("go")
		for i := range 900 {
			client.Expect("n", i)
		}
	})
}

// TestConnectionsInParallel: one connection's handler does not block another's.
func TestConnectionsInParallel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		router := newRouter()
		release := make(chan struct{})
		router.On("block", func(*wsrouter.Context) error { <-release; return nil })
		blocked, free := wsroutertest.Connect(t, router, nil), wsroutertest.Connect(t, router, nil)
		blocked.Emit("block")
		synctest.Wait()
		free.Emit("events", "hi")
		free.Expect("events", "hi")
		close(release)
	})
}

// TestCallWhileEventsArePipelined: a handler waits for an answer that comes after many
// events. They are handled after it, in order, and none is lost.
func TestCallWhileEventsArePipelined(t *testing.T) {
	for _, n := range []int{65, 10_000} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				router := wsrouter.New(nil)
				answered, handled := false, 0
				router.On("ask", func(c *wsrouter.Context) error {
					var out string
					err := c.Conn().Call(c.Context(), "question", nil, &out)
					answered = out == "answer"
					return err
				})
				router.On("n", func(c *wsrouter.Context) error {
					var i int
					require.NoError(t, c.Bind(&i))
					require.True(t, answered)
					require.Equal(t, handled, i)
					handled++
					return nil
				})
				raw := rawtest.Connect(router, nil, nil)
				raw.Send(`{"event":"ask"}`)
				question, ce := raw.Read()
				require.Nil(t, ce)
				require.Equal(t, `{"event":"question","id":1}`, question)
				for i := range n {
					require.True(t, raw.Send(fmt.Sprintf(`{"event":"n","data":%d}`, i)))
				}
				require.True(t, raw.Send(`{"event":"question","data":"answer","re":1}`))
				synctest.Wait()
				require.Equal(t, n, handled)
				raw.Close(1000, "")
				raw.Wait()
			})
		})
	}
}

// TestInboxFullStopsReading: without a call or stream a full inbox stops reading, which
// does not count as silence of the client. Nothing that was read is dropped.
func TestInboxFullStopsReading(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		router := wsrouter.New(&wsrouter.Options{InboxBytes: 10_000})
		release := make(chan struct{})
		handled := 0
		router.On("block", func(*wsrouter.Context) error { <-release; return nil })
		router.On("n", func(*wsrouter.Context) error { handled++; return nil })
		raw := rawtest.Connect(router, nil, nil)
		go func() { // answers pings
			for {
				if _, ce := raw.Read(); ce != nil {
					return
				}
			}
		}()
		raw.Send(`{"event":"block"}`)
		sent := 0
		go func() {
			for sent < 1000 && raw.Send(`{"event":"n","data":"`+strings.Repeat("x", 100)+`"}`) {
				sent++
			}
		}()
		time.Sleep(time.Hour)
		synctest.Wait()
		require.Less(t, sent, 10_000/100)
		close(release)
		synctest.Wait()
		require.Equal(t, 1000, sent)
		require.Equal(t, 1000, handled)
		raw.Close(1000, "")
		raw.Wait()
	})
}

// TestInboxOverrunCloses: while a call is open reading continues, up to four times the
// inbox. Then the client is closed with 1008, and the call fails.
func TestInboxOverrunCloses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		router := wsrouter.New(&wsrouter.Options{InboxBytes: 10_000})
		failed := make(chan error, 1)
		router.On("ask", func(c *wsrouter.Context) error {
			err := c.Conn().Call(c.Context(), "question", nil, nil)
			failed <- err
			return err
		})
		router.On("n", noop)
		raw := rawtest.Connect(router, nil, nil)
		raw.Send(`{"event":"ask"}`)
		raw.Read()
		sent := 0
		for raw.Send(`{"event":"n","data":"` + strings.Repeat("x", 100) + `"}`) {
			sent++
		}
		require.Greater(t, sent, 3*10_000/400)
		_, ce := raw.Read()
		require.Equal(t, &wsrouter.CloseError{Code: 1008, Reason: "inbox full"}, ce)
		var closed *wsrouter.CloseError
		require.ErrorAs(t, <-failed, &closed)
		require.Equal(t, wsrouter.CauseProtocol, closed.Cause)
		raw.Wait()
	})
}

// TestReadsWhileHandlerBlocks: pings and cancels are processed while a handler blocks.
func TestReadsWhileHandlerBlocks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		router := wsrouter.New(nil)
		router.On("block", func(c *wsrouter.Context) error {
			<-c.Context().Done()
			return context.Cause(c.Context())
		})
		raw := rawtest.Connect(router, nil, nil)
		raw.Send(`{"event":"block","id":1}`)
		raw.Send(`{"ping":5}`)
		frame, _ := raw.Read()
		require.Equal(t, `{"pong":5}`, frame)
		raw.Send(`{"id":1,"cancel":true}`)
		frame, _ = raw.Read()
		require.Equal(t, invalid+`canceled","code":"canceled"},"re":1}`, frame)
		raw.Close(1000, "")
		raw.Wait()
	})
}

// TestCancelQueued: a request that is canceled before its handler begins is
// still answered once.
func TestCancelQueued(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		router := wsrouter.New(nil)
		release := make(chan struct{})
		router.On("block", func(*wsrouter.Context) error { <-release; return nil })
		router.On("late", func(c *wsrouter.Context) error {
			require.Error(t, c.Context().Err())
			require.Error(t, c.Reply("nobody wants it"))
			return nil
		})
		raw := rawtest.Connect(router, nil, nil)
		raw.Send(`{"event":"block"}`)
		raw.Send(`{"event":"late","id":1}`)
		raw.Send(`{"id":1,"cancel":true}`)
		synctest.Wait()
		close(release)
		frame, _ := raw.Read()
		require.Equal(t, invalid+`canceled","code":"canceled"},"re":1}`, frame)
		raw.Close(1000, "")
		raw.Wait()
	})
}

// TestRequestInsideHandler: the answer to a handler's call is not mistaken for an
// event that arrives first, and that event is handled after it.
func TestRequestInsideHandler(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		router := wsrouter.New(nil)
		var trace []string
		router.On("x", func(c *wsrouter.Context) error {
			var out string
			require.NoError(t, c.Conn().Call(c.Context(), "q", "?", &out))
			trace = append(trace, out)
			return nil
		})
		router.On("y", func(*wsrouter.Context) error { trace = append(trace, "y"); return nil })
		raw := rawtest.Connect(router, nil, nil)
		raw.Send(`{"event":"x"}`)
		raw.Read()
		raw.Send(`{"event":"y","data":"unrelated"}`)
		raw.Send(`{"event":"q","data":"wrong id","re":2}`)
		raw.Send(`{"event":"q","data":"wrong spelling","re":"1"}`)
		raw.Send(`{"event":"whatever","data":"answer","re":1}`)
		raw.Send(`{"event":"q","data":"twice","re":1}`)
		synctest.Wait()
		require.Equal(t, []string{"answer", "y"}, trace)
		raw.Close(1000, "")
		raw.Wait()
	})
}

// TestNoLeaksOfStreams: 20 streams that are started and canceled leave no goroutine,
// although their producers ignore the context.
func TestNoLeaksOfStreams(t *testing.T) {
	ends := map[string]func(*rawtest.Raw){
		"cancel": func(raw *rawtest.Raw) {
			for i := range 20 {
				raw.Send(fmt.Sprintf(`{"id":%d,"cancel":true}`, i))
			}
		},
		"close frame": func(raw *rawtest.Raw) { raw.Close(1001, "") },
		"cut":         func(raw *rawtest.Raw) { raw.Abort() },
	}
	for name, end := range ends {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				router := wsrouter.New(nil)
				router.On("ticks", func(c *wsrouter.Context) error {
					ch := make(chan int)
					go func() { // the usual careless producer, but finite
						defer close(ch)
						for i := range 1000 {
							ch <- i
							time.Sleep(time.Millisecond)
						}
					}()
					return wsrouter.Stream(c, ch)
				})
				before := len(leak.InBubble())
				raw := rawtest.Connect(router, nil, nil)
				go func() {
					for {
						if _, ce := raw.Read(); ce != nil {
							return
						}
					}
				}()
				for i := range 20 {
					raw.Send(fmt.Sprintf(`{"event":"ticks","id":%d}`, i))
				}
				time.Sleep(100 * time.Millisecond)
				require.Equal(t, 20, router.Stats().Streams)
				end(raw)
				synctest.Wait()
				require.Equal(t, 0, router.Stats().Streams)
				require.Equal(t, 20, router.Stats().Producers, "drained until they close")
				time.Sleep(2 * time.Second)
				require.Equal(t, 0, router.Stats().Producers)
				raw.Close(1000, "")
				raw.Wait()
				synctest.Wait()
				require.Equal(t, before, len(leak.InBubble()))
			})
		})
	}
}

// TestNoLeaksPerConnection: an idle in-memory connection costs one goroutine at each
// end, and nothing once it has ended, however it ended.
func TestNoLeaksPerConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		router := newRouter()
		before := len(leak.InBubble())
		raws := make([]*rawtest.Raw, 10)
		for i := range raws {
			raws[i] = rawtest.Connect(router, nil, nil)
			raws[i].Send(`{"event":"events","data":"hi"}`)
			raws[i].Read()
		}
		synctest.Wait()
		require.Equal(t, before+len(raws), len(leak.InBubble()))
		for i, raw := range raws {
			if i%2 == 0 {
				raw.Abort()
			} else {
				raw.Close(1000, "")
			}
			raw.Wait()
		}
		synctest.Wait()
		require.Equal(t, before, len(leak.InBubble()))
		require.Equal(t, 0, router.Stats().Connections)
	})
}

// TestLiveness: a peer that says nothing, not even pong, is gone within PingInterval +
// PongTimeout. One that answers stays for days.
func TestLiveness(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		router := wsrouter.New(nil)
		gone := make(chan *wsrouter.CloseError, 1)
		router.OnDisconnect(func(_ context.Context, _ *wsrouter.Conn, err *wsrouter.CloseError) {
			var ce *wsrouter.CloseError
			errors.As(err, &ce)
			gone <- ce
		})
		wsroutertest.Connect(t, router, nil)
		time.Sleep(72 * time.Hour)
		require.Equal(t, 1, router.Stats().Connections)

		begin := time.Now()
		silent := rawtest.Connect(router, nil, nil)
		ce := <-gone
		require.Equal(t, 45*time.Second, time.Since(begin))
		require.Equal(t, wsrouter.CauseTimeout, ce.Cause)
		silent.Wait()

		begin = time.Now()
		talking := rawtest.Connect(router, nil, nil)
		for range 10 {
			time.Sleep(24 * time.Second)
			talking.Send(`{"pong":1}`) // any byte is a sign of life
		}
		<-gone
		require.Equal(t, 10*24*time.Second+45*time.Second, time.Since(begin))
		talking.Wait()
	})
}

// TestEventsBeforeCloseFrame: events that were read before the client's goodbye are
// handled, with a live context.
func TestEventsBeforeCloseFrame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		router := wsrouter.New(nil)
		var trace []string
		router.On("n", func(c *wsrouter.Context) error {
			time.Sleep(time.Second)
			require.NoError(t, c.Context().Err())
			require.Error(t, c.Emit("nobody reads this"))
			trace = append(trace, string(c.Raw()))
			return nil
		})
		router.OnDisconnect(func(ctx context.Context, c *wsrouter.Conn, err *wsrouter.CloseError) {
			require.NoError(t, ctx.Err())
			require.Error(t, c.Context().Err())
			trace = append(trace, "disconnect")
		})
		raw := rawtest.Connect(router, nil, nil)
		for i := range 3 {
			raw.Send(fmt.Sprintf(`{"event":"n","data":%d}`, i))
		}
		raw.Close(1000, "bye")
		raw.Wait()
		require.Equal(t, []string{"0", "1", "2", "disconnect"}, trace)
	})
}

// TestEventsBeforeCut: after an abrupt end, events that have not begun are discarded
// and counted, and the context of a running handler has ended.
func TestEventsBeforeCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		router := wsrouter.New(nil)
		handled := 0
		router.On("n", func(c *wsrouter.Context) error {
			<-c.Context().Done()
			var ce *wsrouter.CloseError
			require.ErrorAs(t, context.Cause(c.Context()), &ce)
			require.Equal(t, wsrouter.CausePeer, ce.Cause)
			require.Equal(t, 1006, ce.Code)
			handled++
			return nil
		})
		raw := rawtest.Connect(router, nil, nil)
		for range 5 {
			raw.Send(`{"event":"n"}`)
		}
		synctest.Wait()
		raw.Abort()
		raw.Wait()
		require.Equal(t, 1, handled)
		require.EqualValues(t, 4, router.Stats().Discarded)
	})
}

// TestGoodbyeIsBounded: a handler that waits for the end of its context gets
// HookTimeout after the client's goodbye.
func TestGoodbyeIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		router := wsrouter.New(nil)
		router.On("wait", func(c *wsrouter.Context) error { <-c.Context().Done(); return nil })
		raw := rawtest.Connect(router, nil, nil)
		raw.Send(`{"event":"wait"}`)
		begin := time.Now()
		raw.Close(1000, "")
		raw.Wait()
		require.Equal(t, 10*time.Second, time.Since(begin))
	})
}
