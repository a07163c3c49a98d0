package rawtest

import (
	"runtime"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/wsrouter/wsrouter"
	"github.com/wsrouter/wsrouter/wsroutertest"
)

// NewRouterWith returns a router that answers "events" with the data it was sent.
func NewRouterWith(opts *wsrouter.Options) *wsrouter.Router {
	router := wsrouter.New(opts)
	router.On("events", func(c *wsrouter.Context) error { return c.Reply(c.Raw()) })
	return router
}

// Crowd connects n clients and returns them with their connections.
func Crowd(t *testing.T, router *wsrouter.Router, n int) (clients []*wsroutertest.Client, conns []*wsrouter.Conn) {
	t.Helper()
	for range n {
		before := slices.Collect(router.Conns())
		clients = append(clients, wsroutertest.Connect(t, router, nil))
		for c := range router.Conns() {
			if !slices.Contains(before, c) {
				conns = append(conns, c)
			}
		}
	}
	require.Len(t, conns, n)
	return clients, conns
}

// Allocated returns how many bytes f allocates.
func Allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// NewRouter returns a router that answers "events" with the text it was sent.
func NewRouter() *wsrouter.Router {
	router := wsrouter.New(nil)
	router.On("events", func(c *wsrouter.Context) error {
		var text string
		if err := c.Bind(&text); err != nil {
			return err
		}
		return c.Reply(text)
	})
	return router
}
