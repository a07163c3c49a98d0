package frameworks

import (
	"context"
	"io"
	"net/http"
	"testing"

	"github.com/gofiber/fiber/v3"
	"github.com/gofiber/fiber/v3/middleware/adaptor"
	"github.com/stretchr/testify/require"

	"github.com/wsrouter/wsrouter"
)

// besideFiber serves a router, and a Fiber app for all else.
func besideFiber(router http.Handler, app *fiber.App) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/ws", router)
	mux.Handle("/", adaptor.FiberApp(app))
	return mux
}

// TestBesideFiber: both are served, and the request of a connection stays what it
// was, also in OnDisconnect, and whatever Fiber serves meanwhile.
func TestBesideFiber(t *testing.T) {
	for _, mode := range modes {
		t.Run(mode.name, func(t *testing.T) { testBesideFiber(t, mode.detach) })
	}
}

func testBesideFiber(t *testing.T, detach bool) {
	ended := make(chan string, 1)
	router := wsrouter.New(nil)
	router.On("echo", echoRaw)
	router.OnDisconnect(func(_ context.Context, c *wsrouter.Conn, _ *wsrouter.CloseError) {
		ended <- c.Request().URL.String()
	})
	app := fiber.New()
	app.Get("/hello/:name", func(c fiber.Ctx) error { return c.SendString("hello, " + c.Params("name")) })
	server := start(t, router, besideFiber(router.Handler(&wsrouter.WSOptions{Detach: detach}), app))

	client := server.dial(t, "/ws?user=ann")
	for range 20 {
		page, err := server.Client().Get(server.URL + "/hello/ann")
		require.NoError(t, err)
		body, err := io.ReadAll(page.Body)
		require.NoError(t, err)
		page.Body.Close()
		require.Equal(t, "hello, ann", string(body))
		require.Equal(t, "hi", call[string](t, client, "echo", "hi"))
	}
	require.NoError(t, client.Close())
	require.Equal(t, "/ws?user=ann", receive(t, ended))
}
