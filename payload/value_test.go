package payload_test

import (
	"encoding/json"
	"strconv"
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

// What a caller does to its bytes after Encode is not seen by anybody.
func TestEncodeCopiesBytes(t *testing.T) {
	data := []byte("before")
	e, err := payload.Encode(data)
	require.NoError(t, err)
	copy(data, "after!")
	assert.Equal(t, "before", string(e.Attachments[0].Data))
}
