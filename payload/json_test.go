package payload_test

import (
	"bytes"
	"encoding/json"
	"math"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
	"github.com/wsrouter/wsrouter/payload"
)

// byEncoder is v as encoding/json writes it.
func byEncoder(v any) ([]byte, error) {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	err := enc.Encode(v)
	return bytes.TrimSuffix(buf.Bytes(), []byte("\n")), err
}

// FuzzAppendJSON holds that the short ways give what encoding/json gives, and
// that Bind gets back what was put in.
func FuzzAppendJSON(f *testing.F) {
	for _, seed := range []string{"", "hi", "数据不能为空！", "<b>&", "a\"b\\c\n\x00\x7f", "\xff\xc0", "\u2028\u2029", "😀", "\xed\xa0\x80", "\"\xf7\""} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		for _, v := range []any{s, []byte(s), map[string]any{s: s}, len(s), -int64(len(s)), s == ""} {
			want, err := byEncoder(v)
			require.NoError(t, err)
			got, err := payload.AppendJSON([]byte("x"), v)
			require.NoError(t, err)
			require.Equal(t, "x"+string(want), string(got))
		}
		got, err := payload.AppendJSON(nil, json.RawMessage(s))
		if s == "" || !json.Valid([]byte(s)) || !utf8.ValidString(s) {
			require.Error(t, err)
			return
		}
		require.NoError(t, err)
		require.Equal(t, s, string(got))
	})
}

func TestAppendJSON(t *testing.T) {
	type named string
	for _, v := range []any{
		nil, true, 0, int64(math.MinInt64), int64(math.MaxInt64), uint8(7), 1.5, named("<n>"), []byte(nil), []byte{}, json.RawMessage(nil),
		[]string{"<"}, struct{ A any }{json.RawMessage(`{"b": 1}`)}, json.Number("1e3"),
	} {
		want, err := byEncoder(v)
		require.NoError(t, err)
		got, err := payload.AppendJSON(nil, v)
		require.NoError(t, err)
		require.Equal(t, string(want), string(got), "%T", v)
	}
	for _, v := range []any{make(chan int), math.NaN(), func() {}, json.RawMessage("{")} {
		_, err := payload.AppendJSON(nil, v)
		require.Error(t, err, "%T", v)
		got, err := payload.AppendJSON(nil, []int{1}) // encoders are reused
		require.NoError(t, err)
		require.Equal(t, "[1]", string(got))
	}
}
