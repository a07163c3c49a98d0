package socketio

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/wsrouter/wsrouter/payload"
)

type (
	blob   []byte
	inner  struct{ B []byte }
	outer  struct{ *Public }
	Public struct{ B []byte }
	tagged struct {
		A []byte `json:"a,omitempty"`
		H []byte `json:"-"`
		//lint:ignore SA5008 that is how encoding/json names a field "-"
		D []byte `json:"-,"`
		Z []byte
		x []byte
	}
	recursive struct {
		B    []byte
		Next *recursive `json:",omitempty"`
	}
	marshaled struct{ B []byte }
	pointed   struct{ B []byte }
	twice     struct{ L, R *twice }
)

func (m marshaled) MarshalJSON() ([]byte, error) { return json.Marshal(hex.EncodeToString(m.B)) }
func (p *pointed) MarshalJSON() ([]byte, error)  { return json.Marshal(hex.EncodeToString(p.B)) }

func num(n int) string { return fmt.Sprintf(`{"_placeholder":true,"num":%d}`, n) }

// TestEncodeArgs: where bytes are found, and where encoding/json decides.
func TestEncodeArgs(t *testing.T) {
	a, b := []byte("a"), []byte("b")
	for name, test := range map[string]struct {
		args  []any
		json  string
		bytes []string
	}{
		"none":        {[]any{1, "x", nil, []int{1}}, `1,"x",null,[1]`, nil},
		"bytes":       {[]any{a}, num(0), []string{"a"}},
		"several":     {[]any{b, 1, a}, num(0) + ",1," + num(1), []string{"b", "a"}},
		"the same":    {[]any{a, a}, num(0) + "," + num(1), []string{"a", "a"}},
		"nil bytes":   {[]any{[]byte(nil)}, "null", nil},
		"empty bytes": {[]any{[]byte{}}, num(0), []string{""}},
		"pointer":     {[]any{&a}, num(0), []string{"a"}},
		"nested":      {[]any{[]any{map[string]any{"k": [][]byte{a, nil, b}}}}, `[{"k":[` + num(0) + ",null," + num(1) + `]}]`, []string{"a", "b"}},
		"map order":   {[]any{map[string][]byte{"z": b, "k": a}}, `{"k":` + num(0) + `,"z":` + num(1) + `}`, []string{"a", "b"}},
		"array":       {[]any{[2][]byte{a, b}}, "[" + num(0) + "," + num(1) + "]", []string{"a", "b"}},
		"embedded":    {[]any{struct{ inner }{inner{a}}}, `{"B":` + num(0) + `}`, []string{"a"}},
		"embedded *":  {[]any{outer{&Public{a}}}, `{"B":` + num(0) + `}`, []string{"a"}},
		"tags":        {[]any{tagged{A: []byte{}, H: a, D: b, x: a}}, `{"-":` + num(0) + `,"Z":null}`, []string{"b"}},
		"recursive":   {[]any{&recursive{a, &recursive{B: b}}}, `{"B":` + num(0) + `,"Next":{"B":` + num(1) + `}}`, []string{"a", "b"}},
		"named":       {[]any{blob("a")}, `"YQ=="`, nil},
		"raw":         {[]any{json.RawMessage(`{"a": 1}`)}, `{"a": 1}`, nil},
		"marshaler":   {[]any{marshaled{a}, &marshaled{a}}, `"61","61"`, nil},
		"marshaler *": {[]any{&pointed{a}, []pointed{{a}}}, `"61",["61"]`, nil},
		"nil pointer": {[]any{(*[]byte)(nil), struct{ P *inner }{}}, `null,{"P":null}`, nil},
		"looks alike": {[]any{`{"_placeholder":true,"num":0}`, a}, `"{\"_placeholder\":true,\"num\":0}",` + num(0), []string{"a"}},
		"ten":         {[]any{make([][]byte, 20), [10][]byte{a, a, a, a, a, a, a, a, a, a}}, "[" + strings.Repeat("null,", 19) + "null],[" + num(0) + "," + num(1) + "," + num(2) + "," + num(3) + "," + num(4) + "," + num(5) + "," + num(6) + "," + num(7) + "," + num(8) + "," + num(9) + "]", strings.Split("aaaaaaaaaa", "")},
	} {
		t.Run(name, func(t *testing.T) {
			before := fmt.Sprintf("%#v", test.args)
			got, attachments, err := encodeArgs([]byte("["), test.args, usualAttachments)
			require.NoError(t, err)
			require.Equal(t, "["+test.json, string(got))
			var found []string
			for _, data := range attachments {
				found = append(found, string(data))
			}
			require.Equal(t, test.bytes, found)
			require.Equal(t, before, fmt.Sprintf("%#v", test.args), "the caller's value has changed")
			require.Equal(t, "ab", string(a)+string(b))
		})
	}
}

// TestEncodeArgsFails: too many attachments, and values that JSON cannot represent. A
// cycle is found however it branches.
func TestEncodeArgsFails(t *testing.T) {
	_, _, err := encodeArgs([]byte("["), []any{[11][]byte{{1}, {1}, {1}, {1}, {1}, {1}, {1}, {1}, {1}, {1}, {1}}}, usualAttachments)
	require.ErrorIs(t, err, tooManyAttachments(10))
	loop := &twice{}
	loop.L, loop.R = loop, loop
	list := []any{nil, nil, []byte("a")}
	list[0], list[1] = list, list
	object := map[string]any{"b": []byte("a")}
	object["a"], object["c"] = object, object
	self := &recursive{B: []byte("a")}
	self.Next = self
	for _, arg := range []any{loop, list, object, self, func() {}, make(chan int)} {
		_, _, err := encodeArgs([]byte("["), []any{arg}, usualAttachments)
		require.Error(t, err)
	}
}

// TestPutBack: placeholders with their keys in any order, and what merely looks like
// one.
func TestPutBack(t *testing.T) {
	parts := [][]byte{[]byte("a"), {}}
	for data, want := range map[string]string{
		`["e",` + num(0) + `]`:                                      `["e","YQ=="]`,
		`[` + num(1) + `,{"k":[` + num(0) + `]}]`:                   `["",{"k":["YQ=="]}]`,
		`[{"num":0,"_placeholder":true}]`:                           `["YQ=="]`,
		"[ { \"x\":{} , \"num\" :\t0 , \"_placeholder\": true\n} ]": `[ "YQ==" ]`,
		`[{"_placeholder":false,"num":0}]`:                          `[{"_placeholder":false,"num":0}]`,
		`[{"_placeholder":"true","num":0}]`:                         `[{"_placeholder":"true","num":0}]`,
		`["{\"_placeholder\":true,\"num\":0}"]`:                     `["{\"_placeholder\":true,\"num\":0}"]`,
		`["_placeholder",true,"\\"]`:                                `["_placeholder",true,"\\"]`,
		`[{"a":"_placeholder","b":true,"num":0}]`:                   `[{"a":"_placeholder","b":true,"num":0}]`,
		`[{"_placeholder":true,"num":0,"x":` + num(1) + `}]`:        `["YQ=="]`,
	} {
		got, err := putBack([]byte(data), parts, make([]bool, 2))
		require.NoError(t, err, data)
		require.Equal(t, want, withBase64(got), data)
	}
	for _, bad := range []string{"2", "-1", "1000", "256", "null", `"0"`, "[0]", "0.5", "1e0"} {
		_, err := putBack([]byte(`[{"_placeholder":true,"num":`+bad+`}]`), parts, make([]bool, 2))
		require.ErrorIs(t, err, errPlaceholder, bad)
	}
	deep := strings.Repeat(`{"num":`, 9000) + "0" + strings.Repeat("}", 9000)
	_, err := putBack([]byte(`["_placeholder",`+deep+`]`), parts, make([]bool, 2))
	require.NoError(t, err)
}

// withBase64 returns what is bound by those that take no bytes.
func withBase64(arg any) string {
	e, ok := arg.(payload.Value)
	if !ok {
		return string(arg.(json.RawMessage))
	}
	return string(e.Append(nil, func(b []byte, i int) []byte {
		return append(base64.StdEncoding.AppendEncode(append(b, '"'), e.Attachments[i].Data), '"')
	}))
}
