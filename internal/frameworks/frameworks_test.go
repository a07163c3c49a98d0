// Package frameworks holds that a router works wherever an http.Handler does:
// under net/http, chi, gin and echo, and behind their middleware; and what docs/recipes.md
// shows of other libraries.
package frameworks

import (
	"context"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wsrouter/wsrouter"
)

// modes are the two ways to serve a connection: while the framework's handler
// runs, and after it has returned.
var modes = []struct {
	name   string
	detach bool
}{
	{"blocking", false},
	{"detached", true},
}

// sighting is what user code sees of the request that a connection began with.
type sighting struct {
	Where string `json:"where"`
	Param string `json:"param"`
	User  string `json:"user"`
}

// newRouter returns a router with the event "echo", and one "where" that replies
// a sighting. The hooks send theirs.
func newRouter(param func(*http.Request) string) (*wsrouter.Router, <-chan sighting) {
	see := func(ctx context.Context, conn *wsrouter.Conn, where string) sighting {
		user, _ := ctx.Value(userKey{}).(string)
		return sighting{where, param(conn.Request()), user}
	}
	hooks := make(chan sighting, 2)
	router := wsrouter.New(nil)
	router.OnConnect(func(conn *wsrouter.Conn) error {
		hooks <- see(conn.Context(), conn, "OnConnect")
		return nil
	})
	router.OnDisconnect(func(ctx context.Context, conn *wsrouter.Conn, _ *wsrouter.CloseError) {
		hooks <- see(ctx, conn, "OnDisconnect")
	})
	router.On("echo", echoRaw)
	router.On("where", func(c *wsrouter.Context) error {
		return c.Reply(see(c.Context(), c.Conn(), "handler"))
	})
	return router, hooks
}

// TestMounts connects through every mount, and holds that hooks and handlers see
// the framework's path parameter and its middleware's context value.
func TestMounts(t *testing.T) {
	for _, mount := range mounts {
		for _, mode := range modes {
			t.Run(mount.name+"/"+mode.name, func(t *testing.T) { testMount(t, mount, mode.detach) })
		}
	}
}

func testMount(t *testing.T, mount mount, detach bool) {
	param := mount.param
	if detach {
		param = pathValue // chi takes back what it keeps in the context
	}
	router, hooks := newRouter(param)
	server := start(t, router, mount.on(router.Handler(&wsrouter.WSOptions{Detach: detach})))

	client := server.dial(t, "/rooms/7")
	require.Equal(t, sighting{"OnConnect", "7", "ada"}, receive(t, hooks))
	require.Equal(t, "hi", call[string](t, client, "echo", "hi"))
	require.Equal(t, sighting{"handler", "7", "ada"}, call[sighting](t, client, "where", nil))

	require.NoError(t, client.Close())
	require.Equal(t, sighting{"OnDisconnect", "7", "ada"}, receive(t, hooks))
}
