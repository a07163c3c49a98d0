package redisbroker

import (
	"bytes"
	"encoding/binary"
	"unicode/utf16"
	"unicode/utf8"
	"unsafe"
)

// This file handles strings as JSON and MessagePack write them. encoding/json would
// hold a large one several times.

// bytesOf returns the bytes of s, which must not be modified.
func bytesOf(s string) []byte { return unsafe.Slice(unsafe.StringData(s), len(s)) }

// unquote returns the text of a valid JSON string, as valid UTF-8.
func unquote(raw []byte) string {
	return validText(string(appendUnquoted(make([]byte, 0, len(raw)), raw)))
}

// appendUnquoted appends the text of a valid JSON string.
func appendUnquoted(b, raw []byte) []byte {
	for raw = raw[1 : len(raw)-1]; len(raw) > 0; {
		n := bytes.IndexByte(raw, '\\')
		if n < 0 {
			return append(b, raw...)
		}
		b = append(b, raw[:n]...)
		r, size := unescape(raw[n:])
		b = utf8.AppendRune(b, r)
		raw = raw[n+size:]
	}
	return b
}

// unescape returns the character of the escape at the start of raw, and its size.
func unescape(raw []byte) (r rune, size int) {
	switch c := raw[1]; c {
	case 'b':
		return '\b', 2
	case 'f':
		return '\f', 2
	case 'n':
		return '\n', 2
	case 'r':
		return '\r', 2
	case 't':
		return '\t', 2
	case 'u':
	default:
		return rune(c), 2
	}
	r = hex4(raw[2:6])
	if !utf16.IsSurrogate(r) || len(raw) < 12 || raw[6] != '\\' || raw[7] != 'u' {
		return r, 6 // half of a surrogate pair is appended as U+FFFD
	}
	if pair := utf16.DecodeRune(r, hex4(raw[8:12])); pair != utf8.RuneError {
		return pair, 12
	}
	return utf8.RuneError, 6
}

func hex4(digits []byte) (r rune) {
	for _, c := range digits {
		switch {
		case c <= '9':
			c -= '0'
		default:
			c = c | 0x20 - 'a' + 10
		}
		r = r<<4 | rune(c)
	}
	return r
}

// stringHeader returns what precedes a string of n bytes in MessagePack.
func stringHeader(n int) []byte {
	switch {
	case n < 32:
		return []byte{0xa0 | byte(n)}
	case n < 1<<8:
		return []byte{0xd9, byte(n)}
	case n < 1<<16:
		return binary.BigEndian.AppendUint16([]byte{0xda}, uint16(n))
	}
	return binary.BigEndian.AppendUint32([]byte{0xdb}, uint32(n))
}
