package redisbroker

import (
	"encoding/binary"
	"errors"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
	"unsafe"

	"github.com/tinylib/msgp/msgp"
	"github.com/wsrouter/wsrouter/payload"
)

// This file turns MessagePack into JSON. Input may be anything: memory is not
// allocated for a length that is merely announced. Keys keep their order.

// maxReadDepth is how deeply input may be nested; encoding/json has the same limit.
const maxReadDepth = 10_000

var (
	errMalformed = errors.New("redisbroker: malformed message")
	errTooBig    = errors.New("redisbroker: message exceeds Options.MaxMessage")
)

// smallMessage is the size up to which input is read without measuring it first: it
// cannot expand much.
const smallMessage = 4 << 10

// reader reads arguments, one after another.
type reader struct {
	out     payload.Value
	limit   int
	scratch [64]byte

	dry               bool // nothing is built, only counted
	text, attachments int
}

// read reads one value as an argument. Its attachments are slices of b. What
// exceeds limit is not built.
func (r *reader) read(b []byte, limit int) (e payload.Value, rest []byte, err error) {
	r.out, r.limit, r.text, r.attachments = payload.Value{}, limit, 0, 0
	if len(b) > smallMessage {
		r.dry = true
		_, err = r.value(b, 0)
		r.dry = false
		if err == nil && r.size() > limit {
			err = errTooBig
		}
		if err != nil {
			return e, nil, err
		}
		r.reserve()
	}
	rest, err = r.value(b, 0)
	return r.out, rest, err
}

// reserve allocates what was counted.
func (r *reader) reserve() {
	if r.text > 0 {
		r.out.JSON = make([]byte, 0, r.text)
	}
	if r.attachments > 0 {
		r.out.Attachments = make([]payload.Attachment, 0, r.attachments)
	}
}

// attachmentSize is what an attachment holds besides its bytes.
const attachmentSize = int(unsafe.Sizeof(payload.Attachment{}))

// sizeOfValue is what an argument holds besides the message it was read from.
func sizeOfValue(e payload.Value) int { return cap(e.JSON) + cap(e.Attachments)*attachmentSize }

func (r *reader) size() int { return r.text + r.attachments*attachmentSize }

func (r *reader) put(s string) { r.putBytes(bytesOf(s)) }

func (r *reader) putBytes(b []byte) {
	if r.dry {
		r.text += len(b)
		return
	}
	r.out.JSON = append(r.out.JSON, b...)
}

// attach appends bytes, without copying them.
func (r *reader) attach(data []byte) {
	if r.dry {
		r.attachments++
		return
	}
	r.out.Attachments = append(r.out.Attachments, payload.Attachment{At: len(r.out.JSON), Data: data[:len(data):len(data)]})
}

func (r *reader) value(b []byte, depth int) (rest []byte, err error) {
	if depth > maxReadDepth {
		return nil, errMalformed
	}
	if r.size() > r.limit {
		return nil, errTooBig
	}
	if isExtension(b) {
		return r.extension(b)
	}
	switch msgp.NextType(b) {
	case msgp.NilType:
		r.put("null")
		return msgp.ReadNilBytes(b)
	case msgp.BoolType:
		v, rest, err := msgp.ReadBoolBytes(b)
		r.putBytes(strconv.AppendBool(r.scratch[:0], v))
		return rest, err
	case msgp.IntType, msgp.UintType:
		text, rest, err := readKey(b, r.scratch[:0])
		r.putBytes(text)
		return rest, err
	case msgp.Float32Type, msgp.Float64Type:
		v, rest, err := msgp.ReadFloat64Bytes(b)
		r.float(v)
		return rest, err
	case msgp.StrType:
		text, rest, err := msgp.ReadStringZC(b)
		r.quoted(text)
		return rest, err
	case msgp.BinType:
		data, rest, err := msgp.ReadBytesZC(b)
		if err == nil {
			r.attach(data)
		}
		return rest, err
	case msgp.ArrayType:
		return r.array(b, depth)
	case msgp.MapType:
		return r.object(b, depth)
	}
	return nil, errMalformed
}

// float appends a number as encoding/json does; NaN and infinities become null, as
// in JSON.stringify.
func (r *reader) float(f float64) {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		r.put("null")
		return
	}
	format := byte('f')
	if abs := math.Abs(f); abs != 0 && (abs < 1e-6 || abs >= 1e21) {
		format = 'e'
	}
	text := strconv.AppendFloat(r.scratch[:0], f, format, -1, 64)
	if n := len(text); format == 'e' && n >= 4 && text[n-4] == 'e' && text[n-3] == '-' && text[n-2] == '0' {
		text = append(text[:n-2], text[n-1]) // e-09 becomes e-9
	}
	r.putBytes(text)
}

// quoted appends a string as encoding/json does.
func (r *reader) quoted(s []byte) {
	r.put(`"`)
	from := 0
	for i := 0; i < len(s); {
		size := 1
		c := rune(s[i])
		if c >= utf8.RuneSelf {
			c, size = utf8.DecodeRune(s[i:])
		}
		if escaped := r.escape(c, size); escaped != nil {
			r.putBytes(s[from:i])
			r.putBytes(escaped)
			from = i + size
		}
		i += size
	}
	r.putBytes(s[from:])
	r.put(`"`)
}

// escape returns how a character of that size is written; nil means as it is.
func (r *reader) escape(c rune, size int) []byte {
	const hex = "0123456789abcdef"
	b := r.scratch[:0]
	switch {
	case c == '"' || c == '\\':
		return append(b, '\\', byte(c))
	case c == utf8.RuneError && size == 1:
		return append(b, `\ufffd`...)
	case c == '\u2028':
		return append(b, `\u2028`...)
	case c == '\u2029':
		return append(b, `\u2029`...)
	case c >= ' ':
		return nil
	}
	if i := strings.IndexByte("\b\f\n\r\t", byte(c)); i >= 0 {
		return append(b, '\\', "bfnrt"[i])
	}
	return append(append(b, `\u00`...), hex[c>>4], hex[c&15])
}

func (r *reader) array(b []byte, depth int) ([]byte, error) {
	n, b, err := msgp.ReadArrayHeaderBytes(b)
	r.put("[")
	for i := uint32(0); i < n && err == nil; i++ {
		if i > 0 {
			r.put(",")
		}
		b, err = r.value(b, depth+1)
	}
	r.put("]")
	return b, err
}

func (r *reader) object(b []byte, depth int) ([]byte, error) {
	r.put("{")
	first := true
	rest, err := readMap(b, func(key, b []byte) ([]byte, error) {
		if isUndefined(b) {
			_, rest, err := readExtension(b)
			return rest, err
		}
		if !first {
			r.put(",")
		}
		first = false
		r.quoted(key)
		r.put(":")
		return r.value(b, depth+1)
	})
	r.put("}")
	return rest, err
}

// readMap calls field for each value of a map. The key is only valid during the
// call. field returns what follows the value.
func readMap(b []byte, field func(key, b []byte) ([]byte, error)) ([]byte, error) {
	if msgp.NextType(b) != msgp.MapType {
		return nil, errMalformed
	}
	n, b, err := msgp.ReadMapHeaderBytes(b)
	var number []byte // buffer for keys that are numbers
	for i := uint32(0); i < n && err == nil; i++ {
		var key []byte
		if msgp.NextType(b) == msgp.StrType {
			key, b, err = msgp.ReadStringZC(b)
		} else {
			number, b, err = readKey(b, number[:0])
			key = number
		}
		if err == nil {
			b, err = field(key, b)
		}
	}
	return b, err
}

// readKey reads a key. In JavaScript it may be a number, which is appended to buf.
func readKey(b, buf []byte) (key, rest []byte, err error) {
	switch msgp.NextType(b) {
	case msgp.StrType:
		return msgp.ReadStringZC(b)
	case msgp.IntType:
		n, rest, err := msgp.ReadInt64Bytes(b)
		return strconv.AppendInt(buf, n, 10), rest, err
	case msgp.UintType:
		n, rest, err := msgp.ReadUint64Bytes(b)
		return strconv.AppendUint(buf, n, 10), rest, err
	case msgp.Float32Type, msgp.Float64Type:
		f, rest, err := msgp.ReadFloat64Bytes(b)
		return strconv.AppendFloat(buf, f, 'g', -1, 64), rest, err
	}
	return nil, nil, errMalformed
}

// Extension types: the standard's timestamp, and the one that older notepacks used
// for what JavaScript has and MessagePack lacks.
const (
	extTimestamp = -1
	extOld       = 0
)

func isExtension(b []byte) bool {
	return len(b) > 0 && (b[0] >= 0xd4 && b[0] <= 0xd8 || b[0] >= 0xc7 && b[0] <= 0xc9)
}

// isUndefined reports whether an old undefined comes next; in a map it is left out.
func isUndefined(b []byte) bool {
	return len(b) >= 3 && b[0] == 0xd4 && b[1] == extOld && b[2] == 0
}

func readExtension(b []byte) (ext msgp.RawExtension, rest []byte, err error) {
	var size, head int
	switch {
	case b[0] >= 0xd4 && b[0] <= 0xd8: // fixext 1, 2, 4, 8, 16
		size, head = 1<<(b[0]-0xd4), 1
	case b[0] == 0xc7 && len(b) > 1:
		size, head = int(b[1]), 2
	case b[0] == 0xc8 && len(b) > 2:
		size, head = int(binary.BigEndian.Uint16(b[1:])), 3
	case b[0] == 0xc9 && len(b) > 4:
		size, head = int(binary.BigEndian.Uint32(b[1:])), 5
	default:
		return ext, nil, errMalformed
	}
	if len(b) <= head || len(b)-head-1 < size {
		return ext, nil, errMalformed
	}
	ext.Type = int8(b[head])
	b = b[head+1:]
	ext.Data = b[:size]
	return ext, b[size:], nil
}

func (r *reader) extension(b []byte) (rest []byte, err error) {
	fixed := b[0] >= 0xd4
	ext, rest, err := readExtension(b)
	if err != nil {
		return nil, err
	}
	data := ext.Data
	switch {
	case ext.Type == extTimestamp && len(data) == 4:
		r.date(int64(binary.BigEndian.Uint32(data)), 0)
	case ext.Type == extTimestamp && len(data) == 8:
		v := binary.BigEndian.Uint64(data)
		r.date(int64(v&(1<<34-1)), int64(v>>34))
	case ext.Type == extTimestamp && len(data) == 12:
		r.date(int64(binary.BigEndian.Uint64(data[4:])), int64(binary.BigEndian.Uint32(data)))
	case ext.Type == extOld && !fixed:
		r.attach(data) // an ArrayBuffer
	case ext.Type == extOld && len(data) == 8:
		ms := int64(binary.BigEndian.Uint64(data))
		r.date(ms/1000, ms%1000*1e6)
	default:
		r.put("null") // undefined, or an unknown type
	}
	return rest, nil
}

// date appends a Date as JSON has it, in the form of JavaScript's toISOString.
func (r *reader) date(seconds, nanos int64) {
	t := time.Unix(seconds, nanos).UTC()
	if year := t.Year(); year < 0 || year > 9999 || nanos > 999_999_999 {
		r.put("null")
		return
	}
	r.putBytes(t.AppendFormat(r.scratch[:0], `"2006-01-02T15:04:05.000Z"`))
}
