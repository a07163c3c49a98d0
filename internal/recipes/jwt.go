package recipes

import (
	"cmp"
	"context"
	"strings"
	"time"

	"github.com/wsrouter/wsrouter"
)

var userKey = wsrouter.NewKey[string]("user") // set when the client authenticates

// Claims are what a token says.
type Claims struct {
	User    string
	Expires time.Time
}

// Token returns a client's token, from Socket.IO's auth or the first frame, or else
// from the Authorization header.
func Token(c *wsrouter.Conn) (string, error) {
	var auth struct{ Token string }
	err := c.Auth(&auth)
	bearer, _ := strings.CutPrefix(c.Request().Header.Get("Authorization"), "Bearer ")
	return cmp.Or(auth.Token, bearer), err
}

// Authenticate returns a guard that lets clients in for as long as their token is valid.
func Authenticate(verify func(token string) (Claims, error)) func(*wsrouter.Conn) error {
	return func(c *wsrouter.Conn) error {
		token, err := Token(c)
		if err != nil {
			return err
		}
		claims, err := verify(token)
		if err != nil {
			return wsrouter.NewError("token refused").WithCause(err) // the client does not see the cause
		}
		userKey.Set(c, claims.User)
		expiry := time.AfterFunc(time.Until(claims.Expires), func() { c.Close(4500, "token expired") })
		context.AfterFunc(c.Context(), func() { expiry.Stop() })
		return nil
	}
}
