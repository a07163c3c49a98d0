package suite_test

import (
	"context"
	"encoding/json"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wsrouter/wsrouter"
	"github.com/wsrouter/wsrouter/internal/rawtest"
	"github.com/wsrouter/wsrouter/payload"
	"github.com/wsrouter/wsrouter/wsroutertest"
)

// inHandler runs fn as the handler of one event with that data.
func inHandler(t *testing.T, opts *wsrouter.Options, frame string, fn func(c *wsrouter.Context)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		router := wsrouter.New(opts)
		ran := false
		router.On("event", func(c *wsrouter.Context) error {
			fn(c)
			ran = true
			return nil
		})
		raw := rawtest.Connect(router, nil, nil)
		raw.Send(frame)
		synctest.Wait()
		raw.Abort()
		raw.Wait()
		require.True(t, ran)
	})
}

type order struct {
	ID    int
	Item  string `json:"item"`
	Count uint8
	Due   time.Time
	Tags  []string
	Lines []struct{ Price float64 }
	Meta  map[string]bool
	Ptr   *int
	Blob  []byte
}

// TestBindErrors: if a body has the wrong shape the error names the field and what was
// expected, and never uses Go's terms.
func TestBindErrors(t *testing.T) {
	tests := []struct{ data, want string }{
		{`{"ID":"x"}`, `ID: expected an integer, got a string`},
		{`{"id":1.5}`, `id: expected an integer, got 1.5`},
		{`{"item":7}`, `item: expected a string, got a number`},
		{`{"Count":300}`, `Count: expected an integer from 0 to 255, got 300`},
		{`{"Due":"tomorrow"}`, `Due: expected a valid time, got a string`},
		{`{"Tags":["a",1]}`, `Tags[1]: expected a string, got a number`},
		{`{"Tags":{}}`, `Tags: expected an array, got an object`},
		{`{"Lines":[{"Price":1},{"Price":true}]}`, `Lines[1].Price: expected a number, got a boolean`},
		{`{"Meta":{"x":1}}`, `Meta.x: expected a boolean, got a number`},
		{`{"Ptr":[]}`, `Ptr: expected an integer, got an array`},
		{`{"Blob":"%"}`, `Blob: expected a base64 string, got a string`},
		{`[]`, `data: expected an object, got an array`},
		{`"x"`, `data: expected an object, got a string`},
	}
	for _, test := range tests {
		inHandler(t, nil, `{"event":"event","data":`+test.data+`}`, func(c *wsrouter.Context) {
			err := c.Bind(&order{})
			var ws *wsrouter.WsError
			require.ErrorAs(t, err, &ws, test.data)
			require.Equal(t, test.want, ws.Message)
			require.Equal(t, wsrouter.CodeInvalid, ws.Code)
		})
	}
}

func TestBindMisuseIsHidden(t *testing.T) {
	inHandler(t, nil, `{"event":"event","data":1}`, func(c *wsrouter.Context) {
		var ws *wsrouter.WsError
		require.False(t, errors.As(c.Bind(order{}), &ws), "the client is not told of a bug here")
		require.Error(t, c.Bind(nil))
	})
}

func TestBindNothing(t *testing.T) {
	for _, frame := range []string{`{"event":"event"}`, `{"event":"event","data":null}`} {
		inHandler(t, nil, frame, func(c *wsrouter.Context) {
			text := "before"
			require.NoError(t, c.Bind(&text))
			require.Equal(t, "before", text)
			require.Equal(t, frame == `{"event":"event"}`, c.Raw() == nil)
		})
	}
}

func TestField(t *testing.T) {
	const frame = `{"event":"event","data":{"id":42,"ID":1,"user":{"id":"u","none":null,"tags":[1]},"a.b":3}}`
	tests := []struct {
		path string
		into any
		want string // the JSON bound, or the error
	}{
		{"id", new(int), `42`},
		{"ID", new(int), `1`},
		{"user.id", new(string), `"u"`},
		{"user.none", new(string), `""`},
		{"user", new(map[string]any), `{"id":"u","none":null,"tags":[1]}`},
		{"Id", new(int), `Id: expected an integer, got nothing`},
		{"user.name", new(string), `user.name: expected a string, got nothing`},
		{"user.id", new(int), `user.id: expected an integer, got a string`},
		{"user.tags", new([]string), `user.tags[0]: expected a string, got a number`},
		{"user.id.x", new(int), `user.id: expected an object, got a string`},
		{"gone.x", new(int), `gone: expected an object, got nothing`},
	}
	for _, test := range tests {
		inHandler(t, nil, frame, func(c *wsrouter.Context) {
			if err := c.Field(test.path, test.into); err != nil {
				require.EqualError(t, err, test.want)
				return
			}
			got, err := json.Marshal(test.into)
			require.NoError(t, err)
			require.JSONEq(t, test.want, string(got), test.path)
		})
	}
	for frame, want := range map[string]string{
		`{"event":"event","data":"abc"}`: `data: expected an object, got a string`,
		`{"event":"event"}`:              `data: expected an object, got nothing`,
	} {
		inHandler(t, nil, frame, func(c *wsrouter.Context) { require.EqualError(t, c.Field("id", new(int)), want) })
	}
}

func TestArgs(t *testing.T) {
	inHandler(t, nil, `{"event":"event","data":[1,"b",true]}`, func(c *wsrouter.Context) {
		var n int
		var s, more string
		require.NoError(t, c.Args(&n, &s))
		require.Equal(t, 1, n)
		require.Equal(t, "b", s)
		require.ErrorContains(t, c.Args(&n, &n), "expected an integer, got a string")
		var all []any
		require.NoError(t, c.Args(&all))
		require.Len(t, all, 3)
		require.Empty(t, more)
	})
	inHandler(t, nil, `{"event":"event","data":1}`, func(c *wsrouter.Context) {
		var n int
		require.NoError(t, c.Args(&n))
		require.Equal(t, 1, n)
		require.Error(t, c.Args(&n, &n))
	})
	inHandler(t, nil, `{"event":"event"}`, func(c *wsrouter.Context) {
		n := 5
		require.NoError(t, c.Args(&n, &n))
		require.Equal(t, 5, n)
	})
}

func TestValidate(t *testing.T) {
	opts := &wsrouter.Options{Validate: func(v any) error {
		if n, ok := v.(*int); ok && *n < 0 {
			return wsrouter.NewError("must not be negative")
		}
		return nil
	}}
	inHandler(t, opts, `{"event":"event","data":-1}`, func(c *wsrouter.Context) {
		require.EqualError(t, c.Bind(new(int)), "must not be negative")
	})
	inHandler(t, opts, `{"event":"event","data":{"n":-1}}`, func(c *wsrouter.Context) {
		require.EqualError(t, c.Field("n", new(int)), "must not be negative")
	})
	inHandler(t, opts, `{"event":"event","data":[1,-1]}`, func(c *wsrouter.Context) {
		require.EqualError(t, c.Args(new(int), new(int)), "must not be negative")
	})
	synctest.Test(t, func(t *testing.T) {
		router := wsrouter.New(opts)
		router.OnConnect(func(c *wsrouter.Conn) error { return c.Auth(new(int)) })
		client := wsroutertest.Connect(t, router, &wsrouter.DialOptions{
			Auth: func(context.Context) (any, error) { return -1, nil },
		})
		require.Equal(t, "must not be negative", client.ExpectClose(wsrouter.ClosePolicy).Reason)
	})
}

// TestReplyOnce checks the outcomes of a handler that replies.
func TestReplyOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		router := wsrouter.New(nil)
		router.On("twice", func(c *wsrouter.Context) error {
			require.NoError(t, c.Reply(1))
			require.ErrorIs(t, c.Reply(2), wsrouter.ErrReplied)
			require.ErrorIs(t, c.WithContext(context.Background()).Reply(3), wsrouter.ErrReplied)
			ch := make(chan int)
			close(ch)
			require.ErrorIs(t, wsrouter.Stream(c, ch), wsrouter.ErrReplied)
			return nil
		})
		router.On("replied, then failed", func(c *wsrouter.Context) error {
			require.NoError(t, c.Reply(1))
			return errors.New("only logged")
		})
		router.On("streamed, then replied", func(c *wsrouter.Context) error {
			ch := make(chan int)
			close(ch)
			require.NoError(t, wsrouter.Stream(c, ch))
			require.ErrorIs(t, c.Reply(1), wsrouter.ErrReplied)
			return nil
		})
		client := wsroutertest.Connect(t, router, nil)
		for _, name := range []string{"twice", "replied, then failed"} {
			require.NoError(t, client.Emit(name))
			client.Expect(name, 1)
			var out int
			require.NoError(t, client.Call(t.Context(), name, nil, &out))
			require.Equal(t, 1, out)
		}
		require.NoError(t, client.Call(t.Context(), "streamed, then replied", nil, nil))
		client.ExpectNothing()
		require.EqualValues(t, 2, router.Stats().Errors)
	})
}

// TestReplyAfterReturn: a Context that was kept can no longer reply.
func TestReplyAfterReturn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		router := wsrouter.New(nil)
		var kept *wsrouter.Context
		router.On("keep", func(c *wsrouter.Context) error { kept = c; return nil })
		client := wsroutertest.Connect(t, router, nil)
		require.NoError(t, client.Call(t.Context(), "keep", nil, nil))
		synctest.Wait()
		require.ErrorIs(t, kept.Reply(1), wsrouter.ErrReplied)
		require.ErrorIs(t, kept.Context().Err(), context.Canceled)
		require.NoError(t, kept.Emit("later", 1), "the connection still lives")
		client.Expect("later", 1)
	})
}

type ctxKey struct{}

// TestWithContext: middleware can pass values and deadlines to a handler, whose reply
// is still the event's.
func TestWithContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		router := wsrouter.New(nil)
		router.Use(func(next wsrouter.HandlerFunc) wsrouter.HandlerFunc {
			return func(c *wsrouter.Context) error {
				ctx, cancel := context.WithTimeout(context.WithValue(c.Context(), ctxKey{}, "v"), time.Second)
				defer cancel()
				return next(c.WithContext(ctx))
			}
		})
		router.On("value", func(c *wsrouter.Context) error { return c.Reply(c.Context().Value(ctxKey{})) })
		router.On("slow", func(c *wsrouter.Context) error { <-c.Context().Done(); return c.Context().Err() })
		client := wsroutertest.Connect(t, router, nil)
		var out string
		require.NoError(t, client.Call(t.Context(), "value", nil, &out))
		require.Equal(t, "v", out)
		require.EqualError(t, client.Call(t.Context(), "slow", nil, nil), "Internal server error")
		require.Panics(t, func() {
			c, _ := wsroutertest.NewContext(t, "x", nil)
			var none context.Context
			c.WithContext(none)
		})
	})
}

func TestHandlerTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		router := wsrouter.New(&wsrouter.Options{HandlerTimeout: time.Minute})
		router.On("slow", func(c *wsrouter.Context) error { <-c.Context().Done(); return c.Context().Err() })
		client := wsroutertest.Connect(t, router, nil)
		begin := time.Now()
		err := client.Call(t.Context(), "slow", nil, nil)
		var ws *wsrouter.WsError
		require.ErrorAs(t, err, &ws)
		require.Equal(t, wsrouter.CodeTimeout, ws.Code)
		require.Equal(t, time.Minute, time.Since(begin))
	})
}

// TestMaxOpen: the number of handlers that have yielded is limited.
func TestMaxOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		router := wsrouter.New(&wsrouter.Options{MaxOpen: 3})
		release := make(chan struct{})
		router.On("hold", func(c *wsrouter.Context) error { <-release; return nil }, wsrouter.Concurrent)
		client := wsroutertest.Connect(t, router, nil)
		for range 3 {
			require.NoError(t, client.Emit("hold"))
		}
		err := client.Call(t.Context(), "hold", nil, nil)
		var ws *wsrouter.WsError
		require.ErrorAs(t, err, &ws)
		require.Equal(t, wsrouter.CodeTooMany, ws.Code)
		close(release)
		synctest.Wait()
		require.NoError(t, client.Call(t.Context(), "hold", nil, nil))
	})
}

func TestAnEncodedArgumentIsSentAsBase64OnThePlainWire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		router := wsrouter.New(nil)
		client := wsroutertest.Connect(t, router, nil)
		e, err := payload.Encode([]any{[]byte("ab"), 1})
		require.NoError(t, err)
		require.NoError(t, router.Emit("bytes", e))
		client.Expect("bytes", []any{"YWI=", 1})
		require.NoError(t, router.Emit("none", payload.Value{}, 1))
		client.Expect("none", []any{nil, 1})
	})
}
