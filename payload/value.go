// Package payload is the data of events on its way between Go values and wire
// formats: JSON with the bytes that were in it beside it.
//
// Whoever writes handlers meets it as [Value] only, which forwards data as it
// came. Adapters and brokers are written against the rest.
package payload

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"reflect"
	"unicode/utf8"

	"github.com/wsrouter/wsrouter/internal/scan"
)

// Value is an argument that has been encoded, but for no wire format yet: JSON
// with a gap for each []byte that was in it. Each wire format fills the gaps in
// its own way: as base64, or as messages beside the text. The zero Value is no
// data, which is written as null.
//
// A Value is never written to, so it may be shared and used concurrently. It may be
// a part of another value that is encoded or bound here, and keeps its bytes there.
// By itself encoding/json writes base64 for them.
type Value struct {
	JSON        []byte // has no whitespace but what a json.RawMessage had
	Attachments []Attachment
}

// Attachment is a []byte in a [Value].
type Attachment struct {
	At   int // where in the JSON, in bytes; ascending
	Data []byte
}

// MarshalJSON implements [json.Marshaler], with base64 in the gaps.
func (v Value) MarshalJSON() ([]byte, error) { return v.appendBase64(nil), nil }

// UnmarshalJSON implements [json.Unmarshaler]: the Value has no bytes.
func (v *Value) UnmarshalJSON(data []byte) error {
	*v = Value{JSON: bytes.Clone(data)}
	return nil
}

// Encode encodes an argument as [AppendJSON] does, but takes out each value in it
// of exactly type []byte. Those behind an embedded pointer to an unexported struct
// stay base64, as do those of a type with a MarshalJSON of its own.
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

// EncodeAll encodes several arguments.
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

// Args returns the values as arguments that can be encoded.
func Args(list []Value) []any {
	args := make([]any, len(list))
	for i, v := range list {
		args[i] = v
	}
	return args
}

// AppendArg appends an argument's JSON to b as [AppendJSON] does, but for each
// []byte that [Encode] would take out it appends what attach does.
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

// Join returns the only value, the array of several, or no data.
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

// Append appends the JSON to b, and into each gap what fill appends for the
// attachment of that index.
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

// Raw returns the JSON with base64 in its gaps, nil if there is no data. It must
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
// with the bytes that are in each. It reports false if the value is no array.
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

// Member returns the member of an object by its name, which is case-sensitive,
// with the bytes that are in it; no data if there is none. Of several of one name
// it is the last. It reports false if the value is no object.
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

// marked returns the JSON with marks in its gaps, to be taken apart: unmark makes
// a Value of each part.
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
	v, _ := m.gaps(raw) // which are marks of ours
	return v
}
