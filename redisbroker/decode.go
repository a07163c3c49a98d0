package redisbroker

import (
	"encoding/binary"
	"errors"
	"math"
	"strconv"
	"time"

	"github.com/tinylib/msgp/msgp"

	"github.com/wsrouter/wsrouter"
)

// This file turns MessagePack into JSON. What comes in may be anything: nothing is
// reserved for a length that is merely announced, and keys stay in their order.

// maxReadDepth is how deep what comes in is nested at most; encoding/json has the
// same limit.
const maxReadDepth = 10_000

var errMalformed = errors.New("redisbroker: malformed message")

// readValue reads one value as an argument.
func readValue(b []byte) (e wsrouter.Encoded, rest []byte, err error) {
	r := reader{}
	rest, err = r.value(b, 0)
	return r.out, rest, err
}

type reader struct{ out wsrouter.Encoded }

func (r *reader) text(s string) { r.out.JSON = append(r.out.JSON, s...) }

// put appends what encoding/json makes of a value.
func (r *reader) put(v any) { r.out.JSON, _ = wsrouter.AppendJSON(r.out.JSON, v) }

func (r *reader) value(b []byte, depth int) (rest []byte, err error) {
	if depth > maxReadDepth {
		return nil, errMalformed
	}
	if isExtension(b) {
		return r.extension(b)
	}
	switch msgp.NextType(b) {
	case msgp.NilType:
		r.text("null")
		return msgp.ReadNilBytes(b)
	case msgp.BoolType:
		v, rest, err := msgp.ReadBoolBytes(b)
		r.put(v)
		return rest, err
	case msgp.IntType:
		v, rest, err := msgp.ReadInt64Bytes(b)
		r.put(v)
		return rest, err
	case msgp.UintType:
		v, rest, err := msgp.ReadUint64Bytes(b)
		r.put(v)
		return rest, err
	case msgp.Float32Type, msgp.Float64Type:
		v, rest, err := msgp.ReadFloat64Bytes(b)
		if math.IsNaN(v) || math.IsInf(v, 0) {
			r.text("null") // as JSON.stringify
			return rest, err
		}
		r.put(v)
		return rest, err
	case msgp.StrType:
		v, rest, err := msgp.ReadStringBytes(b)
		r.put(v)
		return rest, err
	case msgp.BinType:
		v, rest, err := msgp.ReadBytesBytes(b, nil)
		r.attach(v)
		return rest, err
	case msgp.ArrayType:
		return r.array(b, depth)
	case msgp.MapType:
		return r.object(b, depth)
	}
	return nil, errMalformed
}

func (r *reader) attach(data []byte) {
	r.out.Attachments = append(r.out.Attachments, wsrouter.Attachment{At: len(r.out.JSON), Data: data})
}

func (r *reader) array(b []byte, depth int) ([]byte, error) {
	n, b, err := msgp.ReadArrayHeaderBytes(b)
	r.text("[")
	for i := uint32(0); i < n && err == nil; i++ {
		if i > 0 {
			r.text(",")
		}
		b, err = r.value(b, depth+1)
	}
	r.text("]")
	return b, err
}

func (r *reader) object(b []byte, depth int) ([]byte, error) {
	r.text("{")
	first := true
	rest, err := readMap(b, func(key string, b []byte) ([]byte, error) {
		if isUndefined(b) {
			_, rest, err := readExtension(b)
			return rest, err
		}
		if !first {
			r.text(",")
		}
		first = false
		r.put(key)
		r.text(":")
		return r.value(b, depth+1)
	})
	r.text("}")
	return rest, err
}

// readMap calls field for each value of a map; it returns what follows the value.
func readMap(b []byte, field func(key string, b []byte) ([]byte, error)) ([]byte, error) {
	if msgp.NextType(b) != msgp.MapType {
		return nil, errMalformed
	}
	n, b, err := msgp.ReadMapHeaderBytes(b)
	for i := uint32(0); i < n && err == nil; i++ {
		var key string
		if key, b, err = readKey(b); err == nil {
			b, err = field(key, b)
		}
	}
	return b, err
}

// readKey reads a key, or an event's or room's name: in JavaScript a number is one,
// too.
func readKey(b []byte) (string, []byte, error) {
	switch msgp.NextType(b) {
	case msgp.StrType:
		s, rest, err := msgp.ReadStringBytes(b)
		return validText(s), rest, err
	case msgp.IntType:
		n, rest, err := msgp.ReadInt64Bytes(b)
		return strconv.FormatInt(n, 10), rest, err
	case msgp.UintType:
		n, rest, err := msgp.ReadUint64Bytes(b)
		return strconv.FormatUint(n, 10), rest, err
	case msgp.Float32Type, msgp.Float64Type:
		f, rest, err := msgp.ReadFloat64Bytes(b)
		return strconv.FormatFloat(f, 'g', -1, 64), rest, err
	}
	return "", nil, errMalformed
}

// readStrings reads an array of names; nil is an empty one.
func readStrings(b []byte) (list []string, rest []byte, err error) {
	switch msgp.NextType(b) {
	case msgp.NilType:
		rest, err = msgp.ReadNilBytes(b)
		return nil, rest, err
	case msgp.ArrayType:
	default:
		return nil, nil, errMalformed
	}
	n, b, err := msgp.ReadArrayHeaderBytes(b)
	for i := uint32(0); i < n && err == nil; i++ {
		var s string
		s, b, err = readKey(b)
		list = append(list, s)
	}
	return list, b, err
}

// Extension types: the standard's timestamp, and the one that older notepacks used
// for what JavaScript has and MessagePack has not.
const (
	extTimestamp = -1
	extOld       = 0
)

func isExtension(b []byte) bool {
	return len(b) > 0 && (b[0] >= 0xd4 && b[0] <= 0xd8 || b[0] >= 0xc7 && b[0] <= 0xc9)
}

// isUndefined reports whether an old undefined is at hand: of a map it is left out.
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
		r.attach(append([]byte{}, data...)) // an ArrayBuffer
	case ext.Type == extOld && len(data) == 8:
		ms := int64(binary.BigEndian.Uint64(data))
		r.date(ms/1000, ms%1000*1e6)
	default:
		r.text("null") // undefined, or what nobody here knows
	}
	return rest, nil
}

// date puts what a Date is in JSON, by JavaScript's toISOString.
func (r *reader) date(seconds, nanos int64) {
	t := time.Unix(seconds, nanos).UTC()
	if year := t.Year(); year < 0 || year > 9999 || nanos > 999_999_999 {
		r.text("null")
		return
	}
	r.put(t.Format("2006-01-02T15:04:05.000Z"))
}
