package payload_test

import (
	"encoding/json"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/wsrouter/wsrouter/payload"
)

// placeholders shows where the gaps are.
func placeholders(e payload.Value) string {
	return string(e.Append(nil, func(b []byte, i int) []byte { return strconv.AppendInt(append(b, '#'), int64(i), 10) }))
}

func TestEncodeLeavesAGapForEachByteSlice(t *testing.T) {
	type file struct {
		Name string `json:"name"`
		Body []byte `json:"body"`
	}
	for _, test := range []struct {
		name string
		in   any
		want string
		data []string
	}{
		{"none", map[string]int{"n": 1}, `{"n":1}`, nil},
		{"itself", []byte("a"), `#0`, []string{"a"}},
		{"in a struct", file{"f", []byte("b")}, `{"name":"f","body":#0}`, []string{"b"}},
		{"in an any", []any{"AQ==", []byte{1}, []byte{}}, `["AQ==",#0,#1]`, []string{"\x01", ""}},
		{"in a map", map[string]any{"z": []byte("z"), "a": []byte("a")}, `{"a":#0,"z":#1}`, []string{"a", "z"}},
		{"nil bytes", file{Name: "f"}, `{"name":"f","body":null}`, nil},
		{"raw JSON", json.RawMessage(`{"a": 1}`), `{"a": 1}`, nil},
		{"no HTML", "<&>", `"<&>"`, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			e, err := payload.Encode(test.in)
			require.NoError(t, err)
			assert.Equal(t, test.want, placeholders(e))
			var data []string
			for _, a := range e.Attachments {
				data = append(data, string(a.Data))
			}
			assert.Equal(t, test.data, data)
			again, err := payload.Encode(e)
			require.NoError(t, err)
			assert.Equal(t, e, again)
		})
	}
	_, err := payload.Encode(make(chan int))
	assert.Error(t, err)
}

// What a caller does to its bytes after Encode has no effect.
func TestEncodeCopiesBytes(t *testing.T) {
	data := []byte("before")
	e, err := payload.Encode(data)
	require.NoError(t, err)
	copy(data, "after!")
	assert.Equal(t, "before", string(e.Attachments[0].Data))
}

// TestValueInsideOthers checks that a Value inside another value keeps its bytes,
// and its numbers their digits.
func TestValueInsideOthers(t *testing.T) {
	type said struct {
		From string         `json:"from"`
		Data payload.Value  `json:"data"`
		More *payload.Value `json:"more"`
	}
	inner, err := payload.Encode(map[string]any{"a": []byte("one"), "b": []any{[]byte("two")}, "n": json.Number("9007199254740993")})
	require.NoError(t, err)
	const text = `{"a":#0,"b":[#1],"n":9007199254740993}`
	for name, outer := range map[string]any{
		"a struct": said{"ada", inner, nil},
		"a map":    map[string]any{"data": inner, "from": "ada", "more": (*payload.Value)(nil)},
	} {
		e, err := payload.Encode(outer)
		require.NoError(t, err, name)
		require.JSONEq(t, strings.NewReplacer("#0", "0", "#1", "1").Replace(`{"from":"ada","data":`+text+`,"more":null}`), placeholdersAsJSON(e), name)
		require.Len(t, e.Attachments, 2, name)
		require.Equal(t, "two", string(e.Attachments[1].Data), name)
	}
	e, err := payload.Encode([]any{[]byte("zero"), said{Data: payload.Value{}, More: &inner}})
	require.NoError(t, err)
	require.Equal(t, `[#0,{"from":"","data":null,"more":{"a":#1,"b":[#2],"n":9007199254740993}}]`, placeholders(e))

	b, err := json.Marshal(inner)
	require.NoError(t, err)
	require.JSONEq(t, `{"a":"b25l","b":["dHdv"],"n":9007199254740993}`, string(b))
	require.Len(t, inner.Attachments, 2, "a Value is never written to")
}

func placeholdersAsJSON(e payload.Value) string {
	return string(e.Append(nil, func(b []byte, i int) []byte { return strconv.AppendInt(b, int64(i), 10) }))
}
