package suite_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wsrouter/wsrouter"
	"github.com/wsrouter/wsrouter/adapter"
	"github.com/wsrouter/wsrouter/payload"
)

// deaf is a transport to nobody.
type deaf struct{}

func (deaf) Write([]adapter.Frame) (pending bool, err error) { return false, nil }
func (deaf) Ping()                                           {}
func (deaf) Resume()                                         {}
func (deaf) Close(adapter.End)                               {}
func (deaf) Abort()                                          {}

// handle passes arguments to a handler like an adapter.
func handle(t *testing.T, args []payload.Value, h func(*wsrouter.Context)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		router := wsrouter.New(nil)
		ran := false
		router.On("event", func(c *wsrouter.Context) error { h(c); ran = true; return nil })
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)
		require.NoError(t, err)
		link, err := router.Adapter().NewLink(deaf{}, adapter.LinkOptions{Request: req})
		require.NoError(t, err)
		conn, err := link.Join(router, testFormat{}, nil)
		require.NoError(t, err)
		m := &adapter.Message{Kind: adapter.KindEvent, Event: "event", Data: payload.Join(args), Arity: adapter.ArityUnknown}
		if len(args) > 1 {
			m.Arity = adapter.ArityMany
		}
		conn.Receive(m)
		synctest.Wait()
		<-link.End(adapter.End{Code: wsrouter.CloseNormal, Cause: adapter.CausePeer})
		require.True(t, ran)
	})
}

// testFormat is a wire format that encodes nothing.
type testFormat struct{}

func (testFormat) Encode(*adapter.Message) (adapter.Frame, error) { return adapter.Frame{}, nil }

// arrived encodes v, and returns what an adapter makes of that.
func arrived(t *testing.T, v any) payload.Value {
	t.Helper()
	e, err := payload.Encode(v)
	require.NoError(t, err)
	return e
}

// picky accepts only one picture, and counts how often it was tried.
type picky struct{ Got string }

// custom keeps what it gets where only custom may change it.
type custom struct {
	Open any
	own  map[string]any
}

func (c *custom) UnmarshalJSON(b []byte) error {
	c.own = map[string]any{}
	return errors.Join(json.Unmarshal(b, &c.Open), json.Unmarshal(b, &c.own))
}

func (p *picky) UnmarshalJSON(b []byte) error {
	if string(b) != `"AQ=="` {
		return errors.New("not my picture")
	}
	p.Got = string(b)
	return nil
}

type (
	Embedded struct{ In any }
	hidden   struct{ Deep any }
	form     struct {
		Any   any `json:"any"`
		Bytes []byte
		Text  string
		List  []any
		Pair  [2]any
		Map   map[string]form
		Next  *form
		Raw   json.RawMessage
		Picky picky
		Own   custom
		Skip  any `json:"-"`
		*Embedded
		hidden
	}
)

// TestAttachmentsInAny: an attachment is a []byte in every any it is bound to, and
// nothing else is, whatever text stands beside it.
func TestAttachmentsInAny(t *testing.T) {
	one, none := []byte{1}, []byte{}
	in := map[string]any{
		"ANY": one, "bytes": one, "text": one, "list": []any{"AQ==", one, none, "", map[string]any{"k": one}},
		"pair": []any{one, "AQ=="}, "map": map[string]any{"x": map[string]any{"any": one, "text": "AQ=="}},
		"next": map[string]any{"any": []any{none}}, "raw": []any{one}, "picky": one, "own": map[string]any{"k": one}, "Skip": one, "in": one, "deep": []any{one},
	}
	for range 20 { // map order
		handle(t, []payload.Value{arrived(t, in)}, func(c *wsrouter.Context) {
			v := form{Embedded: &Embedded{}}
			require.NoError(t, c.Bind(&v))
			assert.Equal(t, form{
				Any: one, Bytes: one, Text: "AQ==", List: []any{"AQ==", one, none, "", map[string]any{"k": one}},
				Pair: [2]any{one, "AQ=="}, Map: map[string]form{"x": {Any: one, Text: "AQ=="}},
				Next: &form{Any: []any{none}}, Raw: json.RawMessage(`["AQ=="]`), Picky: picky{`"AQ=="`},
				Own:      custom{map[string]any{"k": "AQ=="}, map[string]any{"k": "AQ=="}},
				Embedded: &Embedded{one}, hidden: hidden{[]any{one}},
			}, v)
			var x any
			require.NoError(t, c.Bind(&x))
			assert.Equal(t, in, x)
		})
	}
}

// TestAttachmentsOfDuplicateKeys: the last one counts, bytes or text.
func TestAttachmentsOfDuplicateKeys(t *testing.T) {
	for _, test := range []struct {
		json string
		at   int
		want any
	}{
		{`{"a":,"a":"AQ=="}`, 5, "AQ=="},
		{`{"a":"AQ==","a":}`, 16, []byte{1}},
	} {
		arg := payload.Value{JSON: []byte(test.json), Attachments: []payload.Attachment{{At: test.at, Data: []byte{1}}}}
		handle(t, []payload.Value{arg}, func(c *wsrouter.Context) {
			var v map[string]any
			require.NoError(t, c.Bind(&v))
			assert.Equal(t, map[string]any{"a": test.want}, v)
		})
	}
}

// TestAttachmentsOfParts: Field, Args and Raw, of one argument and of several.
func TestAttachmentsOfParts(t *testing.T) {
	one := []byte{1}
	handle(t, []payload.Value{arrived(t, map[string]any{"a": map[string]any{"b": one}, "c": "AQ=="})}, func(c *wsrouter.Context) {
		var b, a, text any
		require.NoError(t, c.Field("a.b", &b))
		require.NoError(t, c.Field("a", &a))
		require.NoError(t, c.Field("c", &text))
		assert.Equal(t, []any{one, map[string]any{"b": one}, "AQ=="}, []any{b, a, text})
		var n int
		require.EqualError(t, c.Field("a.b", &n), "a.b: expected an integer, got bytes")
		assert.Equal(t, `{"a":{"b":"AQ=="},"c":"AQ=="}`, string(c.Raw()))
	})
	for _, args := range [][]payload.Value{
		{arrived(t, []any{one, "AQ==", []any{one}})},
		{arrived(t, one), {JSON: []byte(`"AQ=="`)}, arrived(t, []any{one})},
	} {
		handle(t, args, func(c *wsrouter.Context) {
			var a, text any
			var list []any
			require.NoError(t, c.Args(&a, &text, &list))
			assert.Equal(t, []any{one, "AQ==", []any{one}}, []any{a, text, list})
			var all any
			require.NoError(t, c.Bind(&all))
			assert.Equal(t, []any{one, "AQ==", []any{one}}, all)
			assert.Equal(t, `["AQ==","AQ==",["AQ=="]]`, string(c.Raw()))
		})
	}
}

// TestAttachmentsBoundTwice: changing what was bound once does not change what was
// bound again.
func TestAttachmentsBoundTwice(t *testing.T) {
	handle(t, []payload.Value{arrived(t, []byte("a"))}, func(c *wsrouter.Context) {
		var first, second any
		require.NoError(t, c.Bind(&first))
		first.([]byte)[0] = 'b'
		require.NoError(t, c.Bind(&second))
		assert.Equal(t, []byte("a"), second)
	})
}

// TestValueKeepsBytes: a Value that is bound, whole or as a part, has the bytes that
// came with it, and is sent on unchanged.
func TestValueKeepsBytes(t *testing.T) {
	in := arrived(t, map[string]any{"room": "r", "data": map[string]any{"text": `"AQ=="`, "file": []byte{1}}, "list": []any{[]byte{2}}})
	handle(t, []payload.Value{in}, func(c *wsrouter.Context) {
		assert.Equal(t, in, c.Value())
		var whole, field payload.Value
		require.NoError(t, c.Bind(&whole))
		assert.Equal(t, in, whole)
		require.NoError(t, c.Field("data", &field))
		assert.Equal(t, []byte{1}, field.Attachments[0].Data)
		var parts struct {
			Room string
			Data payload.Value
			List []payload.Value
			None payload.Value
		}
		require.NoError(t, c.Bind(&parts))
		assert.Equal(t, field, parts.Data)
		assert.Equal(t, []payload.Value{arrived(t, []byte{2})}, parts.List)
		assert.True(t, parts.None.IsZero())
		var args struct{ Data map[string]payload.Value }
		require.NoError(t, c.Bind(&args))
		assert.Equal(t, arrived(t, []byte{1}), args.Data["file"])
		assert.Equal(t, `"\"AQ==\""`, string(args.Data["text"].JSON))
	})
}
