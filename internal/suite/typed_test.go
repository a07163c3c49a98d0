package suite_test

import (
	"errors"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/wsrouter/wsrouter"
	"github.com/wsrouter/wsrouter/wsroutertest"
)

// TestTyped: the generic functions bind, validate, reply and fail like handlers written
// by hand.
func TestTyped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		type in struct{ A, B int }
		router := wsrouter.New(&wsrouter.Options{Validate: func(v any) error {
			if p, ok := v.(*in); ok && p.A < 0 {
				return wsrouter.NewError("A must not be negative")
			}
			return nil
		}})
		wsrouter.Handle(router, "sum", func(_ *wsrouter.Context, p in) (int, error) { return p.A + p.B, nil })
		wsrouter.Handle(router, "fail", func(*wsrouter.Context, any) (string, error) { return "x", errors.New("secret") })
		wsrouter.HandleStream(router, "refused", func(*wsrouter.Context, any) (<-chan int, error) {
			return nil, wsrouter.NewError("no stream")
		})
		client := wsroutertest.Connect(t, router, nil)
		sum, err := wsrouter.Call[int](t.Context(), client, "sum", in{2, 3})
		require.NoError(t, err)
		require.Equal(t, 5, sum)
		_, err = wsrouter.Call[int](t.Context(), client, "sum", map[string]string{"A": "x"})
		require.EqualError(t, err, "A: expected an integer, got a string")
		_, err = wsrouter.Call[int](t.Context(), client, "sum", in{A: -1})
		require.EqualError(t, err, "A must not be negative")
		_, err = wsrouter.Call[string](t.Context(), client, "fail", nil)
		require.EqualError(t, err, "Internal server error")
		for _, err := range wsrouter.Pull[int](t.Context(), client, "refused", nil) {
			require.EqualError(t, err, "no stream")
		}
		require.NoError(t, client.Emit("sum", in{1, 1}))
		client.Expect("sum", 2)
	})
	require.Panics(t, func() { wsrouter.Handle[int, int](wsrouter.New(nil), "nil", nil) })
}
