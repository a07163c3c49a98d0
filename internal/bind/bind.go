package wsrouter

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"

	"github.com/wsrouter/wsrouter/internal/scan"
)

// Binding follows encoding/json. What it adds is the error: encoding/json speaks
// of Go types and names a field only sometimes, so after a failure the value is
// taken apart once more, member by member, to find the one that does not fit.

// decode stores raw in v or returns a *WsError.
func decode(raw json.RawMessage, v any) error {
	err := unmarshal(raw, v)
	if err == nil {
		return nil
	}
	var misuse *json.InvalidUnmarshalError
	if errors.As(err, &misuse) {
		return fmt.Errorf("wsrouter: bind: %w", err)
	}
	if len(raw) > maxLocate {
		return large(err)
	}
	path, t, culprit := locate("", reflect.TypeOf(v).Elem(), raw, 0)
	return invalid(path, typeName(t), culprit)
}

// Looking for the member that does not fit reads a body once for each level, so
// it is bounded; a larger body gets the field that encoding/json names.
const (
	maxLocate      = 16 << 10 // bytes
	maxLocateDepth = 32
)

func large(err error) error {
	var wrong *json.UnmarshalTypeError
	if !errors.As(err, &wrong) {
		return NewError("data: not as expected").WithCode(CodeInvalid)
	}
	path := wrong.Field
	if path == "" {
		path = "data"
	}
	return NewError(path + ": expected " + typeName(wrong.Type)).WithCode(CodeInvalid)
}

// invalid returns the error for a value that is not what was expected; a nil raw
// is one that is missing. It has no cause: encoding/json's errors may quote the
// body, which does not belong into logs.
func invalid(path, expected string, raw json.RawMessage) *WsError {
	if path == "" {
		path = "data"
	}
	got := jsonKind(raw)
	if got == "a number" && strings.HasPrefix(expected, "an integer") && len(raw) <= 24 {
		got = string(raw)
	}
	return NewError(path + ": expected " + expected + ", got " + got).WithCode(CodeInvalid)
}

// prefixField puts the path of a part before the path of an error within it.
func prefixField(path string, err error) error {
	var ws *WsError
	if !errors.As(err, &ws) {
		return err
	}
	e := ws.copy()
	rest, whole := strings.CutPrefix(e.Message, "data:")
	switch {
	case whole:
		e.Message = path + ":" + rest
	case rest[0] == '[':
		e.Message = path + rest
	default:
		e.Message = path + "." + rest
	}
	return e
}

// member returns the named member of a JSON object, of equal names the last; nil if
// it has none. The others are passed over: there may be very many.
func member(raw json.RawMessage, name string) (found json.RawMessage, err error) {
	i := scan.Space(raw, 0)
	if scan.Value(raw, i) < 0 || raw[i] != '{' {
		return nil, errors.New("not an object")
	}
	for i = scan.Space(raw, i+1); raw[i] != '}'; {
		key := raw[i:scan.String(raw, i)]
		i = scan.Space(raw, scan.Key(raw, i))
		end := scan.Value(raw, i)
		if string(key[1:len(key)-1]) == name || bytes.IndexByte(key, '\\') >= 0 && unquote(key) == name {
			found = raw[i:end:end]
		}
		if i = scan.Space(raw, end); raw[i] == ',' {
			i = scan.Space(raw, i+1)
		}
	}
	return found, nil
}

// elements returns the first n elements of a JSON array.
func elements(raw json.RawMessage, n int) (list []json.RawMessage, ok bool) {
	i := scan.Space(raw, 0)
	if scan.Value(raw, i) < 0 || raw[i] != '[' {
		return nil, false
	}
	for i = scan.Space(raw, i+1); raw[i] != ']' && len(list) < n; {
		end := scan.Value(raw, i)
		list = append(list, raw[i:end:end])
		if i = scan.Space(raw, end); raw[i] == ',' {
			i = scan.Space(raw, i+1)
		}
	}
	return list, true
}

// locate finds the innermost part of raw that does not fit its part of t.
func locate(path string, t reflect.Type, raw json.RawMessage, depth int) (string, reflect.Type, json.RawMessage) {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if depth == maxLocateDepth || reflect.PointerTo(t).Implements(unmarshaler) || reflect.PointerTo(t).Implements(textUnmarshaler) {
		return path, t, raw
	}
	for _, p := range pieces(path, t, raw) {
		if json.Unmarshal(p.raw, reflect.New(p.t).Interface()) != nil {
			return locate(p.path, p.t, p.raw, depth+1)
		}
	}
	return path, t, raw
}

type piece struct {
	path string
	t    reflect.Type
	raw  json.RawMessage
}

// pieces lists the members or elements of raw with the types that t has for them.
func pieces(path string, t reflect.Type, raw json.RawMessage) (list []piece) {
	switch t.Kind() {
	case reflect.Struct, reflect.Map:
		var object map[string]json.RawMessage
		json.Unmarshal(raw, &object)
		for name, value := range object {
			if mt := memberType(t, name); mt != nil {
				list = append(list, piece{strings.TrimPrefix(path+"."+name, "."), mt, value})
			}
		}
	case reflect.Slice, reflect.Array:
		var elems []json.RawMessage
		json.Unmarshal(raw, &elems)
		for i, value := range elems {
			list = append(list, piece{path + "[" + strconv.Itoa(i) + "]", t.Elem(), value})
		}
	}
	return list
}

// memberType returns the type that encoding/json decodes a member into, nil if
// it ignores the member.
func memberType(t reflect.Type, name string) reflect.Type {
	if t.Kind() == reflect.Map {
		return t.Elem()
	}
	var folded reflect.Type
	for _, f := range reflect.VisibleFields(t) {
		tag, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if tag == "" {
			tag = f.Name
		}
		switch {
		case !f.IsExported() || f.Anonymous && f.Tag.Get("json") == "":
		case tag == name:
			return f.Type
		case strings.EqualFold(tag, name):
			folded = f.Type
		}
	}
	return folded
}

var (
	unmarshaler     = reflect.TypeFor[json.Unmarshaler]()
	textUnmarshaler = reflect.TypeFor[interface{ UnmarshalText([]byte) error }]()
)

// expectation describes what v, a pointer, can be bound to.
func expectation(v any) string {
	t := reflect.TypeOf(v)
	if t == nil || t.Kind() != reflect.Pointer {
		return "a value"
	}
	return typeName(t.Elem())
}

// typeName says in JSON's words what fits a Go type.
func typeName(t reflect.Type) string {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch {
	case t == reflect.TypeFor[[]byte]():
		return "a base64 string"
	case t == reflect.TypeFor[json.Number]():
		return "a number"
	case t == reflect.TypeFor[json.RawMessage]():
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
