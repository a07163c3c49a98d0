package wsrouter_test

import (
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/wsrouter/wsrouter"
	"github.com/wsrouter/wsrouter/wsroutertest"
)

func TestEcho(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		router := wsrouter.New(nil)
		router.On("events", func(c *wsrouter.Context) error {
			var text string
			if err := c.Bind(&text); err != nil {
				return err
			}
			return c.Reply(text)
		})
		client := wsroutertest.Connect(t, router, nil)
		client.Emit("events", "hi")
		client.Expect("events", "hi")
		client.ExpectNothing()
		var out string
		require.NoError(t, client.Call(t.Context(), "events", "x", &out))
		require.Equal(t, "x", out)
	})
}
