package wsrouter

import (
	"encoding/base64"
	"reflect"
)

// attachments are bytes that came beside an event's JSON, by the base64 that
// stands for them there. encoding/json reads that into a []byte by itself; in an
// any it stays a string, which restore makes a []byte. So does a string that the
// client sent beside them and that is the very same base64.
type attachments map[string][]byte

func newAttachments(list [][]byte) attachments {
	a := make(attachments, len(list))
	for _, data := range list {
		if len(data) == 0 {
			continue // its base64 is every empty string's
		}
		a[base64.StdEncoding.EncodeToString(data)] = data
	}
	return a
}

// restore looks through a value that has been bound.
func (a attachments) restore(v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			a.restore(v.Elem())
		}
	case reflect.Interface:
		if data := a.of(v); data != nil && v.CanSet() {
			v.Set(reflect.ValueOf(data))
		} else if !v.IsNil() {
			a.restore(v.Elem())
		}
	case reflect.Struct:
		for i := range v.NumField() {
			a.restore(v.Field(i))
		}
	case reflect.Slice, reflect.Array:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			return
		}
		for i := range v.Len() {
			a.restore(v.Index(i))
		}
	case reflect.Map:
		for iter := v.MapRange(); iter.Next(); {
			if data := a.of(iter.Value()); data != nil {
				v.SetMapIndex(iter.Key(), reflect.ValueOf(data))
			} else {
				a.restore(iter.Value())
			}
		}
	}
}

// of returns the bytes that a string in an any stands for, nil if it is none.
func (a attachments) of(v reflect.Value) []byte {
	if v.Kind() != reflect.Interface || v.IsNil() || v.Elem().Kind() != reflect.String {
		return nil
	}
	return a[v.Elem().String()]
}
