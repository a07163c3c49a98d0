package suite_test

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/wsrouter/wsrouter"
	"github.com/wsrouter/wsrouter/wsroutertest"
)

// TestEcho is the test that the package doc promises to be five lines long.
func TestEcho(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := wsroutertest.Connect(t, newRouter(), nil)
		client.Emit("events", "hi")
		client.Expect("events", "hi")
		client.ExpectNothing()
	})
}

func noop(*wsrouter.Context) error { return nil }

// TestRegistrationPanics: mistakes show at start-up, with their location.
func TestRegistrationPanics(t *testing.T) {
	pass := func(next wsrouter.HandlerFunc) wsrouter.HandlerFunc { return next }
	tests := []struct {
		name     string
		register func(r *wsrouter.Router)
		want     string
		sites    int
	}{
		{"empty event", func(r *wsrouter.Router) { r.On("", noop) }, `event name "" is empty`, 1},
		{"reserved event", func(r *wsrouter.Router) { r.On("exception", noop) }, `"exception" is empty, reserved`, 1},
		{"Socket.IO's", func(r *wsrouter.Router) { r.On("disconnecting", noop) }, `"disconnecting" is empty, reserved`, 1},
		{"long event", func(r *wsrouter.Router) { r.On(strings.Repeat("e", 257), noop) }, `too long`, 1},
		{"nil handler", func(r *wsrouter.Router) { r.On("e", nil) }, `nil handler for "e"`, 1},
		{"nil middleware", func(r *wsrouter.Router) { r.On("e", noop, nil) }, `nil middleware`, 1},
		{"nil Use", func(r *wsrouter.Router) { r.Use(nil) }, `nil middleware`, 1},
		{"duplicate", func(r *wsrouter.Router) { r.On("e", noop); r.On("e", noop) }, `event "e" of namespace "/"`, 2},
		{"duplicate NotFound", func(r *wsrouter.Router) { r.NotFound(noop); r.NotFound(noop) }, `NotFound`, 2},
		{"duplicate hook", func(r *wsrouter.Router) {
			r.OnConnect(func(*wsrouter.Conn) error { return nil })
			r.OnConnect(func(*wsrouter.Conn) error { return nil })
		}, `OnConnect`, 2},
		{"nil hook", func(r *wsrouter.Router) { r.OnInit(nil) }, `nil OnInit`, 1},
		{"namespace without slash", func(r *wsrouter.Router) { r.Namespace("chat") }, `invalid namespace "chat"`, 0},
		{"namespace of nothing", func(r *wsrouter.Router) { r.Namespace("/") }, `invalid namespace "/"`, 0},
		{"On after serving", func(r *wsrouter.Router) { serve(t, r); r.On("e", noop) }, `after serving began`, 1},
		{"Use after serving", func(r *wsrouter.Router) { serve(t, r); r.Use(pass) }, `after serving began`, 1},
		{"new namespace after serving", func(r *wsrouter.Router) { serve(t, r); r.Namespace("/new") }, `after serving began`, 1},
		{"hook after serving", func(r *wsrouter.Router) {
			serve(t, r)
			r.OnInit(func(*wsrouter.Router) error { return nil })
		}, `after serving began`, 1},
		{"bad origin", func(*wsrouter.Router) { wsrouter.New(&wsrouter.Options{Origins: []string{"["}}) }, `invalid pattern "["`, 0},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			defer func() {
				msg, _ := recover().(string)
				require.Contains(t, msg, test.want)
				require.True(t, strings.HasPrefix(msg, "wsrouter: "))
				require.Equal(t, test.sites, strings.Count(msg, "router_test.go:"), msg)
			}()
			test.register(wsrouter.New(nil))
		})
	}
}

func serve(t *testing.T, r *wsrouter.Router) { wsroutertest.Connect(t, r, nil) }

func TestNamespaceIsNamedTwice(t *testing.T) {
	router := wsrouter.New(nil)
	chat := router.Namespace("/chat")
	serve(t, router)
	require.Same(t, chat, router.Namespace("/chat"), "even while serving")
	require.Equal(t, "/", router.Name())
	require.Equal(t, "/chat", chat.Name())
}

// TestMiddlewareOrder: parents surround children, the first added is outermost, and the
// event's own is innermost; chains are built once.
func TestMiddlewareOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		built := 0
		mark := func(name string) wsrouter.Middleware {
			return func(next wsrouter.HandlerFunc) wsrouter.HandlerFunc {
				built++
				return func(c *wsrouter.Context) error {
					c.Emit("trace", name)
					defer c.Emit("trace", name+" after")
					return next(c)
				}
			}
		}
		router := wsrouter.New(nil)
		child := router.Namespace("/a").Namespace("/b")
		child.On("e", func(c *wsrouter.Context) error { return c.Emit("trace", "handler") }, mark("own 1"), mark("own 2"))
		child.NotFound(noop)
		child.Use(mark("child"))
		router.Use(mark("root 1"), mark("root 2")) // also around what was registered before

		require.Equal(t, "/a/b", child.Name())
		client := wsroutertest.Connect(t, child, nil)
		names := []string{"root 1", "root 2", "child", "own 1", "own 2"}
		for range 2 {
			require.NoError(t, client.Emit("e"))
			for _, name := range names {
				client.Expect("trace", name)
			}
			client.Expect("trace", "handler")
			for i := len(names) - 1; i >= 0; i-- {
				client.Expect("trace", names[i]+" after")
			}
		}
		require.Equal(t, 5+3, built)
	})
}

func TestNotFound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		router := wsrouter.New(nil)
		router.NotFound(func(c *wsrouter.Context) error { return c.Reply("no " + c.Event()) })
		child := router.Namespace("/child")
		client := wsroutertest.Connect(t, router, nil)
		client.Emit("x")
		client.Expect("x", "no x")
		var ws *wsrouter.WsError
		err := wsroutertest.Connect(t, child, nil).Call(t.Context(), "x", nil, nil)
		require.ErrorAs(t, err, &ws, "a child does not inherit it")
		require.Equal(t, wsrouter.CodeNotFound, ws.Code)
	})
}

// TestErrors checks the one function that turns an error into what a client sees.
func TestErrors(t *testing.T) {
	secret := errors.New("secret")
	base := wsrouter.NewError("full").WithCode("E_FULL")
	tests := []struct {
		name string
		err  error
		want wsrouter.WsError
	}{
		{"WsError", base, wsrouter.WsError{Status: "error", Message: "full", Code: "E_FULL"}},
		{"its copy", base.WithData(3.5).WithCause(secret), wsrouter.WsError{Status: "error", Message: "full", Code: "E_FULL", Data: 3.5}},
		{"wrapped", errors.Join(secret, base), wsrouter.WsError{Status: "error", Message: "full", Code: "E_FULL"}},
		{"literal", &wsrouter.WsError{Message: "m"}, wsrouter.WsError{Status: "error", Message: "m"}},
		{"own status", &wsrouter.WsError{Status: "warning", Message: "m"}, wsrouter.WsError{Status: "warning", Message: "m"}},
		{"unknown", secret, wsrouter.WsError{Status: "error", Message: "Internal server error"}},
		{"close error of another connection", &wsrouter.CloseError{Code: 1000}, wsrouter.WsError{Status: "error", Message: "Internal server error"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				router := wsrouter.New(nil)
				router.On("fail", func(*wsrouter.Context) error { return test.err })
				client := wsroutertest.Connect(t, router, nil)
				var got *wsrouter.WsError
				require.ErrorAs(t, client.Call(t.Context(), "fail", nil, nil), &got)
				require.Equal(t, test.want, *got)
				require.NoError(t, client.Emit("fail"))
				require.Equal(t, "exception", client.Next(nil))
			})
		})
	}
	require.ErrorIs(t, base.WithData(1), base)
	require.ErrorIs(t, base, base.WithData(1))
	require.ErrorIs(t, base.WithCause(secret), secret)
	require.NotErrorIs(t, wsrouter.NewError("full"), base)
}

func TestErrorBody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		router := wsrouter.New(&wsrouter.Options{ErrorBody: func(c *wsrouter.Context, err error) any {
			if c.Event() == "panic" {
				panic("in ErrorBody")
			}
			return []string{c.Event(), err.Error()}
		}})
		router.On("fail", func(*wsrouter.Context) error { return errors.New("known here") })
		router.On("panic", func(*wsrouter.Context) error { return errors.New("x") })
		client := wsroutertest.Connect(t, router, nil)
		client.Emit("fail")
		client.Expect("exception", []string{"fail", "known here"})
		client.Emit("panic")
		client.Expect("exception", map[string]string{"status": "error", "message": "Internal server error"})
	})
}
