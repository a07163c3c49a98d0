package bind_test

import (
	"encoding/json"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wsrouter/wsrouter/internal/bind"
	"github.com/wsrouter/wsrouter/payload"
)

// form has a field for each rule of encoding/json that decides what fits.
//
//lint:file-ignore SA5008 what tags mean that are unusual is tested here, too
type form struct {
	Count   int      `json:"count,string"`
	Ratio   *float64 `json:",string,omitempty"`
	On      bool     `json:",string"`
	List    []int    `json:",string"` // the option means nothing here
	Dash    int8     `json:"-,"`
	Skipped int      `json:"-"`
	Any     any
	Number  json.Number
	Bytes   []byte
	Pair    [2]int
	ByInt   map[int8]string
	ByTime  map[time.Time]int
	ByText  map[string]bool
	Addr    *netip.Addr
	Err     error
	Next    *form
	private int //lint:ignore U1000 it is not bound
	Outer
	*Pointed
	Named `json:"named"`
	Twice
	Both
}

type (
	Outer   struct{ Count, Deep int } // Count is hidden
	Pointed struct {
		Deep2 bool
		Text  int `json:"text"`
	}
	Named struct{ Deep int }
	Twice struct {
		Same string
	}
	Both struct {
		Same int
	}
)

// explained are bodies that encoding/json refuses, and what is to be said of them.
var explained = []struct{ body, want string }{
	{`{"count":7}`, `count: expected an integer in a string, got 7`},
	{`{"count":"x"}`, `count: expected an integer in a string, got a string`},
	{`{"count":{}}`, `count: expected an integer in a string, got an object`},
	{`{"COUNT":7}`, `COUNT: expected an integer in a string, got 7`},
	{`{"Ratio":1.5}`, `Ratio: expected a number in a string, got a number`},
	{`{"On":true}`, `On: expected a boolean in a string, got a boolean`},
	{`{"count":"1","List":"[1]"}`, `List: expected an array, got a string`},
	{`{"-":128}`, `-: expected an integer from -128 to 127, got 128`},
	{`{"Any":[0,1e999]}`, `Any: expected a value, got an array`},
	{`{"Number":"x"}`, `Number: expected a number, got a string`},
	{`{"Bytes":"%"}`, `Bytes: expected a base64 string, got a string`},
	{`{"Bytes":[1,256]}`, `Bytes[1]: expected an integer from 0 to 255, got 256`},
	{`{"Bytes":7}`, `Bytes: expected a base64 string, got a number`},
	{`{"Pair":[1,2,"x"],"Deep":""}`, `Deep: expected an integer, got a string`},
	{`{"Pair":[1,""]}`, `Pair[1]: expected an integer, got a string`},
	{`{"ByInt":{"1":"x","200":"y"}}`, `ByInt.200: expected an integer from -128 to 127 as the name`},
	{`{"ByInt":{"x":"x"}}`, `ByInt.x: expected an integer from -128 to 127 as the name`},
	{`{"ByInt":{"1":1}}`, `ByInt.1: expected a string, got a number`},
	{`{"ByTime":{"now":1}}`, `ByTime.now: expected a valid time as the name`},
	{`{"ByText":{"a\"b":0}}`, `ByText.a"b: expected a boolean, got a number`},
	{`{"Addr":"1.2.3"}`, `Addr: expected a valid addr, got a string`},
	{`{"Addr":1}`, `Addr: expected a valid addr, got a number`},
	{`{"Err":null,"Next":{"Err":{}}}`, `Next.Err: expected a value, got an object`},
	{`{"Next":{"Next":[]}}`, `Next.Next: expected an object, got an array`},
	{`{"Deep2":1}`, `Deep2: expected a boolean, got a number`},
	{`{"Text":""}`, `Text: expected an integer, got a string`},
	{`{"named":{"Deep":""}}`, `named.Deep: expected an integer, got a string`},
	{`{"Same":{},"private":"","Skipped":"","Deep":1.0}`, `Deep: expected an integer, got 1.0`},
	{`{"Deep":1,"deep":"x"}`, `deep: expected an integer, got a string`},
	{` [ ] `, `data: expected an object, got an array`},
}

// TestExplained holds each of the decoder's rules, in bodies of every size.
func TestExplained(t *testing.T) {
	for _, test := range explained {
		require.Error(t, json.Unmarshal([]byte(test.body), new(form)), test.body)
		require.EqualError(t, bind.Value(payload.Value{JSON: []byte(test.body)}, new(form)), test.want)
		if body, ok := strings.CutPrefix(test.body, "{"); ok {
			large := `{"unknown":[` + strings.Repeat(`"x",`, 1<<16) + `{}],` + body
			require.EqualError(t, bind.Value(payload.Value{JSON: []byte(large)}, new(form)), test.want)
		}
	}
}

// TestExplainedBytes: bytes that came beside the JSON are no string.
func TestExplainedBytes(t *testing.T) {
	body := payload.Value{JSON: []byte(`{"a":"AQ==","b":[]}`), Attachments: []payload.Attachment{{At: 17, Data: []byte{1}}}}
	var v struct {
		A string
		B []int
	}
	require.EqualError(t, bind.Value(body, &v), "b[0]: expected an integer, got bytes")
	alone := payload.Value{Attachments: []payload.Attachment{{Data: []byte{1}}}}
	require.EqualError(t, bind.Value(alone, &v), "data: expected an object, got bytes")
	require.EqualError(t, bind.Field(alone, "a", &v), "data: expected an object, got bytes")
	_, err := bind.Elements(alone, []any{&v})
	require.EqualError(t, err, "data: expected an array, got bytes")
	var text string
	require.NoError(t, bind.Value(alone, &text))
	require.Equal(t, "AQ==", text)
}

// TestExplainedPathIsShort: names and depth are the sender's.
func TestExplainedPathIsShort(t *testing.T) {
	long := strings.Repeat("é", 1<<16)
	for _, body := range []string{
		`{"ByText":{"` + long + `":0}}`,
		strings.Repeat(`{"Next":`, 5_000) + `{"Deep":""}` + strings.Repeat("}", 5_000),
	} {
		err := bind.Value(payload.Value{JSON: []byte(body)}, new(form))
		require.ErrorContains(t, err, "…: expected ")
		require.Less(t, len(err.Error()), 1<<10)
	}
}

// FuzzExplain holds that whatever encoding/json refuses is explained.
func FuzzExplain(f *testing.F) {
	for _, test := range explained {
		f.Add(test.body)
	}
	f.Fuzz(func(t *testing.T, body string) {
		if !json.Valid([]byte(body)) {
			return
		}
		for _, out := range []any{new(form), new([]form), new(map[netip.Addr]*form), new(Both)} {
			err := bind.Value(payload.Value{JSON: []byte(body)}, out)
			var e *bind.Error
			if err != nil && (!errors.As(err, &e) || e.Problem == "not as expected") {
				t.Errorf("%T %s: %v", out, body, err)
			}
		}
	})
}
