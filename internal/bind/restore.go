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

// This file puts bytes that came beside the JSON where they belong. Where the
// JSON has gaps stands base64 while it is decoded: that is what encoding/json
// reads into a []byte, and what all others get that take a string. Only in an any
// it stays a string, although it should be a []byte.
//
// Which anys those are is for encoding/json to say, whose rules for fields are not
// to be written again here. So the JSON is decoded once more, into a value that is
// thrown away, with marks in the gaps, strings that nobody else can have. Where
// that value has a mark in an any the first one gets its bytes.

// markPrefix is drawn once per process; a mark is the base64 of the prefix and a
// number.
var markPrefix = rand.Text()

func newMark(i int) string {
	return base64.StdEncoding.EncodeToString(strconv.AppendInt([]byte(markPrefix), int64(i), 10))
}

func restore(v payload.Value, bound reflect.Value) {
	if restoreSome(v, bound, func(int) bool { return true }) {
		return
	}
	for i := range v.Attachments { // one of them is in what has an UnmarshalJSON of its own, to which marks mean nothing
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

// restored are the bytes by their marks.
type restored map[string][]byte

// put walks through two values that were decoded from the same JSON, but for the
// marks. What has an UnmarshalJSON of its own has what it made of base64.
func (r restored) put(bound, marked reflect.Value) {
	if bound.Type() == valueType {
		r.putValue(bound, marked)
		return
	}
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

var valueType = reflect.TypeFor[payload.Value]()

// putValue makes gaps of the marks in a Value that is a part of what was bound.
func (r restored) putValue(bound, marked reflect.Value) {
	if !bound.CanSet() {
		return
	}
	raw := marked.Interface().(payload.Value).JSON
	var whole payload.Value
	for len(raw) > 0 {
		i := max(bytes.IndexByte(raw, '"'), 0)
		end := scan.String(raw, i)
		if end < 0 { // there is no string any more
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
