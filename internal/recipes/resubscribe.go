package recipes

import "github.com/wsrouter/wsrouter"

// Watcher returns the router of a client that asks to watch rooms on each new connection.
func Watcher(rooms ...string) *wsrouter.Router {
	handlers := wsrouter.New(nil)
	handlers.OnConnect(func(c *wsrouter.Conn) error {
		return c.Call(c.Context(), "watch", rooms, nil) // if it fails, the client comes back and asks again
	})
	return handlers
}
