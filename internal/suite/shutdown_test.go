package suite_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wsrouter/wsrouter"
	"github.com/wsrouter/wsrouter/internal/rawtest"
)

// TestShutdownAnswersLateRequests: what arrives while a handler delays the close is not
// handled. A request is told so at once, under its own id.
func TestShutdownAnswersLateRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bodies := 0
		router := newRouterWith(&wsrouter.Options{ErrorBody: func(c *wsrouter.Context, err error) any {
			bodies++
			require.NoError(t, c.Context().Err())
			return c.Event() + ": " + err.Error()
		}})
		handled := 0
		router.On("slow", func(c *wsrouter.Context) error { time.Sleep(time.Minute); return c.Reply("served") })
		router.On("late", func(c *wsrouter.Context) error { handled++; return nil })
		client := rawtest.Connect(router, nil, nil)
		client.Send(`{"event":"slow","id":1}`)
		synctest.Wait()
		done := make(chan error)
		go func() { done <- router.Shutdown(t.Context()) }()
		synctest.Wait()
		begin := time.Now()
		client.Send(`{"event":"late","id":2}`)
		client.Send(`{"event":"late"}`)
		client.Send(`{"event":"nobody's","id":3,"pull":1}`)
		client.Send(`{"event":"late","id":1}`) // its id is in use: the first answer is still to come
		for _, want := range []struct {
			frame string
			after time.Duration
		}{
			{`{"event":"exception","data":"late: shutting down","re":2}`, 0},
			{`{"event":"exception","data":"nobody's: shutting down","re":3}`, 0},
			{`{"event":"slow","data":"served","re":1}`, time.Minute},
		} {
			frame, _ := client.Read()
			require.Equal(t, want.frame, frame)
			require.Equal(t, want.after, time.Since(begin))
		}
		require.NoError(t, <-done)
		require.Equal(t, []int{0, 2}, []int{handled, bodies})
		require.EqualValues(t, 4, router.Stats().Discarded)
	})
}

// TestShutdownRejectsLargeMessages: each of them would fill the inbox, but none stays
// there, so that the reader is neither paused nor resumed.
func TestShutdownRejectsLargeMessages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		router := newRouterWith(&wsrouter.Options{InboxBytes: 1000})
		router.On("slow", func(c *wsrouter.Context) error { time.Sleep(time.Minute); return c.Reply("served") })
		client := rawtest.Connect(router, nil, nil)
		client.Send(`{"event":"slow","id":1}`)
		synctest.Wait()
		done := make(chan error)
		go func() { done <- router.Shutdown(t.Context()) }()
		synctest.Wait()
		large := strings.Repeat("x", 2000)
		for range 5 {
			require.True(t, client.Send(`{"event":"late","data":"`+large+`"}`))
		}
		client.Send(`{"event":"late","id":2}`)
		for _, want := range []string{
			invalid + `shutting down","code":"shutdown"},"re":2}`,
			`{"event":"slow","data":"served","re":1}`,
		} {
			frame, _ := client.Read()
			require.Equal(t, want, frame)
		}
		require.NoError(t, <-done)
		require.EqualValues(t, 6, router.Stats().Discarded)
	})
}
