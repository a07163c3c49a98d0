package suite_test

import (
	"context"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/wsrouter/wsrouter"
	"github.com/wsrouter/wsrouter/wsroutertest"
)

// TestTraceOfItems: CallItem is called for each item that a loop over Pull
// receives, including a plain answer, with the context of CallStart; and for no
// answer of a Call.
func TestTraceOfItems(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		type key struct{}
		items := make(map[string]int)
		count := &wsrouter.Trace{
			CallStart: func(ctx context.Context, _ *wsrouter.Conn, _ string) context.Context {
				return context.WithValue(ctx, key{}, "own")
			},
			CallItem: func(ctx context.Context, _ *wsrouter.Conn, event string) {
				require.Equal(t, "own", ctx.Value(key{}))
				items[event]++
			},
		}
		twice := &wsrouter.Trace{CallItem: func(_ context.Context, _ *wsrouter.Conn, event string) { items[event]++ }}
		router := wsrouter.New(nil)
		wsrouter.HandleStream(router, "count", func(_ *wsrouter.Context, to int) (<-chan int, error) {
			ch := make(chan int, to)
			defer close(ch)
			for i := range to {
				ch <- i
			}
			return ch, nil
		})
		router.On("plain", func(c *wsrouter.Context) error { return c.Reply(1) })
		router.On("fail", func(c *wsrouter.Context) error { return wsrouter.NewError("no") })
		client := wsroutertest.Connect(t, router, &wsrouter.DialOptions{
			Router: wsrouter.New(&wsrouter.Options{Trace: wsrouter.MultiTrace(count, twice)}),
		})
		for _, event := range []string{"count", "plain", "fail"} {
			for range wsrouter.Pull[int](t.Context(), client, event, 40) {
			}
		}
		require.NoError(t, client.Call(t.Context(), "plain", nil, nil))
		require.Equal(t, map[string]int{"count": 2 * 40, "plain": 2}, items)
	})
}
