package frameworks

import (
	"context"
	"encoding/base64"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/require"

	"github.com/wsrouter/wsrouter"
	"github.com/wsrouter/wsrouter/internal/recipes"
	"github.com/wsrouter/wsrouter/wsroutertest"
)

// Claims are those of docs/recipes.md.
type Claims = recipes.Claims

var secret = []byte("a secret of the service's, of 32 bytes or more")

func verify(token string) (Claims, error) {
	var claims jwt.RegisteredClaims
	_, err := jwt.ParseWithClaims(token, &claims,
		func(*jwt.Token) (any, error) { return secret, nil },
		jwt.WithValidMethods([]string{"HS256"}), jwt.WithExpirationRequired())
	if err != nil {
		return Claims{}, err
	}
	return Claims{User: claims.Subject, Expires: claims.ExpiresAt.Time}, nil
}

// sign makes a token of ann's that expires after a time.
func sign(t *testing.T, method jwt.SigningMethod, key any, after time.Duration) string {
	t.Helper()
	claims := jwt.RegisteredClaims{Subject: "ann"}
	if after != 0 {
		claims.ExpiresAt = jwt.NewNumericDate(time.Now().Add(after))
	}
	token, err := jwt.NewWithClaims(method, claims).SignedString(key)
	require.NoError(t, err)
	return token
}

// TestJWT: who has a token is connected until it expires; one that is wrong in any
// way lets nobody in.
func TestJWT(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		router := wsrouter.New(nil)
		router.OnConnect(recipes.Authenticate(verify))
		connect := func(token string) *wsroutertest.Client {
			return wsroutertest.Connect(t, router, &wsrouter.DialOptions{
				Auth: func(context.Context) (any, error) { return map[string]string{"token": token}, nil },
			})
		}
		good := sign(t, jwt.SigningMethodHS256, secret, time.Hour)
		client := connect(good)
		time.Sleep(time.Hour - 2*time.Second) // NumericDate has whole seconds
		require.Equal(t, 1, router.Stats().Connections)
		time.Sleep(2 * time.Second)
		client.ExpectClose(4500)

		for what, token := range map[string]string{
			"expired":            good,
			"none":               "",
			"no token":           "hello",
			"another key":        sign(t, jwt.SigningMethodHS256, []byte("guessed"), time.Hour),
			"another algorithm":  sign(t, jwt.SigningMethodHS512, secret, time.Hour),
			"no algorithm":       sign(t, jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, time.Hour),
			"no expiry":          sign(t, jwt.SigningMethodHS256, secret, 0),
			"another's body":     good[:len(good)/2] + base64.RawURLEncoding.EncodeToString([]byte("{}")),
			"not a JWT's letter": good + "!",
		} {
			require.Equal(t, "token refused", connect(token).ExpectClose(wsrouter.ClosePolicy).Reason, what)
		}
	})
}
