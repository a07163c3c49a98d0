package recipes

import (
	"context"
	"time"

	"github.com/wsrouter/wsrouter"
)

var userKey = wsrouter.NewKey[string]("user") // set when the client authenticates

// Claims are what a token says.
type Claims struct {
	User    string
	Expires time.Time
}

// Authenticate returns a guard that lets clients in for as long as their token is valid.
func Authenticate(verify func(token string) (Claims, error)) func(*wsrouter.Conn) error {
	return func(c *wsrouter.Conn) error {
		var auth struct{ Token string }
		if err := c.Auth(&auth); err != nil {
			return err
		}
		claims, err := verify(auth.Token)
		if err != nil {
			return wsrouter.NewError("token refused").WithCause(err) // the client does not see the cause
		}
		userKey.Set(c, claims.User)
		expiry := time.AfterFunc(time.Until(claims.Expires), func() { c.Close(4500, "token expired") })
		context.AfterFunc(c.Context(), func() { expiry.Stop() })
		return nil
	}
}
