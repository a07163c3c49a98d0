package suite_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wsrouter/wsrouter"
)

// TestGoodbyeEndsOnConnect: the context that OnConnect sees ends as soon as its client
// says goodbye. If OnConnect lets the client in all the same, what the client sent
// before is handled, with a context that has not ended.
func TestGoodbyeEndsOnConnect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		router := wsrouter.New(nil)
		begin := time.Now()
		router.OnConnect(func(c *wsrouter.Conn) error {
			ctx := c.Context()
			require.Equal(t, ctx, c.Context())
			<-ctx.Done()
			require.Zero(t, time.Since(begin))
			require.Equal(t, &wsrouter.CloseError{Code: wsrouter.CloseNormal, Cause: wsrouter.CausePeer}, context.Cause(ctx))
			require.Equal(t, context.Cause(ctx), context.Cause(c.Context()))
			return nil
		})
		handled := false
		router.On("last words", func(c *wsrouter.Context) error {
			handled = c.Context().Err() == nil && c.Conn().Context().Err() == nil
			return nil
		})
		client, err := router.Connect(t.Context(), nil)
		require.NoError(t, err)
		require.NoError(t, client.Emit("last words"))
		require.NoError(t, client.Close())
		synctest.Wait()
		require.True(t, handled)
	})
}

// TestOnConnectContextGoesOn: whatever OnConnect has started with its context lasts as
// long as the connection, including while the last events are handled.
func TestOnConnectContextGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		router := wsrouter.New(nil)
		var ctx context.Context
		router.OnConnect(func(c *wsrouter.Conn) error { ctx = c.Context(); return nil })
		router.On("work", func(c *wsrouter.Context) error {
			time.Sleep(time.Second)
			require.NoError(t, ctx.Err())
			return nil
		})
		client, err := router.Connect(t.Context(), nil)
		require.NoError(t, err)
		require.NoError(t, client.Emit("work"))
		synctest.Wait()
		require.NoError(t, ctx.Err())
		require.NoError(t, client.Close())
		synctest.Wait()
		require.NoError(t, ctx.Err(), "its handler is still running")
		time.Sleep(2 * time.Second)
		require.Error(t, ctx.Err())
	})
}
