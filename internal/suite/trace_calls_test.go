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

// TestCallsWithArgumentsThatPanic: a request whose argument panics while it is
// encoded has ended, for Trace and for MaxOpen.
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

// TestMultiTraceOfCallsThatFail: if one CallStart panics, the CallEnds of the
// others still get the context that their CallStarts made.
func TestMultiTraceOfCallsThatFail(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told notes
		fails := &wsrouter.Trace{CallStart: func(context.Context, *wsrouter.Conn, string) context.Context { panic("oops") }}
		begins := &wsrouter.Trace{
			CallStart: func(ctx context.Context, _ *wsrouter.Conn, _ string) context.Context {
				return context.WithValue(ctx, ctxKey{}, "begun")
			},
			CallEnd: func(ctx context.Context, _ *wsrouter.Conn, _ string, _ time.Duration, _ error) {
				told.add("end %v", ctx.Value(ctxKey{}))
			},
		}
		for _, traces := range [][]*wsrouter.Trace{{fails, begins}, {begins, fails}, {fails, begins, fails}} {
			log := &lines{}
			dialed := wsrouter.New(&wsrouter.Options{Logger: log.logger(), Trace: wsrouter.MultiTrace(traces...)})
			client := wsroutertest.Connect(t, newRouter(), &wsrouter.DialOptions{Router: dialed})
			require.NoError(t, client.Call(t.Context(), "events", "hi", nil))
			require.Equal(t, []string{"end begun"}, told.take())
			require.Len(t, log.with("Trace panicked"), 1)
			require.Contains(t, log.with("Trace panicked")[0], "oops")
		}
	})
}
