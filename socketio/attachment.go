package socketio

import (
	"bytes"
	"crypto/rand"
	"encoding"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"strconv"
	"sync"

	"github.com/wsrouter/wsrouter"
)

// This file takes bytes out of arguments, and puts them back in. On the wire they
// are binary messages of their own, and where they were stands
// {"_placeholder":true,"num":0}.
//
// On the way out a []byte may be anywhere in a value that encoding/json encodes by
// its own rules, which are not to be written again here. So a copy of the value is
// encoded in which every []byte is replaced by a mark, bytes that nobody else can
// have: encoding/json makes a base64 string of it, which is found in the JSON and
// replaced by the placeholder.

var errAttachments = fmt.Errorf("more than %d attachments", maxAttachments)

// encodeArgs appends arguments, behind what is in b already, as the elements of a
// JSON array, and returns the attachments.
func encodeArgs(b []byte, args []any) ([]byte, [][]byte, error) {
	var m marks
	for i, arg := range args {
		if i > 0 || b[len(b)-1] != '[' {
			b = append(b, ',')
		}
		if t := reflect.TypeOf(arg); t != nil && holdsBytes(t) {
			arg = m.replace(arg)
		}
		var err error
		if b, err = wsrouter.AppendJSON(b, arg); err != nil {
			return nil, nil, err
		}
	}
	if len(m.found) == 0 {
		return b, nil, nil
	}
	return m.placeholders(b)
}

// markPrefix is drawn once per process; a mark is the prefix and a number.
var markPrefix = func() (p [12]byte) { rand.Read(p[:]); return p }()

const markBytes = len(markPrefix) + 6 // a multiple of 3, so that its base64 has no padding

type marks struct{ found [][]byte }

func (m *marks) mark(data []byte) []byte {
	mark := make([]byte, markBytes)
	copy(mark, markPrefix[:])
	binary.BigEndian.PutUint32(mark[len(markPrefix)+2:], uint32(len(m.found)))
	m.found = append(m.found, data)
	return mark
}

func (m *marks) replace(arg any) any {
	v := reflect.New(reflect.TypeOf(arg)).Elem()
	v.Set(reflect.ValueOf(arg))
	m.walk(v, 0)
	return v.Interface()
}

// maxWalk is how deep values are looked into; encoding/json gives up on cycles,
// too, a little later.
const maxWalk = 500

var bytesType = reflect.TypeFor[[]byte]()

// walk replaces the bytes in v, which is a copy; what v refers to is copied on
// the way.
func (m *marks) walk(v reflect.Value, depth int) {
	if depth > maxWalk || !holdsBytes(v.Type()) {
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
		for i := range v.NumField() {
			if f := v.Field(i); f.CanSet() || v.Type().Field(i).Anonymous && f.Kind() == reflect.Struct {
				m.walk(f, depth+1)
			}
		}
	case reflect.Map:
		m.walkMap(v, depth)
	case reflect.Pointer, reflect.Interface:
		if v.IsNil() || !v.CanSet() {
			return
		}
		elem := m.copyOf(v.Elem(), depth)
		if v.Kind() == reflect.Pointer {
			elem = elem.Addr()
		}
		v.Set(elem)
	}
}

func (m *marks) walkSlice(v reflect.Value, depth int) {
	switch {
	case v.IsNil() || !v.CanSet():
	case v.Type() == bytesType:
		v.SetBytes(m.mark(v.Bytes()))
	default:
		list := reflect.MakeSlice(v.Type(), v.Len(), v.Len())
		reflect.Copy(list, v)
		for i := range list.Len() {
			m.walk(list.Index(i), depth+1)
		}
		v.Set(list)
	}
}

func (m *marks) walkMap(v reflect.Value, depth int) {
	if v.IsNil() || !v.CanSet() {
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

// placeholders replaces the marks in the JSON, numbered in their order there.
func (m *marks) placeholders(b []byte) ([]byte, [][]byte, error) {
	if len(m.found) > maxAttachments {
		return nil, nil, errAttachments
	}
	begin := append([]byte{'"'}, base64.StdEncoding.EncodeToString(markPrefix[:])...)
	var out []byte
	var attachments [][]byte
	for {
		i := bytes.Index(b, begin)
		if i < 0 {
			return append(out, b...), attachments, nil
		}
		end := i + 1 + base64.StdEncoding.EncodedLen(markBytes)
		mark, err := base64.StdEncoding.DecodeString(string(b[i+1 : end]))
		if err != nil {
			return nil, nil, err
		}
		out = append(out, b[:i]...)
		out = append(out, `{"_placeholder":true,"num":`...)
		out = append(strconv.AppendInt(out, int64(len(attachments)), 10), '}')
		attachments = append(attachments, m.found[binary.BigEndian.Uint32(mark[len(markPrefix)+2:])])
		b = b[end+1:] // past the closing quote
	}
}

var (
	jsonMarshaler = reflect.TypeFor[json.Marshaler]()
	textMarshaler = reflect.TypeFor[encoding.TextMarshaler]()
	plans         sync.Map // of reflect.Type: bool
)

// holdsBytes reports whether a value of the type can have a []byte in it that
// encoding/json would encode. The answer is kept for each type.
func holdsBytes(t reflect.Type) bool {
	if known, ok := plans.Load(t); ok {
		return known.(bool)
	}
	holds := plan(t, make(map[reflect.Type]bool))
	plans.Store(t, holds)
	return holds
}

// plan looks into a type. A recursive type is taken to have none where it
// recurs: then the answer depends on its other parts.
func plan(t reflect.Type, seen map[reflect.Type]bool) bool {
	if t == bytesType {
		return true
	}
	if seen[t] || t.Implements(jsonMarshaler) || t.Implements(textMarshaler) {
		return t.Kind() == reflect.Interface
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

var (
	placeholder    = regexp.MustCompile(`\{\s*"_placeholder"\s*:\s*true\s*,\s*"num"\s*:\s*(\d{1,3})\s*\}`)
	errPlaceholder = errors.New("invalid placeholder")
)

// putBack replaces the placeholders in an event's data by base64 strings, which
// is what encoding/json reads into a []byte. A string cannot look like one, since
// its quotes are escaped. Each attachment is used at most once: otherwise few
// bytes could become many.
func putBack(data []byte, attachments [][]byte) ([]byte, error) {
	used := make([]bool, len(attachments))
	var bad error
	data = placeholder.ReplaceAllFunc(data, func(match []byte) []byte {
		n, _ := strconv.Atoi(string(placeholder.FindSubmatch(match)[1]))
		if n >= len(attachments) || used[n] {
			bad = errPlaceholder
			return nil
		}
		used[n] = true
		b := make([]byte, 0, base64.StdEncoding.EncodedLen(len(attachments[n]))+2)
		b = base64.StdEncoding.AppendEncode(append(b, '"'), attachments[n])
		return append(b, '"')
	})
	return data, bad
}
