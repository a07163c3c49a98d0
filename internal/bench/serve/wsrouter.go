package serve

import (
	"time"

	"github.com/wsrouter/wsrouter"
	"github.com/wsrouter/wsrouter/socketio"
)

func newWsrouter(s settings) server {
	router := newRouter(s)
	return server{handler: router, drain: router.Shutdown}
}

func newWsrouterDetach(s settings) server {
	router := newRouter(s)
	return server{handler: router.Handler(&wsrouter.WSOptions{Detach: true}), drain: router.Shutdown}
}

func newWsrouterSocketIO(s settings) server {
	router := newRouter(s)
	return server{handler: socketio.New(router, &socketio.Options{Detach: s.loops}), drain: router.Shutdown}
}

func newRouter(s settings) *wsrouter.Router {
	router := wsrouter.New(&wsrouter.Options{
		MaxMessage: maxMessage, PingInterval: s.ping, PongTimeout: s.ping, EventLoops: s.loops,
	})
	router.On("echo", func(c *wsrouter.Context) error {
		var text string
		if err := c.Bind(&text); err != nil {
			return err
		}
		time.Sleep(s.sleep)
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
