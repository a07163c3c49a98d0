package wsrouter

import (
	"encoding/base64"
	"reflect"
)

// Encoded is an argument that has been encoded, but for no wire format yet: JSON
// with a gap for each []byte that was in it. It is what brokers carry, and an
// argument that every Emit and Reply takes: each wire format fills the gaps in
// its own way. As a part of another value it is encoded as the struct that it is,
// which is how a broker may send it. It is never written to.
type Encoded struct {
	JSON        []byte // has no whitespace but what a json.RawMessage had
	Attachments []Attachment
}

// Attachment is a []byte in an [Encoded].
type Attachment struct {
	At   int // where in the JSON, in bytes; ascending
	Data []byte
}

// Encode encodes an argument as [AppendJSON] does, but takes out each value in it
// of exactly type []byte. Those behind an embedded pointer to an unexported struct
// stay base64, as do those of a type with a MarshalJSON of its own.
func Encode(v any) (Encoded, error) {
	if e, ok := v.(Encoded); ok {
		return e, nil
	}
	var m marks
	if t := reflect.TypeOf(v); t != nil && holdsBytes(t) {
		v = m.replace(v)
	}
	b, err := AppendJSON(nil, v)
	if err != nil || len(m.found) == 0 {
		return Encoded{JSON: b}, err
	}
	return m.gaps(b)
}

// AppendArg appends an argument's JSON to b as [AppendJSON] does, but for each
// []byte that Encode would take out what attach appends.
func AppendArg(b []byte, v any, attach func(b, data []byte) []byte) ([]byte, error) {
	e, ok := v.(Encoded)
	if t := reflect.TypeOf(v); !ok && (t == nil || !holdsBytes(t)) {
		return AppendJSON(b, v)
	}
	if !ok {
		var err error
		if e, err = Encode(v); err != nil {
			return nil, err
		}
	}
	return e.Append(b, func(b []byte, i int) []byte { return attach(b, e.Attachments[i].Data) }), nil
}

// Append appends the JSON to b, and into each gap what fill appends for the
// attachment of that index. The zero Encoded, an answer without data, is null.
func (e Encoded) Append(b []byte, fill func(b []byte, i int) []byte) []byte {
	if len(e.JSON) == 0 && len(e.Attachments) == 0 {
		return append(b, "null"...)
	}
	from := 0
	for i, a := range e.Attachments {
		b = append(b, e.JSON[from:a.At]...)
		b = fill(b, i)
		from = a.At
	}
	return append(b, e.JSON[from:]...)
}

// appendBase64 is the JSON of those who have no bytes, as encoding/json writes it.
func (e Encoded) appendBase64(b []byte) []byte {
	return e.Append(b, func(b []byte, i int) []byte { return appendBytes(b, e.Attachments[i].Data) })
}

func appendBytes(b, data []byte) []byte {
	return append(base64.StdEncoding.AppendEncode(append(b, '"'), data), '"')
}
