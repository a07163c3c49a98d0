package recipes

import (
	"context"
	"sync"

	"github.com/wsrouter/wsrouter"
)

// OnePerUser returns a guard that ends the connection that the user already has.
func OnePerUser(authenticate func(*wsrouter.Conn) error) func(*wsrouter.Conn) error {
	var current sync.Map // the *wsrouter.Conn of each user
	return func(c *wsrouter.Conn) error {
		if err := authenticate(c); err != nil {
			return err
		}
		user, _ := userKey.Get(c)
		if old, ok := current.Swap(user, c); ok {
			old.(*wsrouter.Conn).Close(4001, "signed in elsewhere")
		}
		context.AfterFunc(c.Context(), func() { current.CompareAndDelete(user, c) })
		return nil
	}
}
