package recipes

import (
	"context"
	"time"

	"github.com/wsrouter/wsrouter"
)

// expiryKey holds the timer of a connection's token.
var expiryKey = wsrouter.NewKey[*time.Timer]("expiry")

// Refresh returns a guard for OnConnect and OnResume. When a token expires, the
// client is asked to come back with a new one.
func Refresh(verify func(token string) (Claims, error)) func(*wsrouter.Conn) error {
	return func(c *wsrouter.Conn) error {
		token, err := Token(c)
		if err != nil {
			return err
		}
		claims, err := verify(token)
		if err != nil {
			return wsrouter.NewError("token refused").WithCause(err)
		}
		if user, ok := userKey.Get(c); ok && user != claims.User {
			return wsrouter.NewError("another user's connection")
		}
		userKey.Set(c, claims.User)
		if old, ok := expiryKey.Get(c); ok {
			old.Stop()
		}
		expiry := time.AfterFunc(time.Until(claims.Expires), func() { c.Close(wsrouter.CloseResume, "token expired") })
		expiryKey.Set(c, expiry)
		context.AfterFunc(c.Context(), func() { expiry.Stop() })
		return nil
	}
}

// Resumable returns a router whose connections survive when the network fails.
func Resumable(verify func(token string) (Claims, error)) *wsrouter.Router {
	router := wsrouter.New(&wsrouter.Options{Recovery: &wsrouter.Recovery{Window: 30 * time.Second}})
	router.OnConnect(Refresh(verify))
	router.OnResume(Refresh(verify))
	return router
}
