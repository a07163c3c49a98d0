// Package bind stores data from the wire in Go values, like encoding/json, and
// describes in JSON's terms what does not fit.
//
// It differs from encoding/json in two ways. First, the errors: encoding/json
// speaks of Go types and only sometimes names a field, so after a failure the value
// is walked again to find the part that does not fit. Second, bytes that came
// beside the JSON become a []byte in an any, too.
package bind

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"unicode/utf8"

	"github.com/wsrouter/wsrouter/internal/scan"
	"github.com/wsrouter/wsrouter/payload"
)

// Error says which part of the data is not what was expected. It has no cause,
// because encoding/json's errors may quote the data, which must not get into logs.
type Error struct {
	Path    string // "user.roles[1]"; empty means all of the data
	Problem string
}

// Error returns the path and the problem.
func (e *Error) Error() string {
	if e.Path == "" {
		return "data: " + e.Problem
	}
	return e.Path + ": " + e.Problem
}

// within returns the error with the path of the enclosing data in front.
func within(path string, err error) error {
	e, ok := err.(*Error)
	switch {
	case !ok:
		return err
	case e.Path == "":
		return &Error{path, e.Problem}
	case e.Path[0] == '[':
		return &Error{path + e.Path, e.Problem}
	}
	return &Error{path + "." + e.Path, e.Problem}
}

// Value stores the value in out, a pointer. No data, like null, leaves it
// unchanged. The error is an *[Error] unless out is not a pointer to something that
// can be set.
func Value(v payload.Value, out any) error {
	if v.IsZero() {
		return nil
	}
	if whole, ok := out.(*payload.Value); ok && whole != nil {
		*whole = v
		return nil
	}
	if err := decode(v, out); err != nil || len(v.Attachments) == 0 {
		return err
	}
	restore(v, reflect.ValueOf(out))
	return nil
}

// Named is Value for data that has a name in errors.
func Named(name string, v payload.Value, out any) error { return within(name, Value(v, out)) }

// Field stores one field of an object. The path consists of names separated by
// dots. A missing field is an error.
func Field(v payload.Value, path string, out any) error {
	names := strings.Split(path, ".")
	for i, name := range names {
		next, ok := v.Member(name)
		if !ok {
			return misfit(strings.Join(names[:i], "."), "an object", v)
		}
		v = next
	}
	if v.IsZero() {
		return mismatch(path, expectation(out), nil)
	}
	return Named(path, v, out)
}

// Elements stores the elements of an array in the pointers, one each, and returns
// how many it stored. Pointers without an element are left unchanged, elements
// without a pointer are ignored.
func Elements(v payload.Value, ptrs []any) (n int, err error) {
	if v.IsZero() {
		return 0, nil
	}
	list, ok := v.Elements(len(ptrs))
	if !ok {
		return 0, misfit("", "an array", v)
	}
	for i, element := range list {
		if err := Value(element, ptrs[i]); err != nil {
			return i, err
		}
	}
	return len(list), nil
}

// decode stores the value's JSON in out.
func decode(v payload.Value, out any) error {
	var gaps map[int]bool // where the attachments are
	raw := v.JSON
	if len(v.Attachments) > 0 {
		gaps = make(map[int]bool, len(v.Attachments))
		raw = v.Append(nil, func(b []byte, i int) []byte {
			gaps[len(b)] = true
			return append(base64.StdEncoding.AppendEncode(append(b, '"'), v.Attachments[i].Data), '"')
		})
	}
	err := unmarshal(raw, out)
	if err == nil {
		return nil
	}
	var misuse *json.InvalidUnmarshalError
	if errors.As(err, &misuse) {
		return fmt.Errorf("wsrouter: bind: %w", err)
	}
	return explain(raw, gaps, out)
}

// misfit returns the mismatch of a whole value.
func misfit(path, expected string, v payload.Value) error {
	if len(v.JSON) == 0 && len(v.Attachments) > 0 {
		return &Error{path, "expected " + expected + ", got bytes"}
	}
	return mismatch(path, expected, v.JSON)
}

// unmarshal is json.Unmarshal with a shortcut for strings.
func unmarshal(raw json.RawMessage, v any) error {
	if s, ok := v.(*string); ok && s != nil && scan.String(raw, 0) == len(raw) &&
		bytes.IndexByte(raw, '\\') < 0 && utf8.Valid(raw) {
		*s = string(raw[1 : len(raw)-1])
		return nil
	}
	return json.Unmarshal(raw, v)
}

// mismatch returns the error for a value that is not what was expected; raw is nil
// if the value is missing.
func mismatch(path, expected string, raw json.RawMessage) *Error {
	got := jsonKind(raw)
	if got == "a number" && strings.HasPrefix(expected, "an integer") && len(raw) <= 24 {
		got = string(raw)
	}
	return &Error{path, "expected " + expected + ", got " + got}
}

var (
	numberType      = reflect.TypeFor[json.Number]()
	unmarshaler     = reflect.TypeFor[json.Unmarshaler]()
	textUnmarshaler = reflect.TypeFor[interface{ UnmarshalText([]byte) error }]()
)

// expectation describes what v, a pointer, can hold.
func expectation(v any) string {
	t := reflect.TypeOf(v)
	if t == nil || t.Kind() != reflect.Pointer {
		return "a value"
	}
	return typeName(t.Elem())
}

// typeName says in JSON's terms what fits a Go type.
func typeName(t reflect.Type) string {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch {
	case t == reflect.TypeFor[[]byte]():
		return "a base64 string"
	case t == numberType:
		return "a number"
	case t == reflect.TypeFor[json.RawMessage](), t == valueType:
		return "a value"
	case reflect.PointerTo(t).Implements(unmarshaler), reflect.PointerTo(t).Implements(textUnmarshaler):
		return "a valid " + strings.ToLower(t.Name())
	}
	switch t.Kind() {
	case reflect.String:
		return "a string"
	case reflect.Bool:
		return "a boolean"
	case reflect.Int, reflect.Int64:
		return "an integer"
	case reflect.Uint, reflect.Uint64, reflect.Uintptr:
		return "an integer from 0"
	case reflect.Int8, reflect.Int16, reflect.Int32:
		return fmt.Sprintf("an integer from %d to %d", int64(-1)<<(t.Bits()-1), int64(1)<<(t.Bits()-1)-1)
	case reflect.Uint8, reflect.Uint16, reflect.Uint32:
		return fmt.Sprintf("an integer from 0 to %d", int64(1)<<t.Bits()-1)
	case reflect.Float32, reflect.Float64:
		return "a number"
	case reflect.Slice, reflect.Array:
		return "an array"
	case reflect.Struct, reflect.Map:
		return "an object"
	}
	return "a value"
}

// jsonKind says what raw is.
func jsonKind(raw json.RawMessage) string {
	if len(raw) == 0 {
		return "nothing"
	}
	switch raw[0] {
	case '"':
		return "a string"
	case '{':
		return "an object"
	case '[':
		return "an array"
	case 't', 'f':
		return "a boolean"
	case 'n':
		return "null"
	}
	return "a number"
}
