package wsrouter_test

import (
	"bytes"
	"encoding/json"
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wsrouter/wsrouter"
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
	for _, seed := range []string{"", "hi", "数据不能为空！", "<b>&", "a\"b\\c\n\x00\x7f", "\xff\xc0", "\u2028\u2029", "😀", "\xed\xa0\x80"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		for _, v := range []any{s, []byte(s), map[string]any{s: s}, len(s), -int64(len(s)), s == ""} {
			want, err := byEncoder(v)
			require.NoError(t, err)
			got, err := wsrouter.AppendJSON([]byte("x"), v)
			require.NoError(t, err)
			require.Equal(t, "x"+string(want), string(got))
		}
		got, err := wsrouter.AppendJSON(nil, json.RawMessage(s))
		if s == "" || !json.Valid([]byte(s)) {
			require.Error(t, err)
			return
		}
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
		got, err := wsrouter.AppendJSON(nil, v)
		require.NoError(t, err)
		require.Equal(t, string(want), string(got), "%T", v)
	}
	for _, v := range []any{make(chan int), math.NaN(), func() {}, json.RawMessage("{")} {
		_, err := wsrouter.AppendJSON(nil, v)
		require.Error(t, err, "%T", v)
		got, err := wsrouter.AppendJSON(nil, []int{1}) // encoders are used again
		require.NoError(t, err)
		require.Equal(t, "[1]", string(got))
	}
}

// TestBindString holds strings that Bind takes the short way, or must not, to
// encoding/json.
func TestBindString(t *testing.T) {
	for _, raw := range []string{`"hi"`, `"a\n\u00e9"`, `""`, `"é"`, "\"\xff\"", `null`, `7`, `{}`, ` "x" `, "\"\n\"", `"`} {
		want, got := "before", "before"
		wantErr := json.Unmarshal([]byte(raw), &want)
		m := &wsrouter.Message{Args: []any{json.RawMessage(raw)}}
		err := wsrouter.BindMessage(m, &got)
		require.Equal(t, wantErr == nil, err == nil, raw)
		require.Equal(t, want, got, raw)
	}
	require.Error(t, wsrouter.BindMessage(&wsrouter.Message{Args: []any{json.RawMessage(`"x"`)}}, (*string)(nil)))
}
