package meta

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

func TestValid(t *testing.T) {
	fits := `{"k":"` + strings.Repeat("v", Max-len(`{"k":""}`)) + `"}`
	for _, valid := range []string{`{}`, `{ }`, `{"a":"b"}`, `{"a":"","":"b" , "a":"\u0000"}`, fits} {
		require.True(t, Valid(json.RawMessage(valid)), valid)
	}
	for _, invalid := range []string{
		`null`, `1`, `"traceparent"`, `[]`, `["a"]`, `{"a":1}`, `{"a":null}`, `{"a":"b","c":{"d":"e"}}`, `{"a":["b"]}`,
		fits + " ", `{"k":"` + strings.Repeat("v", 1<<20) + `"}`,
	} {
		require.False(t, Valid(json.RawMessage(invalid)), invalid)
	}
}

func TestGet(t *testing.T) {
	raw := json.RawMessage(` { "a" : "1" , "b":"\u00e9\n", "\u0063":"3", "a":"last" } `)
	for key, value := range map[string]string{"a": "last", "b": "é\n", "c": "3", "": "", "A": "", "d": ""} {
		require.Equal(t, value, Get(raw, key), key)
	}
	require.Empty(t, Get(nil, "a"))
}

func TestWith(t *testing.T) {
	var raw json.RawMessage
	step := func(key, value, want string) {
		before := string(raw)
		next := With(raw, key, value)
		require.Equal(t, before, string(raw), "it was changed")
		require.Equal(t, want, string(next))
		raw = next
	}
	step("a", "", ``)
	step("a", "1", `{"a":"1"}`)
	step("b", `"`, `{"a":"1","b":"\""}`)
	step("a", "2", `{"b":"\"","a":"2"}`)
	step("<é>", "&", `{"b":"\"","a":"2","<é>":"&"}`)
	step("b", "", `{"a":"2","<é>":"&"}`)
	step("a", strings.Repeat("x", Max), `{"<é>":"&"}`) // a value that does not fit also removes what was there
	step("a", strings.Repeat("x", Max-18), `{"<é>":"&"}`)
	step("a", strings.Repeat("x", Max-19), `{"<é>":"&","a":"`+strings.Repeat("x", Max-19)+`"}`)
	require.Len(t, raw, Max)
	step("c", "1", string(raw))
	step("a", "", `{"<é>":"&"}`)
	step("<é>", "", ``)
	require.Nil(t, raw)
	require.Equal(t, "\ufffd", Get(With(nil, "a", "\xff"), "a"))
}

// TestForwardedKeys: keys that arrived with escapes, or more than once, are
// recognized.
func TestForwardedKeys(t *testing.T) {
	raw := json.RawMessage(` { "\u0061" : "1", "b":"2" , "a":"3"}`)
	require.Equal(t, `{"b":"2","a":"4"}`, string(With(raw, "a", "4")))
	require.Equal(t, `{"\u0061":"1","a":"3"}`, string(With(raw, "b", "")))
}

// TestGetAllocatesNothingForWhatIsNotThere: asking for a key that is not there
// costs no memory.
func TestGetAllocatesNothingForWhatIsNotThere(t *testing.T) {
	raw := json.RawMessage(`{"tracestate":"a=1","baggage":"b=2"}`)
	require.Zero(t, testing.AllocsPerRun(100, func() { Get(raw, "traceparent") }))
}

// FuzzMeta checks that what Valid accepts is what encoding/json reads as a map of
// strings, that Get finds all of it, and that With changes only one key.
func FuzzMeta(f *testing.F) {
	for _, seed := range []string{
		`{}`, `{"traceparent":"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01","tracestate":"a=1"}`, `{"a":1}`, `{"a":null}`,
		` { "a" : "b" , "a":"\ud800" } `, `{"\u0061":"1","a":"2"}`, `[]`, `"x"`, `{"":""}`, `{"a":{"b":"c"}}`,
	} {
		f.Add(seed, "a", "value")
	}
	f.Fuzz(func(t *testing.T, text, key, value string) {
		raw := json.RawMessage(strings.TrimSpace(text))
		Get(raw, key) // must not panic
		With(raw, key, value)
		if !json.Valid(raw) || !utf8.Valid(raw) {
			return
		}
		var want map[string]string
		if !onlyStrings(raw) || len(raw) > Max {
			require.False(t, Valid(raw))
			return
		}
		require.True(t, Valid(raw))
		require.NoError(t, json.Unmarshal(raw, &want))
		for k, v := range want {
			require.Equal(t, v, Get(raw, k))
		}
		with := With(raw, key, value)
		require.LessOrEqual(t, len(with), max(Max, len(raw)))
		if len(with) > 0 {
			require.True(t, json.Valid(with) && Valid(with), "%s", with)
		}
		for k, v := range want {
			if k != key {
				require.Equal(t, v, Get(with, k))
			}
		}
		if got := Get(with, key); utf8.ValidString(key + value) {
			require.Contains(t, []string{"", value}, got)
		}
	})
}

// onlyStrings is Valid without the bound, with encoding/json.
func onlyStrings(raw []byte) bool {
	tokens := json.NewDecoder(strings.NewReader(string(raw)))
	if first, _ := tokens.Token(); first != json.Delim('{') {
		return false
	}
	for tokens.More() {
		tokens.Token() // the key
		value, _ := tokens.Token()
		if _, ok := value.(string); !ok {
			return false
		}
	}
	return true
}
