package suite_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wsrouter/wsrouter"
	"github.com/wsrouter/wsrouter/internal/rawtest"
)

// TestCallsGivenUp: nothing is left of calls whose context has ended, and a late answer
// is ignored.
func TestCallsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		router := wsrouter.New(nil)
		conns := make(chan *wsrouter.Conn, 1)
		router.OnConnect(func(c *wsrouter.Conn) error { conns <- c; return nil })
		raw := rawtest.Connect(router, nil, nil)
		conn := <-conns
		synctest.Wait()
		requests := make(chan string, 10_000)
		go func() {
			for {
				frame, ce := raw.Read()
				if ce != nil {
					return
				}
				requests <- frame
			}
		}()
		var calls sync.WaitGroup
		for range 1000 { // as many as MaxOpen
			calls.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				require.ErrorIs(t, conn.Call(ctx, "q", nil, nil), context.DeadlineExceeded)
			})
		}
		synctest.Wait()
		require.ErrorIs(t, conn.Call(t.Context(), "q", nil, nil), wsrouter.ErrTooManyOpen)
		calls.Wait()
		synctest.Wait()
		require.Len(t, requests, 2000, "each was asked and canceled")
		for i := range 1000 {
			raw.Send(fmt.Sprintf(`{"event":"q","data":1,"re":%d}`, i+1))
		}
		result := make(chan error)
		go func() { result <- conn.Call(t.Context(), "q", nil, nil) }()
		synctest.Wait()
		raw.Send(`{"event":"q","re":1001}`)
		require.NoError(t, <-result)
		raw.Close(1000, "")
		raw.Wait()
	})
}

// TestCallBehindLargeMessage: a call still gets its answer if it begins while a message
// waits that is larger than a whole inbox, and also if it began before that message
// came.
func TestCallBehindLargeMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		router := newRouterWith(&wsrouter.Options{InboxBytes: 1000})
		large := make(chan int, 1)
		router.On("ask", func(c *wsrouter.Context) error {
			time.Sleep(time.Second)
			ctx, cancel := context.WithTimeout(c.Context(), time.Minute)
			defer cancel()
			var answer string
			if err := c.Conn().Call(ctx, "q", nil, &answer); err != nil {
				return err
			}
			return c.Reply(answer)
		})
		router.On("large", func(c *wsrouter.Context) error { large <- len(c.Raw()); return nil })
		raw := rawtest.Connect(router, nil, nil)
		raw.Send(`{"event":"ask","id":1}`)
		raw.Send(`{"event":"large","data":"` + strings.Repeat("x", 9998) + `"}`)
		frame, _ := raw.Read()
		require.Equal(t, `{"event":"q","id":1}`, frame)
		go raw.Send(`{"event":"q","data":"a","re":1}`)
		frame, _ = raw.Read()
		require.Equal(t, `{"event":"ask","data":"a","re":1}`, frame)
		require.Equal(t, 10_000, <-large)
		raw.Close(1000, "")
		raw.Wait()
	})
}
