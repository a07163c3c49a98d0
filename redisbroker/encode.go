package redisbroker

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
	"unsafe"

	"github.com/tinylib/msgp/msgp"
	"github.com/wsrouter/wsrouter/payload"
)

// This file turns JSON into MessagePack as notepack writes it, which is what nodes
// on Node.js read: integers in their smallest form, unsigned from zero on, all
// other numbers as float64, bytes as bin. The result must be flawless: a message at
// which their decoder throws ends their process.

// maxDepth is how deeply arrays and objects may be nested in what is sent. The
// decoder of Node.js runs out of stack somewhat above it.
const maxDepth = 512

var errNoJSON = errors.New("redisbroker: an argument is not JSON")

var errDepth = fmt.Errorf("redisbroker: arguments nested deeper than %d", maxDepth)

// appendValue appends an argument. An empty Value, which broker.Node returns for an
// answer without data, becomes null.
func appendValue(b []byte, e payload.Value) ([]byte, error) {
	if len(e.JSON) == 0 && len(e.Attachments) == 0 {
		return msgp.AppendNil(b), nil
	}
	w := writer{json: e.JSON, attachments: e.Attachments}
	if len(e.Attachments) > 0 {
		w.json = e.Append(make([]byte, 0, len(e.JSON)+len(e.Attachments)), func(b []byte, _ int) []byte {
			w.gaps = append(w.gaps, len(b))
			return append(b, '0') // makes it JSON
		})
	}
	return w.append(b, math.MaxInt)
}

// append appends the whole text if that, and what is needed to do it, stays within
// limit.
func (w *writer) append(b []byte, limit int) ([]byte, error) {
	if !json.Valid(w.json) {
		return nil, errNoJSON
	}
	containers, size, err := measure(w.json)
	if err != nil {
		return nil, err
	}
	for _, a := range w.attachments {
		size += 5 + len(a.Data)
	}
	if size+containers*int(unsafe.Sizeof(w.counts[0])) > limit {
		return nil, errTooBig
	}
	w.count(containers)
	if b == nil {
		b = make([]byte, 0, size)
	}
	return w.value(slices.Grow(b, size)), nil
}

// measure looks ahead in a valid JSON text: how many arrays and objects it has, and
// how many bytes it becomes at most.
func measure(text []byte) (containers, size int, err error) {
	size = len(text) + len(text)/128 + 8 // what the lengths of long strings and lists may add
	depth := 0
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '"':
			i = stringEnd(text, i) - 1
		case '[', '{':
			if depth == maxDepth {
				return 0, 0, errDepth
			}
			depth++
			containers++
		case ']', '}':
			depth--
		case '.', 'e', 'E':
			size += 6 // a number of three bytes may become nine
		}
	}
	return containers, size, nil
}

// mayBeDeep reports whether one of the arguments may be nested too deeply. It is
// cheap.
func mayBeDeep(args []payload.Value) bool {
	for _, e := range args {
		if bytes.Count(e.JSON, []byte("["))+bytes.Count(e.JSON, []byte("{")) > maxDepth {
			return true
		}
	}
	return false
}

// writer walks a valid JSON text.
type writer struct {
	json        []byte
	at          int
	counts      []uint32 // number of elements of each array and object, in order of appearance
	gaps        []int    // where the attachments belong in json
	attachments []payload.Attachment
}

// count looks ahead, because in MessagePack the count comes first.
func (w *writer) count(containers int) {
	w.counts = make([]uint32, 0, containers)
	var open []int // indices into counts
	for i := 0; i < len(w.json); i++ {
		switch w.json[i] {
		case '"':
			i = stringEnd(w.json, i) - 1
		case '[', '{':
			open = append(open, len(w.counts))
			n := uint32(1)
			if next := w.json[space(w.json, i+1)]; next == ']' || next == '}' {
				n = 0
			}
			w.counts = append(w.counts, n)
		case ',':
			w.counts[open[len(open)-1]]++
		case ']', '}':
			open = open[:len(open)-1]
		}
	}
}

// space returns the index of the first byte from i on that is not white space.
func space(text []byte, i int) int {
	for i < len(text) && (text[i] == ' ' || text[i] == '\t' || text[i] == '\n' || text[i] == '\r') {
		i++
	}
	return i
}

// stringEnd returns the index after the valid string that begins at i.
func stringEnd(text []byte, i int) int {
	for i++; text[i] != '"'; i++ {
		if text[i] == '\\' {
			i++
		}
	}
	return i + 1
}

// numberEnd returns the index after the valid number that begins at i.
func numberEnd(text []byte, i int) int {
	for i < len(text) && strings.IndexByte("+-.0123456789Ee", text[i]) >= 0 {
		i++
	}
	return i
}

func (w *writer) value(b []byte) []byte {
	w.at = space(w.json, w.at)
	if len(w.gaps) > 0 && w.at == w.gaps[0] {
		b = msgp.AppendBytes(b, w.attachments[0].Data)
		w.gaps, w.attachments = w.gaps[1:], w.attachments[1:]
		w.at++
		return b
	}
	switch c := w.json[w.at]; c {
	case '{', '[':
		return w.container(b, c)
	case '"':
		return w.string(b)
	case 'n':
		w.at += len("null")
		return msgp.AppendNil(b)
	case 't':
		w.at += len("true")
		return msgp.AppendBool(b, true)
	case 'f':
		w.at += len("false")
		return msgp.AppendBool(b, false)
	}
	begin := w.at
	w.at = numberEnd(w.json, begin)
	return appendNumber(b, string(w.json[begin:w.at]))
}

func (w *writer) container(b []byte, kind byte) []byte {
	n := w.counts[0]
	w.counts = w.counts[1:]
	w.at++
	if kind == '{' {
		b = msgp.AppendMapHeader(b, n)
	} else {
		b = msgp.AppendArrayHeader(b, n)
	}
	for range n {
		if kind == '{' {
			w.at = space(w.json, w.at)
			b = w.string(b)
			w.at = space(w.json, w.at) + 1 // past the colon
		}
		b = w.value(b)
		w.at = space(w.json, w.at) + 1 // past the comma, or the end
	}
	if n == 0 {
		w.at = space(w.json, w.at) + 1
	}
	return b
}

// string consumes the next string. The result is always valid UTF-8: other nodes
// throw at anything else.
func (w *writer) string(b []byte) []byte {
	end := stringEnd(w.json, w.at)
	raw := w.json[w.at:end]
	w.at = end
	if text := raw[1 : len(raw)-1]; bytes.IndexByte(text, '\\') < 0 && utf8.Valid(text) {
		return msgp.AppendStringFromBytes(b, text)
	}
	begin := len(b)
	b = appendUnquoted(b, raw)
	if text := b[begin:]; !utf8.Valid(text) {
		b = append(b[:begin], validText(string(text))...)
	}
	return slices.Insert(b, begin, stringHeader(len(b)-begin)...)
}

func validText(s string) string { return strings.ToValidUTF8(s, string(utf8.RuneError)) }

func appendNumber(b []byte, text string) []byte {
	if !strings.ContainsAny(text, ".eE") { // creating an error would cost more than the number
		if n, err := strconv.ParseInt(text, 10, 64); err == nil {
			return appendInt(b, n)
		}
		if n, err := strconv.ParseUint(text, 10, 64); err == nil {
			return msgp.AppendUint64(b, n)
		}
	}
	f, _ := strconv.ParseFloat(text, 64) // out of range is an infinity, as in JavaScript
	if f == math.Trunc(f) && math.Abs(f) <= 1<<53 {
		return appendInt(b, int64(f)) // the same to JavaScript
	}
	return msgp.AppendFloat64(b, f)
}

func appendInt(b []byte, n int64) []byte {
	if n >= 0 {
		return msgp.AppendUint64(b, uint64(n))
	}
	return msgp.AppendInt64(b, n)
}

func appendStrings(b []byte, list []string) []byte {
	b = msgp.AppendArrayHeader(b, uint32(len(list)))
	for _, s := range list {
		b = msgp.AppendString(b, validText(s))
	}
	return b
}
