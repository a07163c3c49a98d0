// Package meta is what goes beside the data of a message: a JSON object of strings,
// a trace for example. It is kept as JSON: what nobody asks for is never decoded,
// and what is passed on is copied as it is. Nil means that there is none.
package meta

import (
	"bytes"
	"encoding/json"
	"fmt"
	"iter"
	"unicode/utf8"

	"github.com/wsrouter/wsrouter/internal/scan"
	"github.com/wsrouter/wsrouter/payload"
)

// Max is how many bytes the object may have.
const Max = 1024

// Valid reports whether raw, which must be valid JSON, is an object of strings of
// at most Max bytes.
func Valid(raw json.RawMessage) bool {
	if len(raw) > Max || raw[0] != '{' {
		return false
	}
	for _, value := range members(raw) {
		if value[0] != '"' {
			return false
		}
	}
	return true
}

// Get returns the value of a key, or "" if there is none. Of several, the last one
// counts.
func Get(raw json.RawMessage, key string) (value string) {
	for k, v := range members(raw) {
		if v[0] == '"' && isKey(k, key) {
			value = scan.Text(v)
		}
	}
	return value
}

// With returns a copy of raw in which the key has another value. An empty value
// removes the key, and so does one with which the object would be longer than Max.
func With(raw json.RawMessage, key, value string) json.RawMessage {
	if len(key)+len(value) > Max {
		value = ""
	}
	b := make([]byte, 0, len(raw)+len(`{"":"",}`)+len(key)+len(value))
	for k, v := range members(raw) {
		if !isKey(k, key) {
			b = append(append(append(begin(b), k...), ':'), v...)
		}
	}
	if value != "" {
		others := b
		b = appendString(append(appendString(begin(b), key), ':'), value)
		if len(b)+len(`}`) > Max {
			b = others
		}
	}
	if len(b) == 0 {
		return nil
	}
	return append(b, '}')
}

// begin appends what comes before a member.
func begin(b []byte) []byte { return append(b, "{,"[min(len(b), 1)]) }

// appendString appends a JSON string. Most need no escaping.
func appendString(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c >= utf8.RuneSelf || c == '"' || c == '\\' {
			b, _ = payload.AppendJSON(b, s) // a string can always be encoded
			return b
		}
	}
	return append(append(append(b, '"'), s...), '"')
}

// Of encodes a map, with sorted keys. It returns an error if that takes more than
// Max bytes.
func Of(values map[string]string) (json.RawMessage, error) {
	if len(values) == 0 {
		return nil, nil
	}
	raw, err := payload.AppendJSON(nil, values)
	if len(raw) > Max {
		err = fmt.Errorf("meta has %d bytes, more than %d", len(raw), Max)
	}
	return raw, err
}

// isKey compares a key, and decodes it only if it has to.
func isKey(raw []byte, key string) bool {
	if bytes.IndexByte(raw, '\\') >= 0 {
		return scan.Text(raw) == key
	}
	return string(raw[1:len(raw)-1]) == key
}

// members iterates over the keys and values of an object, as they are. It stops at
// the end of the object, or at once if raw is not one.
func members(raw []byte) iter.Seq2[[]byte, []byte] {
	return func(yield func(key, value []byte) bool) {
		i := scan.Space(raw, 0)
		if i == len(raw) || raw[i] != '{' {
			return
		}
		for {
			i = scan.Space(raw, i+1) // after the brace, or a comma
			from := i
			if i = scan.Key(raw, i); i < 0 {
				return
			}
			key := raw[from:scan.String(raw, from)]
			from = scan.Space(raw, i)
			if i = scan.Value(raw, from); i < 0 || !yield(key, raw[from:i]) {
				return
			}
			if i = scan.Space(raw, i); i == len(raw) || raw[i] != ',' {
				return
			}
		}
	}
}
