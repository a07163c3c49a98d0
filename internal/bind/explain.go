package bind

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strconv"
	"strings"

	"github.com/wsrouter/wsrouter/internal/scan"
)

// This file finds what does not fit after encoding/json has rejected a value. It
// does not read the errors of encoding/json, because their texts and fields change
// from release to release; what its decoder accepts does not. So it walks the JSON
// once, alongside the type, and names the first part that the decoder rejects.
// Where decoding is left to somebody else, such as an UnmarshalJSON, it tries.

// explainer is one such walk.
type explainer struct {
	data  []byte
	gaps  map[int]bool // where data has base64 for an attachment
	path  []step       // to the current value
	types map[reflect.Type]*shape
}

// step is a member's name, or an index if name is nil.
type step struct {
	name  []byte // a JSON string
	index int
}

// shape is what the walk needs to know about a type.
type shape struct {
	tried  bool             // the type decodes itself, or is tried for another reason
	fields map[string]field // of a struct
}

func (x *explainer) shape(t reflect.Type) *shape {
	s := x.types[t]
	if s == nil {
		p := reflect.PointerTo(t)
		s = &shape{tried: t == numberType || p.Implements(unmarshaler) || p.Implements(textUnmarshaler)}
		if t.Kind() == reflect.Struct && !s.tried {
			s.fields = fieldsOf(t)
		}
		x.types[t] = s
	}
	return s
}

// explain says what in data does not fit the type of out, a pointer.
func explain(data []byte, gaps map[int]bool, out any) *Error {
	if end := scan.Value(data, 0); end < 0 || scan.Space(data, end) != len(data) {
		return &Error{"", "not valid JSON"}
	}
	x := &explainer{data: data, gaps: gaps, types: make(map[reflect.Type]*shape)}
	if _, err := x.value(scan.Space(data, 0), reflect.TypeOf(out).Elem()); err != nil {
		return err
	}
	return &Error{"", "not as expected"} // for example an any that holds a pointer to something it does not fit
}

// value examines the value at i, and returns the index after it.
func (x *explainer) value(i int, t reflect.Type) (end int, err *Error) {
	s := x.shape(t)
	for t.Kind() == reflect.Pointer && !s.tried && x.data[i] != 'n' {
		t = t.Elem()
		s = x.shape(t)
	}
	c := x.data[i]
	switch kind := t.Kind(); {
	case s.tried, kind == reflect.Interface, kind == reflect.Slice && t.Elem().Kind() == reflect.Uint8 && c == '"':
		return x.try(i, t)
	case c == 'n':
		return scan.Value(x.data, i), nil
	case kind == reflect.Struct && c == '{', kind == reflect.Map && c == '{':
		return x.object(i, t, s)
	case kind == reflect.Slice && c == '[', kind == reflect.Array && c == '[':
		return x.array(i, t)
	}
	end = scan.Value(x.data, i)
	if !fits(x.data[i:end], t) {
		return end, x.mismatch(i, end, typeName(t))
	}
	return end, nil
}

// fits reports whether a literal can be stored in a value of the type.
func fits(raw []byte, t reflect.Type) bool {
	var err error
	c := raw[0]
	number := c == '-' || c >= '0' && c <= '9'
	switch t.Kind() {
	case reflect.String:
		return c == '"'
	case reflect.Bool:
		return c == 't' || c == 'f'
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		_, err = strconv.ParseInt(string(raw), 10, t.Bits())
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		_, err = strconv.ParseUint(string(raw), 10, t.Bits())
	case reflect.Float32, reflect.Float64:
		_, err = strconv.ParseFloat(string(raw), t.Bits())
	default:
		return false
	}
	return number && err == nil
}

// try lets the decoder decode the value at i.
func (x *explainer) try(i int, t reflect.Type) (end int, err *Error) {
	end = scan.Value(x.data, i)
	if json.Unmarshal(x.data[i:end], reflect.New(t).Interface()) != nil {
		return end, x.mismatch(i, end, typeName(t))
	}
	return end, nil
}

func (x *explainer) object(i int, t reflect.Type, s *shape) (end int, err *Error) {
	for i = scan.Space(x.data, i+1); x.data[i] != '}'; {
		name := x.data[i:scan.String(x.data, i)]
		i = scan.Space(x.data, scan.Key(x.data, i))
		x.path = append(x.path, step{name: name})
		if i, err = x.member(name, i, t, s); err != nil {
			return i, err
		}
		x.path = x.path[:len(x.path)-1]
		if i = scan.Space(x.data, i); x.data[i] == ',' {
			i = scan.Space(x.data, i+1)
		}
	}
	return i + 1, nil
}

// member examines a member whose value is at i.
func (x *explainer) member(name []byte, i int, t reflect.Type, s *shape) (end int, err *Error) {
	if t.Kind() == reflect.Map {
		if !keyFits(name, t.Key()) {
			return i, &Error{x.place(), "expected " + typeName(t.Key()) + " as the name"}
		}
		return x.value(i, t.Elem())
	}
	f, ok := findField(s.fields, scan.Text(name))
	switch {
	case !ok: // the decoder ignores it
		return scan.Value(x.data, i), nil
	case f.quoted:
		return x.quoted(i, f.t)
	}
	return x.value(i, f.t)
}

// keyFits tries a name that is not simply a string.
func keyFits(name []byte, t reflect.Type) bool {
	if t.Kind() == reflect.String && !reflect.PointerTo(t).Implements(textUnmarshaler) {
		return true
	}
	object := append(append([]byte{'{'}, name...), ":null}"...)
	return json.Unmarshal(object, reflect.New(reflect.MapOf(t, reflect.TypeFor[*int]())).Interface()) == nil
}

// quoted examines a value of a field with the option "string".
func (x *explainer) quoted(i int, t reflect.Type) (end int, err *Error) {
	end = scan.Value(x.data, i)
	alone := reflect.StructOf([]reflect.StructField{{Name: "F", Type: t, Tag: `json:",string"`}})
	object := append(append([]byte(`{"F":`), x.data[i:end]...), '}')
	if json.Unmarshal(object, reflect.New(alone).Interface()) != nil {
		return end, x.mismatch(i, end, typeName(t)+" in a string")
	}
	return end, nil
}

// array examines the elements. The decoder ignores those that exceed the length of
// an array.
func (x *explainer) array(i int, t reflect.Type) (end int, err *Error) {
	n := 0
	for i = scan.Space(x.data, i+1); x.data[i] != ']'; n++ {
		x.path = append(x.path, step{index: n})
		if t.Kind() == reflect.Array && n >= t.Len() {
			i = scan.Value(x.data, i)
		} else if i, err = x.value(i, t.Elem()); err != nil {
			return i, err
		}
		x.path = x.path[:len(x.path)-1]
		if i = scan.Space(x.data, i); x.data[i] == ',' {
			i = scan.Space(x.data, i+1)
		}
	}
	return i + 1, nil
}

// mismatch returns the error for the value at i.
func (x *explainer) mismatch(i, end int, expected string) *Error {
	if x.gaps[i] {
		return &Error{x.place(), "expected " + expected + ", got bytes"}
	}
	return mismatch(x.place(), expected, x.data[i:end])
}

// maxPath is the length in bytes above which a path is cut, because the sender
// chooses its depth and names.
const maxPath = 256

// place returns the path as text.
func (x *explainer) place() string {
	var b strings.Builder
	for _, s := range x.path {
		switch {
		case b.Len() > maxPath:
			return b.String() + "…"
		case s.name == nil:
			fmt.Fprintf(&b, "[%d]", s.index)
			continue
		case b.Len() > 0:
			b.WriteByte('.')
		}
		b.WriteString(cut(scan.Text(s.name)))
	}
	return b.String()
}

// cut shortens a name.
func cut(name string) string {
	if len(name) <= maxPath {
		return name
	}
	return strings.ToValidUTF8(name[:maxPath], "") + "…"
}
