package redisbroker

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/tinylib/msgp/msgp"

	"github.com/wsrouter/wsrouter"
	"github.com/wsrouter/wsrouter/internal/scan"
)

// This file turns JSON into MessagePack as notepack writes it, which is what the
// nodes on Node.js read: integers in their smallest form, unsigned from zero on,
// all other numbers as float64, bytes as bin. What they read must be faultless: a
// message that their decoder throws at ends their process.

// maxDepth is how deep arrays and objects are nested at most in what is sent. The
// decoder of Node.js runs out of stack some way above it.
const maxDepth = 512

var errNoJSON = errors.New("redisbroker: an argument is no JSON")

var errDepth = fmt.Errorf("redisbroker: arguments nested deeper than %d", maxDepth)

// appendValue appends an argument. An empty one, which is what [wsrouter.Conn.Call]
// has of an answer without data, is null.
func appendValue(b []byte, e wsrouter.Encoded) ([]byte, error) {
	if len(e.JSON) == 0 && len(e.Attachments) == 0 {
		return msgp.AppendNil(b), nil
	}
	w := writer{attachments: e.Attachments}
	w.json = e.Append(make([]byte, 0, len(e.JSON)+len(e.Attachments)), func(b []byte, _ int) []byte {
		w.gaps = append(w.gaps, len(b))
		return append(b, '0') // so that it is JSON
	})
	if end := scan.Value(w.json, 0); end < 0 || scan.Space(w.json, end) != len(w.json) {
		return nil, errNoJSON
	}
	if err := w.count(); err != nil {
		return nil, err
	}
	return w.value(b), nil
}

// mayBeDeep reports whether one of the arguments may be too deep, at no cost.
func mayBeDeep(args []wsrouter.Encoded) bool {
	for _, e := range args {
		if bytes.Count(e.JSON, []byte("["))+bytes.Count(e.JSON, []byte("{")) > maxDepth {
			return true
		}
	}
	return false
}

// writer goes through a valid JSON text.
type writer struct {
	json        []byte
	at          int
	counts      []int // of the elements of each array and object, in the order in which they begin
	gaps        []int // where in json the attachments belong
	attachments []wsrouter.Attachment
}

// count looks ahead: in MessagePack the count comes first.
func (w *writer) count() error {
	var open []int // indices into counts
	for i := 0; i < len(w.json); i++ {
		switch w.json[i] {
		case '"':
			i = scan.String(w.json, i) - 1
		case '[', '{':
			if len(open) == maxDepth {
				return errDepth
			}
			open = append(open, len(w.counts))
			n := 1
			if next := w.json[scan.Space(w.json, i+1)]; next == ']' || next == '}' {
				n = 0
			}
			w.counts = append(w.counts, n)
		case ',':
			w.counts[open[len(open)-1]]++
		case ']', '}':
			open = open[:len(open)-1]
		}
	}
	return nil
}

func (w *writer) value(b []byte) []byte {
	w.at = scan.Space(w.json, w.at)
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
		return msgp.AppendString(b, w.string())
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
	w.at = scan.Value(w.json, begin)
	return appendNumber(b, string(w.json[begin:w.at]))
}

func (w *writer) container(b []byte, kind byte) []byte {
	n := w.counts[0]
	w.counts = w.counts[1:]
	w.at++
	if kind == '{' {
		b = msgp.AppendMapHeader(b, uint32(n))
	} else {
		b = msgp.AppendArrayHeader(b, uint32(n))
	}
	for range n {
		if kind == '{' {
			w.at = scan.Space(w.json, w.at)
			b = msgp.AppendString(b, w.string())
			w.at = scan.Space(w.json, w.at) + 1 // past the colon
		}
		b = w.value(b)
		w.at = scan.Space(w.json, w.at) + 1 // past the comma, or the end
	}
	if n == 0 {
		w.at = scan.Space(w.json, w.at) + 1
	}
	return b
}

// string takes the string at hand. It is always valid UTF-8: others throw there.
func (w *writer) string() string {
	end := scan.String(w.json, w.at)
	raw := w.json[w.at:end]
	w.at = end
	return unquote(raw)
}

func unquote(raw []byte) (s string) {
	if text := string(raw[1 : len(raw)-1]); !strings.Contains(text, `\`) {
		return validText(text)
	}
	json.Unmarshal(raw, &s)
	return s
}

func validText(s string) string { return strings.ToValidUTF8(s, string(utf8.RuneError)) }

func appendNumber(b []byte, text string) []byte {
	if n, err := strconv.ParseUint(text, 10, 64); err == nil {
		return msgp.AppendUint64(b, n)
	}
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		return appendInt(b, n)
	}
	f, _ := strconv.ParseFloat(text, 64) // beyond its range that is an infinity, as in JavaScript
	if f == math.Trunc(f) && math.Abs(f) <= 1<<53 {
		return appendInt(b, int64(f)) // JavaScript knows no difference
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
