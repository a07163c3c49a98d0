package suite_test

import (
	"encoding/json"
	"errors"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/wsrouter/wsrouter"
	"github.com/wsrouter/wsrouter/wsroutertest"
)

// around is middleware that puts text around every reply.
func around(text string) wsrouter.Middleware {
	return func(next wsrouter.HandlerFunc) wsrouter.HandlerFunc {
		return func(c *wsrouter.Context) error {
			return next(c.WithReply(func(v any) (any, error) {
				if r, ok := v.(wsrouter.Response); ok {
					r.Data = []any{text, r.Data}
					return &r, nil
				}
				return []any{text, v}, nil
			}))
		}
	}
}

// TestWithReply: middleware sees and replaces every reply and item, the outermost last,
// but neither errors nor empty answers.
func TestWithReply(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		router := wsrouter.New(nil)
		router.Use(around("outer"), around("inner"))
		router.On("reply", func(c *wsrouter.Context) error { return c.Reply(1) })
		router.On("response", func(c *wsrouter.Context) error { return c.Reply(&wsrouter.Response{Event: "other", Data: 1}) })
		router.On("args", func(c *wsrouter.Context) error { return c.Reply(wsrouter.Args{1, 2}) })
		router.On("emit", func(c *wsrouter.Context) error { return c.Emit("as it is", 1) })
		router.On("nothing", func(*wsrouter.Context) error { return nil })
		router.On("failure", func(*wsrouter.Context) error { return wsrouter.NewError("no") })
		wsrouter.Handle(router, "typed", func(_ *wsrouter.Context, n int) (int, error) { return n, nil })
		wsrouter.HandleStream(router, "stream", func(_ *wsrouter.Context, n int) (<-chan int, error) {
			ch := make(chan int, 2)
			ch <- n
			ch <- n + 1
			close(ch)
			return ch, nil
		})
		client := wsroutertest.Connect(t, router, nil)
		both := func(v any) any { return []any{"outer", []any{"inner", v}} }
		for _, test := range []struct {
			event string
			want  []any
		}{
			{"reply", []any{"reply", both(1)}},
			{"response", []any{"other", both(1)}},
			{"args", []any{"args", both([]int{1, 2})}},
			{"emit", []any{"as it is", 1}},
			{"nothing", nil},
			{"failure", []any{"exception", map[string]string{"status": "error", "message": "no"}}},
			{"typed", []any{"typed", both(7)}},
			{"stream", []any{"stream", both(7), "stream", both(8)}},
		} {
			require.NoError(t, client.Emit(test.event, 7))
			for i := 0; i < len(test.want); i += 2 {
				client.Expect(test.want[i].(string), test.want[i+1])
			}
			client.ExpectNothing()
		}
		var answer any
		require.NoError(t, client.Call(t.Context(), "nothing", nil, &answer))
		require.Nil(t, answer)
		require.NoError(t, client.Call(t.Context(), "typed", 7, &answer))
		require.Equal(t, []any{"outer", []any{"inner", 7.0}}, answer)
		var items []json.RawMessage
		for item, err := range wsrouter.Pull[json.RawMessage](t.Context(), client, "stream", 7) {
			require.NoError(t, err)
			items = append(items, item)
		}
		require.Len(t, items, 2)
		require.JSONEq(t, `["outer",["inner",8]]`, string(items[1]))
	})
}

// TestWithReplyFails: the error becomes the event's, whatever the handler does with it,
// and nothing of the reply is sent.
func TestWithReplyFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		router := wsrouter.New(nil)
		full := wsrouter.NewError("full")
		router.Use(func(next wsrouter.HandlerFunc) wsrouter.HandlerFunc {
			return func(c *wsrouter.Context) error {
				return next(c.WithReply(func(v any) (any, error) {
					if v == 2 {
						return nil, full
					}
					return v, nil
				}))
			}
		})
		router.On("returned", func(c *wsrouter.Context) error { return c.Reply(2) })
		router.On("ignored", func(c *wsrouter.Context) error { c.Reply(2); return nil })
		router.On("replaced", func(c *wsrouter.Context) error {
			if err := c.Reply(2); !errors.Is(err, full) {
				return err
			}
			return wsrouter.NewError("mine")
		})
		router.On("tried again", func(c *wsrouter.Context) error { c.Reply(2); return c.Reply(1) })
		router.On("stream", func(c *wsrouter.Context) error {
			return wsrouter.StreamSeq(c, func(yield func(int, error) bool) {
				for i := 1; i <= 3 && yield(i, nil); i++ {
				}
			})
		})
		client := wsroutertest.Connect(t, router, nil)
		call := func(event string) error { return client.Call(t.Context(), event, nil, nil) }
		require.EqualError(t, call("returned"), "full")
		require.EqualError(t, call("ignored"), "full")
		require.EqualError(t, call("replaced"), "mine")
		require.NoError(t, call("tried again"))
		var got []int
		for n, err := range wsrouter.Pull[int](t.Context(), client, "stream", nil) {
			if err != nil {
				require.EqualError(t, err, "full")
				break
			}
			got = append(got, n)
		}
		require.Equal(t, []int{1}, got)
	})
	require.Panics(t, func() { new(wsrouter.Context).WithReply(nil) })
}

// TestResponseInsideValue: a Response inside another value is an error wherever
// values are encoded, and the client sees none of it.
func TestResponseInsideValue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		router := wsrouter.New(nil)
		tick := wsrouter.Response{Event: "tick", Data: []byte("1")}
		wrapped := map[string]any{"data": tick}
		naive := func(next wsrouter.HandlerFunc) wsrouter.HandlerFunc {
			return func(c *wsrouter.Context) error {
				return next(c.WithReply(func(v any) (any, error) { return map[string]any{"data": v}, nil }))
			}
		}
		errs := make(chan error, 1)
		on := func(event string, handler wsrouter.HandlerFunc, mws ...wsrouter.Middleware) {
			router.On(event, func(c *wsrouter.Context) error {
				err := handler(c)
				errs <- err
				return err
			}, mws...)
		}
		seq := func(yield func(wsrouter.Response, error) bool) { yield(tick, nil) }
		on("middleware", func(c *wsrouter.Context) error { return c.Reply(tick) }, naive)
		on("pointer", func(c *wsrouter.Context) error { return c.Reply(&tick) }, naive)
		on("stream", func(c *wsrouter.Context) error { return wsrouter.StreamSeq(c, seq) }, naive)
		on("map", func(c *wsrouter.Context) error { return c.Reply(wrapped) })
		on("list", func(c *wsrouter.Context) error { return c.Reply([]*wsrouter.Response{&tick}) })
		on("args", func(c *wsrouter.Context) error { return c.Reply(wsrouter.Args{1, tick}) })
		on("response", func(c *wsrouter.Context) error { return c.Reply(wsrouter.Response{Event: "x", Data: tick}) })
		on("emit", func(c *wsrouter.Context) error { return c.Emit("x", tick) })
		on("room", func(c *wsrouter.Context) error { return router.Emit("x", tick) })
		client := wsroutertest.Connect(t, router, nil)
		for _, event := range []string{"middleware", "pointer", "stream", "map", "list", "args", "response", "emit", "room"} {
			require.NoError(t, client.Emit(event))
			require.ErrorContains(t, <-errs, "a Response cannot be part of a value", event)
			client.Expect("exception", map[string]string{"status": "error", "message": "Internal server error"})
			client.ExpectNothing()
		}
	})
}

// TestTransportOfMemory: Transport names what a connection runs over, on both ends.
func TestTransportOfMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		router := wsrouter.New(nil)
		router.OnConnect(func(c *wsrouter.Conn) error { return c.Emit("over", c.Transport()) })
		client := wsroutertest.Connect(t, router, nil)
		client.Expect("over", "memory")
		require.Equal(t, "memory", client.Conn().Transport())
	})
}

// TestBindData: a received error's data has all its digits, even in a handler that
// sends the error on.
func TestBindData(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const large int64 = 1<<53 + 1
		router := wsrouter.New(nil)
		router.On("fail", func(*wsrouter.Context) error {
			return wsrouter.NewError("no").WithData(map[string]any{"id": large})
		})
		between := wsrouter.New(nil)
		upstream := wsroutertest.Connect(t, router, nil)
		between.On("ask", func(c *wsrouter.Context) error {
			c.Yield()
			return upstream.Call(c.Context(), "fail", nil, nil)
		})
		client := wsroutertest.Connect(t, between, nil)
		for _, err := range []error{upstream.Call(t.Context(), "fail", nil, nil), client.Call(t.Context(), "ask", nil, nil)} {
			var ws *wsrouter.WsError
			require.ErrorAs(t, err, &ws)
			var data struct{ ID int64 }
			require.NoError(t, ws.BindData(&data))
			require.EqualValues(t, large, data.ID)
			require.NoError(t, ws.WithCode("x").BindData(&data))
			var text string
			require.ErrorContains(t, ws.BindData(&text), "data: expected a string, got an object")
			require.NoError(t, ws.WithData("mine").BindData(&text))
			require.Equal(t, "mine", text)
		}
	})
	n := 7
	require.NoError(t, wsrouter.NewError("none").BindData(&n))
	require.Equal(t, 7, n)
	require.ErrorContains(t, wsrouter.NewError("x").WithData(make(chan int)).BindData(&n), "chan")
}
