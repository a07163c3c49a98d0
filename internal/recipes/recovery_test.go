package recipes

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wsrouter/wsrouter"
)

// TestRefresh: a stream continues while tokens expire and the network fails, nobody
// takes over another user's connection, and a client without a new token is
// disconnected.
func TestRefresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		known := tokens{"bob": {User: "bob", Expires: time.Now().Add(time.Hour)}}
		for i := range 4 {
			known[fmt.Sprint(i)] = Claims{User: "ann", Expires: time.Now().Add(time.Duration(i+1) * time.Minute)}
		}
		router := Resumable(known.verify)
		router.On("ticks", func(c *wsrouter.Context) error {
			return wsrouter.StreamSeq(c, func(yield func(int, error) bool) {
				for n := 1; n <= 200 && yield(n, nil); n++ {
					time.Sleep(time.Second)
				}
			})
		})
		token := "0"
		asked := 0
		client, err := router.Connect(t.Context(), &wsrouter.DialOptions{
			Reconnect: &wsrouter.Reconnect{Resume: true},
			Auth: func(context.Context) (any, error) {
				if token != "bob" {
					token = fmt.Sprint(asked)
					asked++
				}
				return map[string]string{"token": token}, nil
			},
		})
		require.NoError(t, err)
		synctest.Wait()
		conn := slices.Collect(router.Conns())[0]
		want := 1
		for n, err := range wsrouter.Pull[int](t.Context(), client, "ticks", nil) {
			require.NoError(t, err)
			require.Equal(t, want, n)
			want++
		}
		require.Equal(t, 201, want)
		require.Equal(t, 4, asked, "three expired in 200 s")
		require.EqualValues(t, 3, router.Stats().Resumed)
		require.Equal(t, []*wsrouter.Conn{conn}, slices.Collect(router.Conns()))

		token = "bob"
		client.Abort()
		synctest.Wait()
		require.NoError(t, client.Ready(t.Context()))
		synctest.Wait()
		require.NotEqual(t, []*wsrouter.Conn{conn}, slices.Collect(router.Conns()), "bob has one of his own")
		require.NoError(t, client.Close())
	})
}
