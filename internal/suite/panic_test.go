package suite_test

import (
	"runtime"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/wsrouter/wsrouter"
	"github.com/wsrouter/wsrouter/wsroutertest"
)

// TestPanicsStayInTheirEvent: a panic, a runtime.Goexit and http.ErrAbortHandler.
func TestPanicsStayInTheirEvent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		router := newRouter()
		router.On("panic", func(*wsrouter.Context) error { panic("boom") })
		router.On("goexit", func(*wsrouter.Context) error { runtime.Goexit(); return nil })
		router.On("goexit later", func(c *wsrouter.Context) error { c.Yield(); runtime.Goexit(); return nil })
		client := wsroutertest.Connect(t, router, nil)
		for _, event := range []string{"panic", "goexit", "goexit later"} {
			err := client.Call(t.Context(), event, nil, nil)
			require.EqualError(t, err, "Internal server error", event)
			client.Emit("events", "still here")
			client.Expect("events", "still here")
		}
		require.EqualValues(t, 3, router.Stats().Panics)
	})
}
