package recipes

import "github.com/wsrouter/wsrouter"

// Watcher returns the router of a client that watches rooms, again on each
// connection.
func Watcher(rooms ...string) *wsrouter.Router {
	handlers := wsrouter.New(nil)
	handlers.OnConnect(func(c *wsrouter.Conn) error {
		return c.Call(c.Context(), "watch", rooms, nil) // if it fails the client reconnects and asks again
	})
	return handlers
}
