package suite_test

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/wsrouter/wsrouter"
	"github.com/wsrouter/wsrouter/internal/rawtest"
	"github.com/wsrouter/wsrouter/wsroutertest"
)

const traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

// saysMeta registers "meta", which answers with the value of the key that it is
// sent.
func saysMeta(router *wsrouter.Router) {
	wsrouter.Handle(router, "meta", func(c *wsrouter.Context, key string) (string, error) { return c.Meta(key), nil })
}

// TestMetaGoesBothWays: calls, pulls and emits carry the meta of their context, in
// both directions.
func TestMetaGoesBothWays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		router, dialed := wsrouter.New(nil), wsrouter.New(nil)
		saysMeta(router)
		saysMeta(dialed)
		client := wsroutertest.Connect(t, router, &wsrouter.DialOptions{Router: dialed})
		conn := onlyConn(t, router)
		ctx := wsrouter.WithMeta(t.Context(), "traceparent", traceparent)
		for _, side := range []wsrouter.Caller{client, conn} {
			got, err := wsrouter.Call[string](ctx, side, "meta", "traceparent")
			require.NoError(t, err)
			require.Equal(t, traceparent, got)
			for got, err := range wsrouter.Pull[string](ctx, side, "meta", "traceparent") {
				require.NoError(t, err)
				require.Equal(t, traceparent, got)
			}
			got, err = wsrouter.Call[string](t.Context(), side, "meta", "traceparent")
			require.NoError(t, err)
			require.Empty(t, got)
		}
		answers, err := router.All().Call(ctx, "meta", "traceparent")
		require.NoError(t, err)
		require.Len(t, answers, 1)
		require.JSONEq(t, `"`+traceparent+`"`, string(answers[0].Raw))
	})
}

func onlyConn(t *testing.T, router *wsrouter.Router) (conn *wsrouter.Conn) {
	t.Helper()
	for conn = range router.Conns() {
	}
	require.NotNil(t, conn)
	return conn
}

// TestMetaOfEmits: EmitContext carries the context's meta, Emit none, on both
// sides.
func TestMetaOfEmits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		router, dialed := wsrouter.New(nil), wsrouter.New(nil)
		var got []string
		notes := func(c *wsrouter.Context) error { got = append(got, c.Meta("a")); return nil }
		router.On("note", notes)
		dialed.On("note", notes)
		client := wsroutertest.Connect(t, router, &wsrouter.DialOptions{Router: dialed})
		ctx := wsrouter.WithMeta(t.Context(), "a", "1")
		conn := onlyConn(t, router)
		for _, emit := range []func() error{
			func() error { return client.EmitContext(ctx, "note") },
			func() error { return client.Emit("note") },
			func() error { return conn.EmitContext(ctx, "note") },
			func() error { return conn.Emit("note") },
			func() error { return router.Emit("note") },
		} {
			require.NoError(t, emit())
			synctest.Wait()
		}
		require.Equal(t, []string{"1", "", "1", "", ""}, got)
	})
}

// TestMetaIsCarriedOn: calls with a handler's context carry the meta of its event,
// with what was changed in it.
func TestMetaIsCarriedOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		far := wsrouter.New(nil)
		far.On("far", func(c *wsrouter.Context) error {
			return c.Reply(wsrouter.Args{c.Meta("traceparent"), c.Meta("baggage"), c.Meta("tenant")})
		})
		service := wsroutertest.Connect(t, far, nil)
		near := wsrouter.New(nil)
		near.On("near", func(c *wsrouter.Context) error {
			ctx := wsrouter.WithMeta(wsrouter.WithMeta(c.Context(), "baggage", ""), "traceparent", "changed")
			require.Equal(t, "b", c.Meta("baggage"), "Meta is what the event carried")
			passed, err := wsrouter.Call[[]string](c.Context(), service, "far", nil)
			require.NoError(t, err)
			changed, err := wsrouter.Call[[]string](ctx, service, "far", nil)
			require.NoError(t, err)
			withContext, err := wsrouter.Call[[]string](c.WithContext(ctx).Context(), service, "far", nil)
			require.NoError(t, err)
			require.Equal(t, changed, withContext)
			return c.Reply([][]string{passed, changed})
		})
		ctx := wsrouter.WithMeta(wsrouter.WithMeta(wsrouter.WithMeta(t.Context(),
			"traceparent", traceparent), "baggage", "b"), "tenant", "t")
		client := wsroutertest.Connect(t, near, nil)
		got, err := wsrouter.Call[[][]string](ctx, client, "near", nil)
		require.NoError(t, err)
		require.Equal(t, [][]string{{traceparent, "b", "t"}, {"changed", "", "t"}}, got)
	})
}

// TestMetaOfAnswers: a reply carries only the meta in its Response, and an Answer
// shows it; meta that is too large is the handler's mistake.
func TestMetaOfAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		router := wsrouter.New(&wsrouter.Options{Logger: slog.New(slog.DiscardHandler)})
		router.On("say", func(c *wsrouter.Context) error {
			return c.Reply(wsrouter.Response{Event: "say", Data: 1, Meta: map[string]string{"served": "here"}})
		})
		router.On("too much", func(c *wsrouter.Context) error {
			return c.Reply(wsrouter.Response{Event: "say", Meta: map[string]string{"k": strings.Repeat("x", 1024-7)}})
		})
		client := wsroutertest.Connect(t, router, nil)
		ctx := wsrouter.WithMeta(t.Context(), "a", "1")
		answer, err := wsrouter.Call[wsrouter.Answer](ctx, client, "say", nil)
		require.NoError(t, err)
		require.Equal(t, []string{"here", ""}, []string{answer.Meta("served"), answer.Meta("a")})
		var n int
		require.NoError(t, answer.Bind(&n))
		require.Equal(t, 1, n)
		require.Equal(t, client.Conn().ID(), answer.ID)
		require.EqualError(t, client.Call(ctx, "too much", nil, nil), "Internal server error")
		require.Empty(t, wsrouter.Answer{}.Meta("a"))
	})
}

// TestMetaIsBounded: a context has at most 1,024 bytes of meta, and what does not
// fit is left out, wherever the rest came from.
func TestMetaIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		router := wsrouter.New(nil)
		saysMeta(router)
		client := wsroutertest.Connect(t, router, nil)
		ctx := wsrouter.WithMeta(t.Context(), "not UTF-8", "\xff")
		for i := range 1000 {
			ctx = wsrouter.WithMeta(ctx, fmt.Sprint("key", i), strings.Repeat("v", i))
		}
		for key, want := range map[string]string{"key1": "v", "key20": strings.Repeat("v", 20), "key999": "", "not UTF-8": "\ufffd"} {
			got, err := wsrouter.Call[string](ctx, client, "meta", key)
			require.NoError(t, err)
			require.Equal(t, want, got, key)
		}
	})
}

// TestMetaIsNotLogged: neither valid nor invalid meta gets into a log.
func TestMetaIsNotLogged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var lines bytes.Buffer
		logger := slog.New(slog.NewTextHandler(&lines, &slog.HandlerOptions{Level: slog.LevelDebug}))
		router := wsrouter.New(&wsrouter.Options{Logger: logger})
		router.On("fail", func(*wsrouter.Context) error { return errors.New("boom") })
		router.On("panic", func(*wsrouter.Context) error { panic("ouch") })
		raw := rawtest.Connect(router, nil, nil)
		for _, event := range []string{"fail", "panic", "nobody"} {
			for _, meta := range []string{`{"baggage":"SECRET"}`, `{"baggage":["SECRET"]}`, `"SECRET"`} {
				require.True(t, raw.Send(`{"event":"`+event+`","id":"`+event+`","meta":`+meta+`}`))
				frame, ce := raw.Read()
				require.Nil(t, ce)
				require.NotContains(t, frame, "SECRET")
			}
		}
		raw.Close(wsrouter.CloseNormal, "")
		raw.Wait()
		require.Contains(t, lines.String(), "boom")
		require.Contains(t, lines.String(), "ouch")
		require.NotContains(t, lines.String(), "SECRET")
	})
}

// TestMetaOutlivesTheNetwork: what was sent while the other side was away arrives
// with its meta, and so does what is sent again.
func TestMetaOutlivesTheNetwork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		router := newResuming(wsrouter.Options{})
		var got []string
		router.On("note", func(c *wsrouter.Context) error { got = append(got, c.Meta("a")); return nil })
		dialed := wsrouter.New(&wsrouter.Options{Logger: slog.New(slog.DiscardHandler)})
		saysMeta(dialed)
		client, err := router.Connect(t.Context(), resumes(wsrouter.DialOptions{Router: dialed}))
		require.NoError(t, err)
		defer client.Close()
		synctest.Wait()
		conn := onlyConn(t, router.Router)
		client.Abort()
		synctest.Wait()
		require.True(t, conn.Away())
		ctx := wsrouter.WithMeta(t.Context(), "a", "1")
		require.NoError(t, client.EmitContext(ctx, "note"))
		answer, err := wsrouter.Call[string](ctx, conn, "meta", "a")
		require.NoError(t, err)
		require.Equal(t, "1", answer)
		require.True(t, conn.Recovered())
		synctest.Wait()
		require.Equal(t, []string{"1"}, got)
	})
}

// TestMetaOfTheHandshake: headers are not meta, but every handler can read them.
func TestMetaOfTheHandshake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		router := wsrouter.New(nil)
		router.On("trace", func(c *wsrouter.Context) error {
			return c.Reply(wsrouter.Args{c.Meta("traceparent"), c.Request().Header.Get("Traceparent")})
		})
		client := wsroutertest.Connect(t, router, &wsrouter.DialOptions{Header: http.Header{"Traceparent": {traceparent}}})
		got, err := wsrouter.Call[[]string](t.Context(), client, "trace", nil)
		require.NoError(t, err)
		require.Equal(t, []string{"", traceparent}, got)
	})
}

// TestMetaIsCounted: meta counts towards what its message holds, until the handler
// has returned.
func TestMetaIsCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		router := wsrouter.New(nil)
		release := make(chan struct{})
		router.On("block", func(c *wsrouter.Context) error { <-release; return nil })
		raw := rawtest.Connect(router, nil, nil)
		held := func(frame string) int {
			before := router.Stats().Inbox
			require.True(t, raw.Send(frame))
			synctest.Wait()
			now := router.Stats().Inbox
			release <- struct{}{}
			synctest.Wait()
			require.Equal(t, before, router.Stats().Inbox)
			return now - before
		}
		without := held(`{"event":"block"}`)
		meta := `,"meta":{"k":"` + strings.Repeat("x", 1000) + `"}`
		require.Equal(t, without+len(meta), held(`{"event":"block"`+meta+`}`))
		raw.Abort()
		raw.Wait()
	})
}
