package bind

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"reflect"
	"strconv"

	"github.com/wsrouter/wsrouter/internal/scan"
	"github.com/wsrouter/wsrouter/payload"
)

// This file puts bytes that came beside the JSON where they belong. While the JSON
// is decoded its gaps contain base64, which encoding/json turns into a []byte, and
// which others that take a string get as it is. Only in an any it remains a string,
// although it should be a []byte.
//
// Which anys those are is up to encoding/json, whose rules for fields we do not
// want to repeat. So the JSON is decoded once more, into a temporary value, with
// marks in the gaps: strings that occur nowhere else. Where the temporary value has
// a mark in an any, the first value gets the bytes.

// markPrefix is drawn at random once per process. A mark is the base64 of the
// prefix and a number.
var markPrefix = rand.Text()

func newMark(i int) string {
	return base64.StdEncoding.EncodeToString(strconv.AppendInt([]byte(markPrefix), int64(i), 10))
}

func restore(v payload.Value, bound reflect.Value) {
	if restoreSome(v, bound, func(int) bool { return true }) {
		return
	}
	for i := range v.Attachments { // one of them is inside a type with its own UnmarshalJSON, to which marks mean nothing
		restoreSome(v, bound, func(j int) bool { return i == j })
	}
}

// restoreSome puts the chosen attachments into the anys of what has been bound.
func restoreSome(v payload.Value, bound reflect.Value, chosen func(i int) bool) bool {
	found := make(restored, len(v.Attachments))
	raw := v.Append(nil, func(b []byte, i int) []byte {
		data := v.Attachments[i].Data
		b = append(b, '"')
		if chosen(i) {
			mark := newMark(i)
			found[mark] = append([]byte{}, data...) // never nil, which would be null
			b = append(b, mark...)
		} else {
			b = base64.StdEncoding.AppendEncode(b, data)
		}
		return append(b, '"')
	})
	marked := reflect.New(bound.Type().Elem())
	if json.Unmarshal(raw, marked.Interface()) != nil {
		return false
	}
	found.put(bound.Elem(), marked.Elem())
	return true
}

// restored maps marks to bytes.
type restored map[string][]byte

// put walks two values that were decoded from the same JSON, except for the marks.
// A type with its own UnmarshalJSON keeps what it made of the base64.
func (r restored) put(bound, marked reflect.Value) {
	if bound.Type() == valueType {
		r.putValue(bound, marked)
		return
	}
	if bound.Type().PkgPath() != "" { // other types have no methods
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
			elem := reflect.New(bound.Type().Elem()).Elem() // because elements of a map cannot be set
			if was := bound.MapIndex(iter.Key()); was.IsValid() {
				elem.Set(was)
				r.put(elem, iter.Value())
				bound.SetMapIndex(iter.Key(), elem)
			}
		}
	}
}

var valueType = reflect.TypeFor[payload.Value]()

// putValue turns marks into gaps, in a Value that is part of what was bound.
func (r restored) putValue(bound, marked reflect.Value) {
	if !bound.CanSet() {
		return
	}
	raw := marked.Interface().(payload.Value).JSON
	var whole payload.Value
	for len(raw) > 0 {
		i := max(bytes.IndexByte(raw, '"'), 0)
		end := scan.String(raw, i)
		if end < 0 { // the string is gone
			i, end = len(raw), len(raw)
		}
		whole.JSON = append(whole.JSON, raw[:i]...)
		if data, ok := r[string(raw[min(i+1, len(raw)):max(end-1, i)])]; ok {
			whole.Attachments = append(whole.Attachments, payload.Attachment{At: len(whole.JSON), Data: data})
		} else {
			whole.JSON = append(whole.JSON, raw[i:end]...)
		}
		raw = raw[end:]
	}
	bound.Set(reflect.ValueOf(whole))
}

// putAny leaves an any alone if it held a pointer before it was bound:
// encoding/json has decoded into what that points to, where strings stay base64.
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
