// Package payload represents the data of events between Go values and wire formats:
// as JSON, with any []byte kept beside it.
//
// To write handlers you only need [Value], which forwards data unchanged. The rest
// is for adapters and brokers.
package payload

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"reflect"
	"unicode/utf8"

	"github.com/wsrouter/wsrouter/internal/scan"
)

// Value is an argument encoded as JSON, but not for a particular wire format yet:
// it has a gap for each []byte that was in the argument. Each wire format fills the
// gaps in its own way, with base64 or with messages beside the text. The zero Value
// is no data, which is written as null.
//
// A Value is never modified, so it may be shared and used concurrently. It may be
// part of another value that this package encodes or that is bound, and keeps its
// bytes there. encoding/json on its own writes base64 for them.
type Value struct {
	JSON        []byte // without whitespace, except in what a json.RawMessage supplied
	Attachments []Attachment
}

// Attachment is a []byte in a [Value].
type Attachment struct {
	At   int // byte offset in the JSON; ascending
	Data []byte
}

// MarshalJSON implements [json.Marshaler]. It writes base64 into the gaps.
func (v Value) MarshalJSON() ([]byte, error) { return v.appendBase64(nil), nil }

// UnmarshalJSON implements [json.Unmarshaler]. The Value then has no Attachments.
func (v *Value) UnmarshalJSON(data []byte) error {
	*v = Value{JSON: bytes.Clone(data)}
	return nil
}

// Encode encodes an argument like [AppendJSON], but takes out each value of exactly
// type []byte. Values behind an embedded pointer to an unexported struct stay
// base64, and so do those in a type with its own MarshalJSON.
func Encode(v any) (Value, error) {
	if e, ok := v.(Value); ok {
		return e, nil
	}
	var m marks
	if t := reflect.TypeOf(v); t != nil && holdsBytes(t) {
		v = m.replace(v)
	}
	b, err := AppendJSON(nil, v)
	if err != nil || len(m.found) == 0 {
		return Value{JSON: b}, err
	}
	return m.gaps(b)
}

// EncodeAll encodes several arguments with [Encode].
func EncodeAll(args []any) (list []Value, err error) {
	for _, arg := range args {
		v, err := Encode(arg)
		if err != nil {
			return nil, err
		}
		list = append(list, v)
	}
	return list, nil
}

// Args returns the values as arguments to encode.
func Args(list []Value) []any {
	args := make([]any, len(list))
	for i, v := range list {
		args[i] = v
	}
	return args
}

// AppendArg appends an argument's JSON to b like [AppendJSON], but for each []byte
// that [Encode] would take out it calls attach to append something in its place.
func AppendArg(b []byte, v any, attach func(b, data []byte) []byte) ([]byte, error) {
	e, ok := v.(Value)
	if t := reflect.TypeOf(v); !ok && (t == nil || !holdsBytes(t)) {
		return AppendJSON(b, v)
	}
	if !ok {
		var err error
		if e, err = Encode(v); err != nil {
			return nil, err
		}
	}
	if ok && !utf8.Valid(e.JSON) {
		return nil, errUTF8
	}
	return e.Append(b, func(b []byte, i int) []byte { return attach(b, e.Attachments[i].Data) }), nil
}

// Join returns the only value, an array of several, or the zero Value if there are
// none.
func Join(list []Value) (v Value) {
	switch len(list) {
	case 0:
		return v
	case 1:
		return list[0]
	}
	v.JSON = []byte{'['}
	for i, part := range list {
		if i > 0 {
			v.JSON = append(v.JSON, ',')
		}
		for _, a := range part.Attachments {
			v.Attachments = append(v.Attachments, Attachment{At: len(v.JSON) + a.At, Data: a.Data})
		}
		v.JSON = part.appendGaps(v.JSON)
	}
	v.JSON = append(v.JSON, ']')
	return v
}

// IsZero reports whether there is no data.
func (v Value) IsZero() bool { return len(v.JSON) == 0 && len(v.Attachments) == 0 }

// appendGaps appends the JSON with its gaps.
func (v Value) appendGaps(b []byte) []byte {
	if v.IsZero() {
		return append(b, "null"...)
	}
	return append(b, v.JSON...)
}

// Append appends the JSON to b. For the gap of attachment i it calls fill.
func (v Value) Append(b []byte, fill func(b []byte, i int) []byte) []byte {
	if v.IsZero() {
		return append(b, "null"...)
	}
	from := 0
	for i, a := range v.Attachments {
		b = append(b, v.JSON[from:a.At]...)
		b = fill(b, i)
		from = a.At
	}
	return append(b, v.JSON[from:]...)
}

// Raw returns the JSON with base64 in its gaps, or nil if there is no data. It must
// not be modified.
func (v Value) Raw() json.RawMessage {
	if len(v.Attachments) == 0 {
		return v.JSON
	}
	return v.appendBase64(nil)
}

func (v Value) appendBase64(b []byte) []byte {
	return v.Append(b, func(b []byte, i int) []byte { return appendBytes(b, v.Attachments[i].Data) })
}

func appendBytes(b, data []byte) []byte {
	return append(base64.StdEncoding.AppendEncode(append(b, '"'), data), '"')
}

// Elements returns the first n elements of an array, or all if there are fewer,
// each with its own bytes. It reports false if the value is not an array.
func (v Value) Elements(n int) (list []Value, ok bool) {
	raw, m := v.marked()
	i := scan.Space(raw, 0)
	if i == len(raw) || raw[i] != '[' {
		return nil, false
	}
	for i = scan.Space(raw, i+1); raw[i] != ']' && len(list) < n; {
		end := scan.Value(raw, i)
		list = append(list, m.unmark(raw[i:end:end]))
		if i = scan.Space(raw, end); raw[i] == ',' {
			i = scan.Space(raw, i+1)
		}
	}
	return list, true
}

// Member returns the member of an object with that name, which is case-sensitive,
// with its bytes; the zero Value if there is none. If several have the name it
// returns the last. It reports false if the value is not an object.
func (v Value) Member(name string) (member Value, ok bool) {
	raw, m := v.marked()
	i := scan.Space(raw, 0)
	if i == len(raw) || raw[i] != '{' {
		return Value{}, false
	}
	var found json.RawMessage
	for i = scan.Space(raw, i+1); raw[i] != '}'; {
		begin := scan.Space(raw, scan.Key(raw, i))
		end := scan.Value(raw, begin)
		if scan.Text(raw[i:scan.String(raw, i)]) == name {
			found = raw[begin:end:end]
		}
		if i = scan.Space(raw, end); raw[i] == ',' {
			i = scan.Space(raw, i+1)
		}
	}
	return m.unmark(found), true
}

// marked returns the JSON with marks in its gaps, to be split; unmark turns each
// part back into a Value.
func (v Value) marked() (json.RawMessage, *marks) {
	m := &marks{}
	for _, a := range v.Attachments {
		m.found = append(m.found, a.Data)
	}
	if len(m.found) == 0 {
		return v.JSON, m
	}
	return v.Append(nil, func(b []byte, i int) []byte { return appendBytes(b, newMark(i)) }), m
}

func (m *marks) unmark(raw json.RawMessage) Value {
	if len(m.found) == 0 {
		return Value{JSON: raw}
	}
	v, _ := m.gaps(raw) // cannot fail: the marks are ours
	return v
}
