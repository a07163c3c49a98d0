// Package meta is what goes beside the data of a message: a JSON object of strings,
// a trace for example. It is kept as JSON, and nil is none: what nobody asks for is
// never decoded, and what is passed on is copied as it stands.
package meta

import (
	"bytes"
	"encoding/json"
	"fmt"
	"iter"

	"github.com/wsrouter/wsrouter/internal/scan"
	"github.com/wsrouter/wsrouter/payload"
)

// Max is how many bytes the object has at most.
const Max = 1024

// Valid reports whether a JSON value, which it is known to be, is an object of strings
// that has at most Max bytes.
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

// Get returns the value of a key, the last if there are several, and "" if there is
// none.
func Get(raw json.RawMessage, key string) (value string) {
	for k, v := range members(raw) {
		if v[0] == '"' && isKey(k, key) {
			value = scan.Text(v)
		}
	}
	return value
}

// With returns raw, which it does not change, with another value of the key. An empty
// value is none, and so is one with which the object would have more than Max bytes.
func With(raw json.RawMessage, key, value string) json.RawMessage {
	b := make([]byte, 0, len(raw)+len(`{"":"",}`)+len(key)+len(value))
	for k, v := range members(raw) {
		if !isKey(k, key) {
			b = appendMember(b, k, v)
		}
	}
	if value != "" && len(key)+len(value) < Max {
		k, _ := payload.AppendJSON(nil, key) // strings can be encoded
		v, _ := payload.AppendJSON(nil, value)
		if len(b)+len(`,:}`)+len(k)+len(v) <= Max {
			b = appendMember(b, k, v)
		}
	}
	if len(b) == 0 {
		return nil
	}
	return append(b, '}')
}

// Of encodes the values of a map, whose keys it sorts. The error says that they are
// more than Max bytes.
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

func appendMember(b, key, value []byte) []byte {
	b = append(b, "{,"[min(len(b), 1)])
	return append(append(append(b, key...), ':'), value...)
}

// isKey compares without decoding, as far as that goes.
func isKey(raw []byte, key string) bool {
	if bytes.IndexByte(raw, '\\') >= 0 {
		return scan.Text(raw) == key
	}
	return string(raw[1:len(raw)-1]) == key
}

// members iterates over an object's keys and values, as they stand. It ends where there
// is no object, or none any more.
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
