package suite_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wsrouter/wsrouter"
	"github.com/wsrouter/wsrouter/internal/rawtest"
	"github.com/wsrouter/wsrouter/wsroutertest"
)

// numbers streams from 1 on without end, and counts what its producers have made.
type numbers struct {
	mu   sync.Mutex
	made map[string]int
}

func (n *numbers) handle(c *wsrouter.Context) error {
	var name string
	if err := c.Bind(&name); err != nil {
		return err
	}
	return wsrouter.StreamSeq(c, func(yield func(int, error) bool) {
		for i := 1; yield(i, nil); i++ {
			n.mu.Lock()
			n.made[name] = i
			n.mu.Unlock()
		}
	})
}

func (n *numbers) of(name string) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.made[name]
}

// clients runs a test with a client in memory, over TCP, and in a bubble.
func clients(t *testing.T, newRouter func() *wsrouter.Router, fn func(t *testing.T, client *wsrouter.Client)) {
	t.Helper()
	memory := func(t *testing.T) {
		client, err := newRouter().Connect(t.Context(), nil)
		require.NoError(t, err)
		fn(t, client)
		require.NoError(t, client.Close())
	}
	t.Run("memory", memory)
	t.Run("bubble", func(t *testing.T) { synctest.Test(t, memory) })
	t.Run("TCP", func(t *testing.T) {
		client, err := wsrouter.Dial(t.Context(), server(t, newRouter()), nil)
		require.NoError(t, err)
		fn(t, client)
		require.NoError(t, client.Close())
	})
}

// TestOneStreamStalledAnotherFlows: a stream that is not pulled neither delays another
// one on the same connection nor lets its producer run ahead.
func TestOneStreamStalledAnotherFlows(t *testing.T) {
	var made *numbers
	router := func() *wsrouter.Router {
		made = &numbers{made: map[string]int{}}
		r := wsrouter.New(nil)
		r.On("count", made.handle)
		return r
	}
	clients(t, router, func(t *testing.T, client *wsrouter.Client) {
		for n, err := range wsrouter.Pull[int](t.Context(), client, "count", "stalled") {
			require.NoError(t, err)
			require.Equal(t, 1, n)
			next := 1
			for n, err := range wsrouter.Pull[int](t.Context(), client, "count", "flowing") {
				require.NoError(t, err)
				require.Equal(t, next, n)
				if next++; next > 5000 {
					break
				}
			}
			require.ErrorContains(t, client.Call(t.Context(), "count", 5, nil), "expected a string")
			break
		}
		require.LessOrEqual(t, made.of("stalled"), 17)
		require.GreaterOrEqual(t, made.of("flowing"), 4999)
	})
}

// TestPull: every kind of stream.
func TestPull(t *testing.T) {
	errMid := wsrouter.NewError("mid stream")
	router := func() *wsrouter.Router {
		r := wsrouter.New(nil)
		stream := func(n int, end error) wsrouter.HandlerFunc {
			return func(c *wsrouter.Context) error {
				return wsrouter.StreamSeq(c, func(yield func(int, error) bool) {
					for i := range n {
						if !yield(i, nil) {
							return
						}
					}
					if end != nil {
						yield(0, end)
					}
				})
			}
		}
		r.On("100", stream(100, nil))
		r.On("empty", stream(0, nil))
		r.On("fails", stream(2, errMid))
		r.On("call", func(c *wsrouter.Context) error { return c.Reply(7) })
		r.On("nothing", noop)
		r.On("nil channel", func(c *wsrouter.Context) error { return wsrouter.Stream[int](c, nil) })
		r.On("mixed", func(c *wsrouter.Context) error {
			return wsrouter.StreamSeq(c, func(yield func(any, error) bool) {
				_ = yield(wsrouter.Response{Event: "other", Data: 1}, nil) && yield("not a number", nil)
			})
		})
		r.On("panics", func(c *wsrouter.Context) error {
			return wsrouter.StreamSeq(c, func(yield func(int, error) bool) { yield(1, nil); panic("boom") })
		})
		return r
	}
	tests := []struct {
		event string
		n     int
		err   string
	}{
		{"100", 100, ""}, {"empty", 0, ""}, {"fails", 2, "mid stream"}, {"call", 1, ""}, {"nothing", 0, ""},
		{"nil channel", 0, ""}, {"mixed", 1, "wsrouter: answer has the wrong shape: data: expected an integer, got a string"},
		{"panics", 1, "Internal server error"}, {"unknown", 0, "no such event"}, {"connect", 0, `wsrouter: event name "connect" is reserved`},
	}
	clients(t, router, func(t *testing.T, client *wsrouter.Client) {
		for _, test := range tests {
			items, failure := 0, ""
			for _, err := range wsrouter.Pull[int](t.Context(), client, test.event, nil) {
				if err != nil {
					failure = err.Error()
					continue
				}
				items++
			}
			require.Equal(t, test.n, items, test.event)
			require.Equal(t, test.err, failure, test.event)
		}
		n, err := wsrouter.Call[int](t.Context(), client, "call", nil)
		require.NoError(t, err)
		require.Equal(t, 7, n)
	})
}

// TestPullEnds: leaving the loop, the end of the context and the end of the connection
// reach the producer, and can be told apart.
func TestPullEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		router := wsrouter.New(nil)
		ended := make(chan error, 1)
		router.On("ticks", func(c *wsrouter.Context) error {
			ch := make(chan int)
			go func() {
				defer close(ch)
				for i := 0; c.Context().Err() == nil; i++ {
					ch <- i
					time.Sleep(time.Second)
				}
				ended <- context.Cause(c.Context())
			}()
			return wsrouter.Stream(c, ch)
		})
		client := wsroutertest.Connect(t, router, nil)
		for range wsrouter.Pull[int](t.Context(), client, "ticks", nil) {
			break
		}
		require.ErrorIs(t, <-ended, context.Canceled)

		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		var last error
		for _, err := range wsrouter.Pull[int](ctx, client, "ticks", nil) {
			last = err
		}
		require.ErrorIs(t, last, context.DeadlineExceeded)
		require.ErrorIs(t, <-ended, context.Canceled)

		for n, err := range wsrouter.Pull[int](t.Context(), client, "ticks", nil) {
			if last = err; n == 3 {
				client.Abort()
			}
		}
		var ce *wsrouter.CloseError
		require.ErrorAs(t, last, &ce)
		require.ErrorAs(t, <-ended, &ce)
		synctest.Wait()
		require.Zero(t, router.Stats().Streams)
		require.Zero(t, router.Stats().Producers)
	})
}

// TestPullFromHandler: a handler pulls a stream from its own client.
func TestPullFromHandler(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		router := wsrouter.New(nil)
		router.On("sum", func(c *wsrouter.Context) error {
			sum := 0
			for n, err := range wsrouter.Pull[int](c.Context(), c.Conn(), "numbers", nil) {
				if err != nil {
					return err
				}
				sum += n
			}
			return c.Reply(sum)
		})
		handlers := wsrouter.New(nil)
		wsrouter.HandleStream(handlers, "numbers", func(*wsrouter.Context, int) (<-chan int, error) {
			ch := make(chan int)
			go func() {
				defer close(ch)
				for i := range 101 {
					ch <- i
				}
			}()
			return ch, nil
		})
		client := wsroutertest.Connect(t, router, &wsrouter.DialOptions{Router: handlers})
		sum, err := wsrouter.Call[int](t.Context(), client, "sum", nil)
		require.NoError(t, err)
		require.Equal(t, 5050, sum)
	})
}

// TestCredit: with pull a producer makes exactly what was asked for.
func TestCredit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		made := &numbers{made: map[string]int{}}
		router := wsrouter.New(nil)
		router.On("count", made.handle)
		raw := rawtest.Connect(router, nil, nil)
		raw.Send(`{"event":"count","data":"x","id":8,"pull":2}`)
		for i := 1; i <= 2; i++ {
			frame, _ := raw.Read()
			require.Equal(t, fmt.Sprintf(`{"event":"count","data":%d,"re":8,"more":true}`, i), frame)
		}
		synctest.Wait()
		require.Equal(t, 2, made.of("x"))
		raw.Send(`{"id":9,"pull":5}`) // somebody else's exchange
		raw.Send(`{"id":8,"pull":9007199254740991}`)
		raw.Send(`{"id":8,"pull":9007199254740991}`) // adds up to the maximum
		frame, _ := raw.Read()
		require.Equal(t, `{"event":"count","data":3,"re":8,"more":true}`, frame)
		raw.Send(`{"id":8,"cancel":true}`)
		raw.Send(`{"id":8,"cancel":true}`)
		for strings.Contains(frame, `"more"`) {
			frame, _ = raw.Read()
		}
		require.Equal(t, invalid+`canceled","code":"canceled"},"re":8}`, frame)
		raw.Send(`{"id":8,"cancel":true}`) // over
		raw.Close(1000, "")
		raw.Wait()
	})
}

// TestManyStreams: as many as MaxOpen at once; the next one is refused.
func TestManyStreams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		router := newRouter()
		stop := make(chan struct{})
		router.On("hold", func(c *wsrouter.Context) error {
			ch := make(chan int)
			go func() { <-stop; close(ch) }() // a producer that ignores the context
			return wsrouter.Stream(c, ch)
		})
		raw := rawtest.Connect(router, nil, nil)
		refusals := make(chan string, 10_000)
		go func() {
			for {
				frame, ce := raw.Read()
				if ce != nil {
					return
				}
				refusals <- frame
			}
		}()
		for i := range 10_000 {
			raw.Send(fmt.Sprintf(`{"event":"hold","id":%d}`, i))
		}
		synctest.Wait()
		require.Equal(t, 1000, router.Stats().Streams)
		require.Len(t, refusals, 9000)
		require.Contains(t, <-refusals, `"code":"too_many"`)
		raw.Abort()
		raw.Wait()
		synctest.Wait()
		require.Zero(t, router.Stats().Streams)
		require.Equal(t, 1000, router.Stats().Producers, "they go on, and are counted")
		close(stop)
		synctest.Wait()
		require.Zero(t, router.Stats().Producers)
	})
}

// TestOverrun: if a peer sends more items than were pulled, its stream fails.
func TestOverrun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		router := wsrouter.New(nil)
		result := make(chan error, 1)
		router.On("pull", func(c *wsrouter.Context) error {
			for _, err := range wsrouter.Pull[int](c.Context(), c.Conn(), "flood", nil) {
				time.Sleep(time.Minute)
				if err != nil {
					result <- err
				}
			}
			return nil
		})
		raw := rawtest.Connect(router, nil, nil)
		raw.Send(`{"event":"pull"}`)
		frame, _ := raw.Read()
		require.Equal(t, `{"event":"flood","id":1,"pull":16}`, frame)
		for range 100 {
			raw.Send(`{"event":"flood","data":1,"re":1,"more":true}`)
		}
		for !strings.Contains(frame, "cancel") {
			frame, _ = raw.Read()
		}
		require.ErrorContains(t, <-result, "more items came than were pulled")
		raw.Close(1000, "")
		raw.Wait()
	})
}

// TestTwentyStreamsCancelled: over every transport nothing is left of them, although
// their producers are what everybody writes first.
func TestTwentyStreamsCancelled(t *testing.T) {
	var producers sync.WaitGroup
	var current *wsrouter.Router
	router := func() *wsrouter.Router {
		current = wsrouter.New(nil)
		current.On("ticks", func(c *wsrouter.Context) error {
			ch := make(chan int)
			producers.Go(func() {
				defer close(ch)
				for i := range 100 {
					ch <- i // no select
				}
			})
			return wsrouter.Stream(c, ch)
		})
		return current
	}
	clients(t, router, func(t *testing.T, client *wsrouter.Client) {
		var pulls sync.WaitGroup
		for range 20 {
			pulls.Go(func() {
				for range wsrouter.Pull[int](t.Context(), client, "ticks", nil) {
					break
				}
			})
		}
		pulls.Wait()
		producers.Wait()
		require.NoError(t, client.Close())
		require.NoError(t, current.Shutdown(t.Context()))
		require.Zero(t, current.Stats().Streams)
	})
}

// TestMiddlewareSeesWholeStream: middleware around a stream runs from its first to its
// last item, and can end it.
func TestMiddlewareSeesWholeStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		router := wsrouter.New(nil)
		took := make(chan time.Duration, 1)
		limit := func(next wsrouter.HandlerFunc) wsrouter.HandlerFunc {
			return func(c *wsrouter.Context) error {
				begin := time.Now()
				ctx, cancel := context.WithTimeoutCause(c.Context(), time.Minute, wsrouter.NewError("long enough"))
				defer cancel()
				err := next(c.WithContext(ctx))
				took <- time.Since(begin)
				return err
			}
		}
		router.On("ticks", func(c *wsrouter.Context) error {
			ch := make(chan int)
			go func() {
				defer close(ch)
				for i := 0; ; i++ {
					select {
					case ch <- i:
					case <-c.Context().Done():
						return
					}
					time.Sleep(time.Second)
				}
			}()
			return wsrouter.Stream(c, ch)
		}, limit)
		client := wsroutertest.Connect(t, router, nil)
		items := 0
		var last error
		for _, err := range wsrouter.Pull[int](t.Context(), client, "ticks", nil) {
			if last = err; err == nil {
				items++
			}
		}
		require.EqualError(t, last, "long enough")
		require.InDelta(t, 60, items, 1)
		require.Equal(t, time.Minute, <-took)
	})
}

// TestProducerThatGoesOn: it is logged, once, and counted.
func TestProducerThatGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		router := wsrouter.New(&wsrouter.Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
		stop := make(chan struct{})
		router.On("ticks", func(c *wsrouter.Context) error {
			ch := make(chan int)
			go func() { <-stop; close(ch) }()
			return wsrouter.Stream(c, ch)
		})
		client := wsroutertest.Connect(t, router, nil)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		for _, err := range wsrouter.Pull[int](ctx, client, "ticks", nil) {
			require.ErrorIs(t, err, context.DeadlineExceeded)
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		require.Equal(t, 1, router.Stats().Producers)
		require.Equal(t, 1, strings.Count(log.String(), "producer still running"))
		close(stop)
	})
}
