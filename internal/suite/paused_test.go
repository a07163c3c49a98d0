package suite_test

import (
	"context"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/wsrouter/wsrouter"
	"github.com/wsrouter/wsrouter/internal/rawtest"
)

// TestCloseWhileReadingIsPaused: a connection that is closed while its inbox is full
// ends, because reading continues up to the close frame.
func TestCloseWhileReadingIsPaused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		router := wsrouter.New(&wsrouter.Options{InboxBytes: 1000})
		var conn *wsrouter.Conn
		router.OnConnect(func(c *wsrouter.Conn) error { conn = c; return nil })
		gone := make(chan struct{})
		router.OnDisconnect(func(context.Context, *wsrouter.Conn, *wsrouter.CloseError) { close(gone) })
		router.On("wait", func(c *wsrouter.Context) error {
			<-c.Context().Done()
			return nil
		})
		raw := rawtest.Connect(router, nil, nil)
		synctest.Wait()
		for range 2 {
			require.True(t, raw.Send(`{"event":"wait","data":"`+large[:1000]+`"}`))
		}
		synctest.Wait()
		require.NoError(t, conn.Close(4000, "enough"))
		_, ce := raw.Read()
		require.Equal(t, &wsrouter.CloseError{Code: 4000, Reason: "enough"}, ce)
		<-gone
		raw.Wait()
	})
}

// TestRefusedWhileReadingIsPaused: so does one that is refused with a full inbox.
func TestRefusedWhileReadingIsPaused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		router := wsrouter.New(&wsrouter.Options{InboxBytes: 1000})
		decide := make(chan struct{})
		router.OnConnect(func(c *wsrouter.Conn) error {
			<-decide
			return wsrouter.NewError("no")
		})
		raw := rawtest.Connect(router, nil, nil)
		require.True(t, raw.Send(`{"event":"e","data":"`+large[:1000]+`"}`))
		synctest.Wait()
		close(decide)
		_, ce := raw.Read()
		require.Equal(t, &wsrouter.CloseError{Code: wsrouter.ClosePolicy, Reason: "no"}, ce)
		raw.Wait()
		require.Zero(t, router.Stats().Connections)
	})
}
