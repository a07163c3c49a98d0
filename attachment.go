package wsrouter

import (
	"encoding/base64"
	"encoding/json"
	"reflect"
)

// This file binds arguments that came with bytes beside their JSON. Where the
// JSON has gaps stands base64 while it is decoded: that is what encoding/json
// reads into a []byte, and what all others get that take a string. Only in an any
// it stays a string, although it should be a []byte.
//
// Which anys those are is for encoding/json to say, whose rules for fields are not
// to be written again here. So the JSON is decoded once more, into a value that is
// thrown away, with marks in the gaps, strings that nobody else can have. Where
// that value has a mark in an any the first one gets its bytes.

// received is an argument of an inbound message.
func received(arg any) Encoded {
	switch arg := arg.(type) {
	case json.RawMessage:
		return Encoded{JSON: arg}
	case Encoded:
		return arg
	}
	return Encoded{}
}

// joinArgs returns the only argument, the array of several, or the zero Encoded.
func joinArgs(args []any) (e Encoded) {
	switch len(args) {
	case 0:
		return e
	case 1:
		return received(args[0])
	}
	e.JSON = []byte{'['}
	for i, arg := range args {
		if i > 0 {
			e.JSON = append(e.JSON, ',')
		}
		part := received(arg)
		for _, a := range part.Attachments {
			e.Attachments = append(e.Attachments, Attachment{At: len(e.JSON) + a.At, Data: a.Data})
		}
		e.JSON = append(e.JSON, part.JSON...)
	}
	e.JSON = append(e.JSON, ']')
	return e
}

// raw is the JSON with base64 in its gaps, nil if there is none.
func (e Encoded) raw() json.RawMessage {
	if len(e.Attachments) == 0 {
		return e.JSON
	}
	return e.appendBase64(nil)
}

// marked is the JSON with marks in its gaps, to be taken apart: [marks.unmark]
// makes an Encoded of each part.
func (e Encoded) marked() (json.RawMessage, *marks) {
	m := &marks{}
	for _, a := range e.Attachments {
		m.found = append(m.found, a.Data)
	}
	if len(m.found) == 0 {
		return e.JSON, m
	}
	return e.Append(nil, func(b []byte, i int) []byte { return appendBytes(b, newMark(i)) }), m
}

func (m *marks) unmark(raw json.RawMessage) Encoded {
	if len(m.found) == 0 {
		return Encoded{JSON: raw}
	}
	e, _ := m.gaps(raw) // which are marks of ours
	return e
}

// bind stores the value in out, a pointer. None leaves it as it is.
func (e Encoded) bind(out any) error {
	raw := e.raw()
	if raw == nil {
		return nil
	}
	if err := decode(raw, out); err != nil || len(e.Attachments) == 0 {
		return err
	}
	bound := reflect.ValueOf(out)
	if e.restore(bound, func(int) bool { return true }) {
		return nil
	}
	for i := range e.Attachments { // one of them is in what has an UnmarshalJSON of its own, to which marks mean nothing
		e.restore(bound, func(j int) bool { return i == j })
	}
	return nil
}

// restore puts the chosen attachments into the anys of what has been bound.
func (e Encoded) restore(bound reflect.Value, chosen func(i int) bool) bool {
	found := make(restored, len(e.Attachments))
	raw := e.Append(nil, func(b []byte, i int) []byte {
		data := e.Attachments[i].Data
		if chosen(i) {
			mark := newMark(i)
			found[base64.StdEncoding.EncodeToString(mark)] = append([]byte{}, data...) // never nil, which would be null
			data = mark
		}
		return appendBytes(b, data)
	})
	marked := reflect.New(bound.Type().Elem())
	if json.Unmarshal(raw, marked.Interface()) != nil {
		return false
	}
	found.put(bound.Elem(), marked.Elem())
	return true
}

// restored are the bytes by their marks.
type restored map[string][]byte

// put walks through two values that were decoded from the same JSON, but for the
// marks. What has an UnmarshalJSON of its own has what it made of base64.
func (r restored) put(bound, marked reflect.Value) {
	if bound.Type().PkgPath() != "" { // others have no methods
		if p := reflect.PointerTo(bound.Type()); p.Implements(unmarshaler) || p.Implements(textUnmarshaler) {
			return
		}
	}
	switch bound.Kind() {
	case reflect.Pointer:
		if !bound.IsNil() && !marked.IsNil() {
			r.put(bound.Elem(), marked.Elem())
		}
	case reflect.Interface:
		r.putAny(bound, marked)
	case reflect.Struct:
		for i := range bound.NumField() {
			if f := bound.Type().Field(i); !f.IsExported() && !f.Anonymous {
				continue
			}
			r.put(bound.Field(i), marked.Field(i))
		}
	case reflect.Slice, reflect.Array:
		if bound.Type().Elem().Kind() == reflect.Uint8 {
			return
		}
		for i := range min(bound.Len(), marked.Len()) {
			r.put(bound.Index(i), marked.Index(i))
		}
	case reflect.Map:
		for iter := marked.MapRange(); iter.Next(); {
			elem := reflect.New(bound.Type().Elem()).Elem() // as those of a map cannot be set
			if was := bound.MapIndex(iter.Key()); was.IsValid() {
				elem.Set(was)
				r.put(elem, iter.Value())
				bound.SetMapIndex(iter.Key(), elem)
			}
		}
	}
}

// putAny leaves alone an any that had a pointer before it was bound: encoding/json
// has decoded into what that points to, and there strings stay base64.
func (r restored) putAny(bound, marked reflect.Value) {
	if bound.IsNil() || marked.IsNil() || bound.Elem().Type() != marked.Elem().Type() {
		return
	}
	if marked.Elem().Kind() != reflect.String {
		r.put(bound.Elem(), marked.Elem())
		return
	}
	if data, ok := r[marked.Elem().String()]; ok && bound.CanSet() {
		bound.Set(reflect.ValueOf(data))
	}
}
