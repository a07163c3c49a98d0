package recipes

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wsrouter/wsrouter"
	"github.com/wsrouter/wsrouter/wsroutertest"
)

// tokens verifies the tokens in the map.
type tokens map[string]Claims

func (ts tokens) verify(token string) (Claims, error) {
	claims, ok := ts[token]
	if !ok {
		return Claims{}, errors.New("bad signature")
	}
	return claims, nil
}

func newTokenRouter(verify func(string) (Claims, error)) *wsrouter.Router {
	router := wsrouter.New(nil)
	router.OnConnect(Authenticate(verify))
	router.On("whoami", func(c *wsrouter.Context) error {
		user, _ := userKey.Get(c.Conn())
		return c.Reply(user)
	})
	return router
}

func TestAuthenticate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		known := tokens{"good": {User: "ann", Expires: time.Now().Add(time.Hour)}}
		router := newTokenRouter(known.verify)
		ann := wsroutertest.Connect(t, router, auth(map[string]string{"token": "good"}))
		ann.Emit("whoami")
		ann.Expect("whoami", "ann")

		time.Sleep(time.Hour - time.Second)
		ann.Emit("whoami")
		ann.Expect("whoami", "ann")
		time.Sleep(time.Second)
		require.Equal(t, "token expired", ann.ExpectClose(4500).Reason)

		stranger := wsroutertest.Connect(t, router, auth(map[string]string{"token": "bad"}))
		require.Equal(t, "token refused", stranger.ExpectClose(wsrouter.ClosePolicy).Reason)
		late := wsroutertest.Connect(t, router, auth(map[string]string{"token": "late"}))
		late.ExpectClose(wsrouter.ClosePolicy)
	})
}

func TestStranger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		router := wsrouter.New(nil)
		router.OnConnect(Authenticate(func(string) (Claims, error) { return Claims{}, errors.New("bad signature") }))
		client := wsroutertest.Connect(t, router, &wsrouter.DialOptions{
			Auth: func(context.Context) (any, error) { return map[string]string{"token": "forged"}, nil },
		})
		client.ExpectClose(wsrouter.ClosePolicy)
	})
}

// TestToken: a token in the payload takes precedence over one in the header.
func TestToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		router := newTokenRouter(func(token string) (Claims, error) {
			return Claims{User: token, Expires: time.Now().Add(time.Hour)}, nil
		})
		options := auth(map[string]string{"token": "of auth"})
		for _, want := range []string{"of auth", "of header", ""} {
			client := wsroutertest.Connect(t, router, options)
			client.Emit("whoami")
			client.Expect("whoami", want)
			switch want {
			case "of auth":
				options = &wsrouter.DialOptions{Header: http.Header{"Authorization": {"Bearer of header"}}}
				options.Auth = func(context.Context) (any, error) { return struct{}{}, nil }
			case "of header":
				options = nil
			}
		}
	})
}

// TestAuthenticateAgain: a client whose token has expired comes back with a new one.
func TestAuthenticateAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		known := tokens{}
		for i := range 5 {
			known[fmt.Sprint(i)] = Claims{User: "ann", Expires: time.Now().Add(time.Duration(i+1) * time.Hour)}
		}
		asked := 0
		client := wsroutertest.Connect(t, newTokenRouter(known.verify), &wsrouter.DialOptions{
			Reconnect: &wsrouter.Reconnect{},
			Auth: func(context.Context) (any, error) {
				asked++
				return map[string]string{"token": fmt.Sprint(asked - 1)}, nil
			},
		})
		time.Sleep(3*time.Hour + time.Minute)
		require.NoError(t, client.Ready(t.Context()))
		require.Equal(t, 4, asked)
		client.Emit("whoami")
		client.Expect("whoami", "ann")
	})
}

func TestOnePerUser(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		router := wsrouter.New(nil)
		router.OnConnect(OnePerUser(byName))
		router.On("events", func(c *wsrouter.Context) error { return c.Reply(c.Value()) })

		first := connectAs(t, router, "ann")
		bob := connectAs(t, router, "bob")
		second := connectAs(t, router, "ann")
		require.Equal(t, "signed in elsewhere", first.ExpectClose(4001).Reason)
		for _, client := range []*wsroutertest.Client{second, bob} {
			client.Emit("events", "here")
			client.Expect("events", "here")
		}
		connectAs(t, router, "").ExpectClose(wsrouter.ClosePolicy)
		require.Equal(t, 2, router.Stats().Connections)
	})
}

// TestOnePerUserAtOnce: of the connections that a user makes at the same time one
// stays.
func TestOnePerUserAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		router := wsrouter.New(nil)
		router.OnConnect(OnePerUser(func(c *wsrouter.Conn) error {
			time.Sleep(time.Second) // a database that is slow for all at once
			return byName(c)
		}))
		for range 20 {
			client, err := router.Connect(t.Context(), auth("ann"))
			require.NoError(t, err)
			t.Cleanup(func() { client.Close() })
		}
		time.Sleep(2 * time.Second)
		require.Equal(t, 1, router.Stats().Connections)
	})
}

// TestOnePerUserInTurn: when a connection ends, its successor is not forgotten.
func TestOnePerUserInTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		router := wsrouter.New(nil)
		router.OnConnect(OnePerUser(byName))
		last := connectAs(t, router, "ann")
		for range 5 {
			next := connectAs(t, router, "ann")
			last.ExpectClose(4001)
			last = next
		}
		require.Equal(t, 1, router.Stats().Connections)
	})
}
