package suite_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wsrouter/wsrouter"
	"github.com/wsrouter/wsrouter/adapter"
	"github.com/wsrouter/wsrouter/internal/plain"
	"github.com/wsrouter/wsrouter/internal/rawtest"
)

// TestSlowClient: 3,000 frames of 16 KiB to a client that never reads stay within the
// limit. The sender and OnDisconnect are told, and it is counted. Over TCP and in
// memory.
func TestSlowClient(t *testing.T) {
	payload := strings.Repeat("x", 16<<10)
	connects := map[string]func(t *testing.T, router *wsrouter.Router) (close func()){
		"TCP": func(t *testing.T, router *wsrouter.Router) func() {
			dial(t, server(t, router))
			return func() {}
		},
		"memory": func(t *testing.T, router *wsrouter.Router) func() {
			raw := rawtest.Connect(router, nil, nil)
			return raw.Wait
		},
	}
	for name, connect := range connects {
		t.Run(name, func(t *testing.T) {
			conns, gone := make(chan *wsrouter.Conn, 1), make(chan error, 1)
			router := wsrouter.New(&wsrouter.Options{Trace: &wsrouter.Trace{Connect: func(c *wsrouter.Conn) { conns <- c }}})
			router.OnDisconnect(func(_ context.Context, _ *wsrouter.Conn, err *wsrouter.CloseError) { gone <- err })
			wait := connect(t, router)
			conn := <-conns
			var before, after runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&before)
			failed := 0
			for range 3000 {
				if err := conn.Emit("n", payload); err != nil {
					var ce *wsrouter.CloseError
					require.ErrorAs(t, err, &ce)
					require.Equal(t, wsrouter.CauseSlow, ce.Cause)
					failed++
				}
			}
			runtime.GC()
			runtime.ReadMemStats(&after)
			require.Greater(t, failed, 2000)
			require.Less(t, int64(after.HeapAlloc)-int64(before.HeapAlloc), int64(8<<20))
			var ce *wsrouter.CloseError
			require.ErrorAs(t, <-gone, &ce)
			require.Equal(t, wsrouter.CauseSlow, ce.Cause)
			require.EqualValues(t, 1, router.Stats().Slow)
			require.Greater(t, router.Stats().Dropped, int64(10))
			wait()
		})
	}
}

// TestHandlerWaitsForSlowClient: only a handler's own sending waits, as long as the
// client makes progress; then everything arrives in order.
func TestHandlerWaitsForSlowClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		router := wsrouter.New(nil)
		sent := 0
		router.On("go", func(c *wsrouter.Context) error {
			for range 100 {
				if err := c.Emit("n", strings.Repeat("x", 64<<10)); err != nil {
					return err
				}
				sent++
			}
			return nil
		})
		raw := rawtest.Connect(router, nil, nil)
		raw.Send(`{"event":"go"}`)
		synctest.Wait()
		require.Less(t, sent, 12, "half the outbox, and the batch in hand")
		require.NoError(t, router.Emit("broadcast", "there is room left for others"))
		for range 100 {
			time.Sleep(5 * time.Second)
			frame, ce := raw.Read()
			require.Nil(t, ce)
			if strings.Contains(frame, "broadcast") {
				raw.Read()
			}
		}
		raw.Close(1000, "")
		raw.Wait()
		require.Equal(t, 100, sent)
	})
}

// TestHandlerGivesUpOnSlowClient: it waits at most for WriteTimeout.
func TestHandlerGivesUpOnSlowClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		router := wsrouter.New(nil)
		failed := make(chan error, 1)
		router.On("go", func(c *wsrouter.Context) error {
			for {
				if err := c.Emit("n", strings.Repeat("x", 64<<10)); err != nil {
					failed <- err
					return err
				}
			}
		})
		raw := rawtest.Connect(router, nil, nil)
		begin := time.Now()
		raw.Send(`{"event":"go"}`)
		var ce *wsrouter.CloseError
		require.ErrorAs(t, <-failed, &ce)
		require.Equal(t, wsrouter.CauseSlow, ce.Cause)
		require.Equal(t, 10*time.Second, time.Since(begin))
		raw.Wait()
	})
}

// TestMaxBuffered: when all queues together hold too much, the fullest client is cut.
func TestMaxBuffered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		router := wsrouter.New(&wsrouter.Options{MaxBuffered: 1 << 20, WriteTimeout: -1})
		var raws []*rawtest.Raw
		for range 4 {
			raws = append(raws, rawtest.Connect(router, nil, nil))
		}
		synctest.Wait()
		payload := strings.Repeat("x", 10_000)
		var conns []*wsrouter.Conn
		for c := range router.Conns() {
			conns = append(conns, c)
		}
		for range 60 { // 600 kB for one client
			require.NoError(t, conns[0].Emit("n", payload))
		}
		for range 10 {
			require.NoError(t, conns[1].Emit("n", payload))
			require.NoError(t, conns[2].Emit("n", payload))
		}
		require.Equal(t, 4, router.Stats().Connections)
		for range 55 {
			require.NoError(t, conns[3].Emit("n", payload))
		}
		synctest.Wait()
		require.ErrorContains(t, conns[0].Emit("n"), "slow")
		require.Equal(t, 3, router.Stats().Connections)
		require.EqualValues(t, 1, router.Stats().Slow)
		require.LessOrEqual(t, router.Stats().Outbox, 1<<20)
		for _, raw := range raws {
			raw.Abort()
			raw.Wait()
		}
		synctest.Wait()
		require.Zero(t, router.Stats().Outbox)
	})
}

// TestOutboxHalf: broadcasts do not make a healthy client that reads a long stream
// slow, because half of the outbox is left to them.
func TestOutboxHalf(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		router := wsrouter.New(&wsrouter.Options{OutboxBytes: 100_000})
		router.On("long", func(c *wsrouter.Context) error {
			return wsrouter.StreamSeq(c, func(yield func(string, error) bool) {
				for range 2000 {
					if !yield(strings.Repeat("x", 1000), nil) {
						return
					}
				}
			})
		})
		raw := rawtest.Connect(router, nil, nil)
		raw.Send(`{"event":"long","id":1}`)
		items, casts := 0, 0
		for items < 2000 {
			time.Sleep(time.Millisecond)
			if items%10 == 0 {
				require.NoError(t, router.Emit("cast", strings.Repeat("y", 1000)))
			}
			frame, ce := raw.Read()
			require.Nil(t, ce)
			if strings.Contains(frame, `"re":1`) {
				items++
			} else {
				casts++
			}
		}
		require.Greater(t, casts, 100)
		raw.Close(1000, "")
		raw.Wait()
		require.EqualValues(t, 0, router.Stats().Slow)
	})
}

// TestVolatile: if the outbox is full the frame is dropped and counted, and the client
// stays.
func TestVolatile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dropped := 0
		router := wsrouter.New(&wsrouter.Options{
			OutboxBytes:  10_000,
			WriteTimeout: -1,
			Trace:        &wsrouter.Trace{Drop: func(_ *http.Request, n int) { dropped += n }},
		})
		raw := rawtest.Connect(router, nil, nil)
		synctest.Wait()
		for i := range 1000 {
			require.NoError(t, router.Except().Volatile().Emit("n", i, strings.Repeat("x", 100)))
		}
		require.EqualValues(t, dropped, router.Stats().Dropped)
		require.Greater(t, dropped, 800)
		last := -1
		for range 1000 - dropped {
			frame, ce := raw.Read()
			require.Nil(t, ce)
			var n int
			fmt.Sscanf(frame, `{"event":"n","data":[%d,`, &n)
			require.Greater(t, n, last, "what was not dropped is in order")
			last = n
		}
		require.NoError(t, router.Except().Volatile().Emit("again"))
		frame, _ := raw.Read()
		require.Equal(t, `{"event":"again"}`, frame)
		require.EqualValues(t, 0, router.Stats().Slow)
		raw.Close(1000, "")
		raw.Wait()
	})
}

// clogged is a transport whose network takes nothing.
type clogged struct {
	writing chan int
	aborted chan struct{}
	once    *sync.Once
}

func (c clogged) Write(batch []adapter.Frame) error {
	c.writing <- len(batch)
	<-c.aborted
	return errors.New("cut")
}
func (clogged) Ping()             {}
func (clogged) Close(adapter.End) {}
func (c clogged) Abort()          { c.once.Do(func() { close(c.aborted) }) }

// TestDroppedInHand: frames that the writer had taken when the connection was cut count
// as dropped, like those in the outbox.
func TestDroppedInHand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lost := 0
		router := wsrouter.New(&wsrouter.Options{OutboxBytes: 1000, Trace: &wsrouter.Trace{Drop: func(_ *http.Request, n int) { lost += n }}})
		transport := clogged{make(chan int, 10), make(chan struct{}), new(sync.Once)}
		blocking := adapter.NewBlocking(transport)
		link, err := router.Adapter().NewLink(blocking, adapter.LinkOptions{Request: request("http://h/")})
		require.NoError(t, err)
		blocking.Attach(link)
		_, err = link.Join(router, plain.JSON, nil)
		require.NoError(t, err)
		synctest.Wait()
		conn := slices.Collect(router.Conns())[0]
		require.NoError(t, conn.Emit("a"))
		require.Equal(t, 1, <-transport.writing)
		require.NoError(t, conn.Emit("b"))
		require.NoError(t, conn.Emit("c"))
		require.Error(t, conn.Emit("d", strings.Repeat("d", 2000)), "full")
		synctest.Wait()
		<-link.End(adapter.End{Code: wsrouter.CloseAbnormal, Cause: adapter.CausePeer})
		require.EqualValues(t, 3, router.Stats().Dropped)
		require.Equal(t, 3, lost)
	})
}

// TestNothingDroppedAtRest: what has been written does not count as dropped when the
// connection ends, whoever wrote it.
func TestNothingDroppedAtRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		router := newRouter()
		client, err := router.Connect(t.Context(), nil)
		require.NoError(t, err)
		for range 3 {
			require.NoError(t, client.Call(t.Context(), "events", "x", nil))
			require.NoError(t, router.Emit("news"))
			synctest.Wait()
		}
		client.Abort()
		synctest.Wait()
		require.Zero(t, router.Stats().Dropped)
		require.Zero(t, client.Conn().Router().Stats().Dropped)
		require.NoError(t, client.Close())
	})
}
