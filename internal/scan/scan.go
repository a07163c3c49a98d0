// Package scan finds the parts of a JSON text in one pass, and checks the text as
// strictly as encoding/json. It does not allocate, except for very deep texts.
package scan

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"math/bits"
)

// maxDepth is one less than encoding/json's, which also counts the object or array
// around a value.
const maxDepth = 10_000 - 1

// Space returns the index of the first byte from i on that is not white space.
func Space(data []byte, i int) int {
	for i < len(data) && (data[i] == ' ' || data[i] == '\t' || data[i] == '\n' || data[i] == '\r') {
		i++
	}
	return i
}

// Value returns the index after the value that begins at i, skipping white space
// before it, or -1 if there is no valid one. It does not check that strings are
// valid UTF-8.
func Value(data []byte, i int) int {
	var few [32]byte
	open := few[:0] // what will close the objects and arrays around i
	for {
		if i = Space(data, i); i == len(data) {
			return -1
		}
		switch c := data[i]; c {
		case '{', '[':
			closing := c + 2 // relies on ASCII
			if open = append(open, closing); len(open) > maxDepth {
				return -1
			}
			if i = Space(data, i+1); i < len(data) && data[i] == closing {
				break // closed below
			}
			if c == '{' {
				i = Key(data, i)
			}
			if i < 0 {
				return -1
			}
			continue
		case '"':
			i = String(data, i)
		case 't':
			i = literal(data, i, "true")
		case 'f':
			i = literal(data, i, "false")
		case 'n':
			i = literal(data, i, "null")
		default:
			i = number(data, i)
		}
		for i >= 0 && len(open) > 0 {
			if i = Space(data, i); i < len(data) && data[i] == open[len(open)-1] {
				open = open[:len(open)-1]
				i++
				continue
			}
			break
		}
		if i < 0 || len(open) == 0 {
			return i
		}
		if i = next(data, i, open[len(open)-1]); i < 0 {
			return -1
		}
	}
}

// next skips the comma at i and, in an object, the key after it.
func next(data []byte, i int, closing byte) int {
	if i == len(data) || data[i] != ',' {
		return -1
	}
	if closing == '}' {
		return Key(data, Space(data, i+1))
	}
	return i + 1
}

// Key returns the index after the colon that follows the string at i, or -1.
func Key(data []byte, i int) int {
	if i = String(data, i); i < 0 {
		return -1
	}
	if i = Space(data, i); i == len(data) || data[i] != ':' {
		return -1
	}
	return i + 1
}

// String returns the index after the string that begins at i, or -1.
func String(data []byte, i int) int {
	if i >= len(data) || data[i] != '"' {
		return -1
	}
	for {
		if i, _ = Plain(data, i+1); i == len(data) {
			return -1
		}
		switch data[i] {
		case '"':
			return i + 1
		case '\\':
			if i = escape(data, i+1); i < 0 {
				return -1
			}
		default:
			return -1
		}
	}
}

// For eight bytes at once: a one in each, and the highest bit of each.
const ones, high = 0x0101010101010101, 0x8080808080808080

// Plain returns the index of the first byte from i on that has a meaning in a
// string, which is a quote, a backslash or a control character, or the length if
// there is none. It also reports whether all bytes before it are ASCII.
func Plain(data []byte, i int) (end int, ascii bool) {
	var seen uint64
	for ; i+8 <= len(data); i += 8 {
		eight := binary.LittleEndian.Uint64(data[i:])
		if marks := special(eight); marks != 0 {
			before := bits.TrailingZeros64(marks) &^ 7
			seen |= eight & (1<<before - 1)
			return i + before/8, seen&high == 0
		}
		seen |= eight
	}
	for ; i < len(data) && data[i] >= ' ' && data[i] != '"' && data[i] != '\\'; i++ {
		seen |= uint64(data[i])
	}
	return i, seen&high == 0
}

// special marks those of eight bytes that have a meaning in a string. In each term a
// byte's highest bit is set if it does, and perhaps in those above it, from which the
// subtraction borrows: only the lowest mark counts.
func special(bytes uint64) (marks uint64) {
	quote, backslash := bytes^ones*'"', bytes^ones*'\\'
	return ((bytes-ones*' ')&^bytes | (quote-ones)&^quote | (backslash-ones)&^backslash) & high
}

// escape returns the index of the last byte of the escape whose letter is at i.
func escape(data []byte, i int) int {
	if i == len(data) {
		return -1
	}
	switch data[i] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return i
	case 'u':
		if i+4 >= len(data) {
			return -1
		}
		for _, c := range data[i+1 : i+5] {
			if !isDigit(c) && (c|0x20 < 'a' || c|0x20 > 'f') {
				return -1
			}
		}
		return i + 4
	}
	return -1
}

func literal(data []byte, i int, text string) int {
	if len(data)-i < len(text) || string(data[i:i+len(text)]) != text {
		return -1
	}
	return i + len(text)
}

func number(data []byte, i int) int {
	if data[i] == '-' {
		i++
	}
	begin := i
	i = digits(data, i)
	if i == begin || data[begin] == '0' && i > begin+1 {
		return -1
	}
	if i < len(data) && data[i] == '.' {
		begin = i + 1
		if i = digits(data, begin); i == begin {
			return -1
		}
	}
	if i < len(data) && data[i]|0x20 == 'e' {
		i++
		if i < len(data) && (data[i] == '+' || data[i] == '-') {
			i++
		}
		begin = i
		if i = digits(data, begin); i == begin {
			return -1
		}
	}
	return i
}

func digits(data []byte, i int) int {
	for i < len(data) && isDigit(data[i]) {
		i++
	}
	return i
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

// Text decodes a JSON string, including its quotes, that is known to be well
// formed.
func Text(raw []byte) string {
	if bytes.IndexByte(raw, '\\') < 0 {
		return string(raw[1 : len(raw)-1])
	}
	var s string
	json.Unmarshal(raw, &s)
	return s
}
