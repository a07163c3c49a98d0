package serve

import (
	"log"
	"reflect"

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
	return server{handler: socketio.New(router, nil), drain: router.Shutdown}
}

func newRouter(s settings) *wsrouter.Router {
	opts := &wsrouter.Options{MaxMessage: maxMessage, PingInterval: s.ping, PongTimeout: s.ping}
	if s.loops {
		setLoops(opts)
	}
	router := wsrouter.New(opts)
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

// HasLoops says whether the wsrouter that this was built with has event loops, so
// that no row claims them that has none.
func HasLoops() bool {
	_, ok := reflect.TypeFor[wsrouter.Options]().FieldByName("EventLoops")
	return ok
}

func setLoops(opts *wsrouter.Options) {
	if !HasLoops() {
		log.Fatal("this wsrouter has no event loops")
	}
	reflect.ValueOf(opts).Elem().FieldByName("EventLoops").SetBool(true)
}
