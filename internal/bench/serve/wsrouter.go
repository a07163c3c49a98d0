package serve

import (
	"net/http"
	"os"

	"github.com/wsrouter/wsrouter"
	"github.com/wsrouter/wsrouter/socketio"
)

func newWsrouter() http.Handler { return newRouter() }

func newWsrouterDetach() http.Handler {
	return newRouter().Handler(&wsrouter.WSOptions{Detach: true})
}

func newWsrouterSocketIO() http.Handler {
	return socketio.New(newRouter(), nil)
}

func newRouter() *wsrouter.Router {
	router := wsrouter.New(&wsrouter.Options{MaxMessage: maxMessage, EventLoops: os.Getenv("LOOPS") != ""})
	router.On("echo", func(c *wsrouter.Context) error {
		var text string
		if err := c.Bind(&text); err != nil {
			return err
		}
		return c.Reply(text)
	})
	router.On("broadcast", func(c *wsrouter.Context) error {
		var text string
		if err := c.Bind(&text); err != nil {
			return err
		}
		return router.Emit("news", text)
	})
	return router
}
