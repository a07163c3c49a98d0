package suite_test

import (
	"encoding/json"
	"strings"
	"testing"
	"testing/synctest"
	"unicode/utf8"

	"github.com/coder/websocket"
	"github.com/stretchr/testify/require"

	"github.com/wsrouter/wsrouter"
	"github.com/wsrouter/wsrouter/payload"
	"github.com/wsrouter/wsrouter/wsroutertest"
)

// asIs is JSON from its own MarshalJSON.
type asIs string

func (s asIs) MarshalJSON() ([]byte, error) { return []byte(s), nil }

// TestOnlyUTF8IsSent: JSON that is not UTF-8, at any depth, is an error of whatever
// sends it, and so is such a name. Nothing is sent, and the connection stays.
func TestOnlyUTF8IsSent(t *testing.T) {
	const bad = "{\"s\":\"a\xffb\"}"
	values := map[string]any{
		"raw":              json.RawMessage(bad),
		"raw in a struct":  struct{ V any }{json.RawMessage(bad)},
		"raw in a map":     map[string]any{"v": []any{json.RawMessage(bad)}},
		"raw with bytes":   map[string]any{"v": json.RawMessage(bad), "b": []byte{1}},
		"MarshalJSON":      asIs(bad),
		"MarshalJSON deep": []any{map[string]asIs{"v": asIs(bad)}},
		"a Value":          payload.Value{JSON: []byte(bad)},
		"a Value deep":     []any{payload.Value{JSON: []byte(bad)}},
		"Args":             wsrouter.Args{1, json.RawMessage(bad)},
	}
	synctest.Test(t, func(t *testing.T) {
		router := wsrouter.New(nil)
		var value any
		router.On("reply", func(c *wsrouter.Context) error {
			require.Error(t, c.Emit("e", value))
			require.Error(t, c.Reply(value))
			require.Error(t, router.Emit("e", value))
			require.Error(t, c.Conn().SetData(value))
			return c.Reply("alive")
		})
		router.On("failure", func(*wsrouter.Context) error { return wsrouter.NewError("a\xffb").WithData(value) })
		client := wsroutertest.Connect(t, router, nil)
		for name, v := range values {
			value = v
			var got string
			require.NoError(t, client.Call(t.Context(), "reply", nil, &got), name)
			require.Equal(t, "alive", got)
			require.Error(t, client.Call(t.Context(), "reply", v, nil), name)
			require.EqualError(t, client.Call(t.Context(), "failure", nil, nil), "Internal server error", name)
		}
		require.ErrorContains(t, client.Emit("\xff", 1), "not valid UTF-8")
		require.ErrorContains(t, router.Emit("\xff", 1), "not valid UTF-8")
		require.Error(t, client.Call(t.Context(), "\xff", nil, nil))
		require.NoError(t, router.Emit("text", "a\xffb", map[string]string{"\xff": "\xc0"}))
		client.Expect("text", []any{"a\ufffdb", map[string]string{"\ufffd": "\ufffd"}})
		client.ExpectNothing()
	})
	require.Panics(t, func() { wsrouter.New(nil).On("\xff", func(*wsrouter.Context) error { return nil }) })
	require.Panics(t, func() { wsrouter.New(nil).Namespace("/\xff") })
}

// TestReasonsAreUTF8: invalid UTF-8 becomes U+FFFD, and 123 bytes are not exceeded.
func TestReasonsAreUTF8(t *testing.T) {
	for name, end := range map[string]func(c *wsrouter.Conn, reason string) error{
		"close":      func(c *wsrouter.Conn, reason string) error { return c.Close(4001, reason) },
		"disconnect": func(c *wsrouter.Conn, reason string) error { return c.Router().To(c.ID()).Disconnect(4001, reason) },
	} {
		t.Run(name, func(t *testing.T) {
			for reason, want := range map[string]string{
				"a\xffb":                     "a\ufffdb",
				strings.Repeat("\xff€", 100): "",
			} {
				router := wsrouter.New(nil)
				router.On("end", func(c *wsrouter.Context) error { return end(c.Conn(), reason) })
				ws := dial(t, server(t, router))
				write(t, ws, websocket.MessageText, `{"event":"end"}`)
				_, _, err := ws.Read(t.Context())
				var ce websocket.CloseError
				require.ErrorAs(t, err, &ce)
				require.EqualValues(t, 4001, ce.Code)
				require.True(t, utf8.ValidString(ce.Reason))
				require.LessOrEqual(t, len(ce.Reason), 123)
				if want != "" {
					require.Equal(t, want, ce.Reason)
				}
			}
		})
	}
}
