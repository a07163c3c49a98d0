package suite_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wsrouter/wsrouter"
	"github.com/wsrouter/wsrouter/wsroutertest"
)

// TestCallsWithArgumentsThatPanic: a request that cannot be encoded as its argument
// panics has ended, for Trace and for MaxOpen.
func TestCallsWithArgumentsThatPanic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told notes
		dialed := wsrouter.New(&wsrouter.Options{MaxOpen: 2, Trace: &wsrouter.Trace{
			CallStart: func(context.Context, *wsrouter.Conn, string) context.Context { told.add("start"); return nil },
			CallEnd: func(_ context.Context, _ *wsrouter.Conn, _ string, _ time.Duration, err error) {
				told.add("end %s", wsrouter.CallOutcome(err))
			},
		}})
		client := wsroutertest.Connect(t, newRouter(), &wsrouter.DialOptions{Router: dialed})
		for range 3 {
			require.Panics(t, func() { client.Call(t.Context(), "events", panicsInJSON{}, nil) })
			require.Equal(t, []string{"start", "end internal"}, told.take())
			require.Panics(t, func() {
				for range wsrouter.Pull[int](t.Context(), client, "events", panicsInJSON{}) {
				}
			})
			require.Equal(t, []string{"start", "end internal"}, told.take())
		}
		require.NoError(t, client.Call(t.Context(), "events", "hi", nil))
	})
}
