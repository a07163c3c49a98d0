package payload

import (
	"bytes"
	"crypto/rand"
	"encoding"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"reflect"
	"strings"
	"sync"
)

// This file finds the bytes in a value that is to be encoded, see Encode.
//
// A []byte may be anywhere in a value, and encoding/json has rules for finding it
// that we do not want to repeat. So we encode a copy of the value in which every
// []byte is replaced by a mark: bytes that occur nowhere else. encoding/json turns
// the mark into a base64 string, which we then find in the JSON.

// markPrefix is drawn at random once per process. A mark is the prefix and a
// number.
var markPrefix = func() (p [12]byte) { rand.Read(p[:]); return p }()

const markBytes = len(markPrefix) + 6 // a multiple of 3, so that its base64 has no padding

type marks struct {
	found [][]byte
	path  map[uintptr]bool // the pointers and maps around the current value, from trackBelow on
	cycle bool             // encoding/json will report it
}

func (m *marks) mark(data []byte) []byte {
	m.found = append(m.found, bytes.Clone(data)) // the caller may change it afterwards
	return newMark(len(m.found) - 1)
}

func newMark(i int) []byte {
	mark := make([]byte, markBytes)
	copy(mark, markPrefix[:])
	binary.BigEndian.PutUint32(mark[len(markPrefix)+2:], uint32(i))
	return mark
}

func (m *marks) replace(arg any) any {
	v := reflect.New(reflect.TypeOf(arg)).Elem()
	v.Set(reflect.ValueOf(arg))
	m.walk(v, 0)
	if m.cycle {
		return arg
	}
	return v.Interface()
}

// trackBelow is the depth from which on we look for cycles.
const trackBelow = 100

// enter notes that the walk enters what v refers to. It reports false if the walk
// is inside it already.
func (m *marks) enter(v reflect.Value, depth int) (leave func(), ok bool) {
	if depth < trackBelow {
		return func() {}, true
	}
	if m.path == nil {
		m.path = make(map[uintptr]bool)
	}
	p := v.Pointer()
	if m.path[p] {
		m.cycle = true
		return nil, false
	}
	m.path[p] = true
	return func() { delete(m.path, p) }, true
}

var (
	bytesType = reflect.TypeFor[[]byte]()
	valueType = reflect.TypeFor[Value]()
)

// walk replaces the bytes in v, which is a copy. What v refers to is copied on the
// way.
func (m *marks) walk(v reflect.Value, depth int) {
	if m.cycle || !holdsBytes(v.Type()) {
		return
	}
	if v.Type() == valueType {
		m.walkValue(v)
		return
	}
	switch v.Kind() {
	case reflect.Slice:
		m.walkSlice(v, depth)
	case reflect.Array:
		for i := range v.Len() {
			m.walk(v.Index(i), depth+1)
		}
	case reflect.Struct:
		m.walkStruct(v, depth)
	case reflect.Map, reflect.Pointer:
		m.walkCopies(v, depth)
	case reflect.Interface:
		if !v.IsNil() && v.CanSet() {
			v.Set(m.copyOf(v.Elem(), depth))
		}
	}
}

func (m *marks) walkSlice(v reflect.Value, depth int) {
	if v.IsNil() || !v.CanSet() {
		return
	}
	if v.Type() == bytesType {
		v.SetBytes(m.mark(v.Bytes()))
		return
	}
	leave, ok := m.enter(v, depth)
	if !ok {
		return
	}
	defer leave()
	list := reflect.MakeSlice(v.Type(), v.Len(), v.Len())
	reflect.Copy(list, v)
	for i := range list.Len() {
		m.walk(list.Index(i), depth+1)
	}
	v.Set(list)
}

// walkValue puts marks into the gaps of a Value.
func (m *marks) walkValue(v reflect.Value) {
	if !v.CanSet() || v.IsZero() {
		return
	}
	whole := v.Interface().(Value)
	v.Set(reflect.ValueOf(Value{JSON: whole.Append(nil, func(b []byte, i int) []byte {
		m.found = append(m.found, whole.Attachments[i].Data)
		return appendBytes(b, newMark(len(m.found)-1))
	})}))
}

// walkStruct walks the fields that encoding/json encodes. Fields of an embedded
// pointer to an unexported struct cannot be set; bytes in them stay base64, as
// encoding/json writes them.
func (m *marks) walkStruct(v reflect.Value, depth int) {
	for i := range v.NumField() {
		f, field := v.Field(i), v.Type().Field(i)
		tag := field.Tag.Get("json")
		switch {
		case tag == "-":
		case f.Type() == bytesType && f.Len() == 0 && strings.Contains(tag, ",omitempty"):
		case f.CanSet(), field.Anonymous && f.Kind() == reflect.Struct:
			m.walk(f, depth+1)
		}
	}
}

// walkCopies walks copies of what cannot be set in place.
func (m *marks) walkCopies(v reflect.Value, depth int) {
	if v.IsNil() || !v.CanSet() {
		return
	}
	leave, ok := m.enter(v, depth)
	if !ok {
		return
	}
	defer leave()
	if v.Kind() == reflect.Pointer {
		v.Set(m.copyOf(v.Elem(), depth).Addr())
		return
	}
	object := reflect.MakeMapWithSize(v.Type(), v.Len())
	for iter := v.MapRange(); iter.Next(); {
		object.SetMapIndex(iter.Key(), m.copyOf(iter.Value(), depth))
	}
	v.Set(object)
}

func (m *marks) copyOf(v reflect.Value, depth int) reflect.Value {
	c := reflect.New(v.Type()).Elem()
	c.Set(v)
	m.walk(c, depth+1)
	return c
}

// gaps takes the marks out of the JSON.
func (m *marks) gaps(b []byte) (Value, error) {
	begin := append([]byte{'"'}, base64.StdEncoding.EncodeToString(markPrefix[:])...)
	var e Value
	for {
		i := bytes.Index(b, begin)
		if i < 0 {
			e.JSON = append(e.JSON, b...)
			return e, nil
		}
		end := i + 1 + base64.StdEncoding.EncodedLen(markBytes)
		mark, err := base64.StdEncoding.DecodeString(string(b[i+1 : end]))
		if err != nil {
			return Value{}, err
		}
		e.JSON = append(e.JSON, b[:i]...)
		data := m.found[binary.BigEndian.Uint32(mark[len(markPrefix)+2:])]
		e.Attachments = append(e.Attachments, Attachment{At: len(e.JSON), Data: data})
		b = b[end+1:] // past the closing quote
	}
}

var (
	jsonMarshaler = reflect.TypeFor[json.Marshaler]()
	textMarshaler = reflect.TypeFor[encoding.TextMarshaler]()
	plans         sync.Map // reflect.Type → bool
)

// holdsBytes reports whether a value of the type can contain a []byte that
// encoding/json would encode. Results are cached.
func holdsBytes(t reflect.Type) bool {
	if k := t.Kind(); k <= reflect.Complex128 || k == reflect.String { // the common case needs no lookup
		return false
	}
	if known, ok := plans.Load(t); ok {
		return known.(bool)
	}
	holds := plan(t, make(map[reflect.Type]bool))
	plans.Store(t, holds)
	return holds
}

// marshals reports whether a type may encode itself. What it contains is then its
// own business and must not be changed.
func marshals(t reflect.Type) bool {
	p := reflect.PointerTo(t)
	return p.Implements(jsonMarshaler) || p.Implements(textMarshaler)
}

// plan examines a type. Where a recursive type recurs it counts as having no bytes,
// so that the result depends on its other parts.
func plan(t reflect.Type, seen map[reflect.Type]bool) bool {
	if t == bytesType || t == valueType {
		return true
	}
	if seen[t] || t.Kind() != reflect.Interface && marshals(t) {
		return false
	}
	seen[t] = true
	switch t.Kind() {
	case reflect.Interface:
		return true
	case reflect.Pointer, reflect.Slice, reflect.Array, reflect.Map:
		return plan(t.Elem(), seen)
	case reflect.Struct:
		for i := range t.NumField() {
			if f := t.Field(i); (f.IsExported() || f.Anonymous) && plan(f.Type, seen) {
				return true
			}
		}
	}
	return false
}
