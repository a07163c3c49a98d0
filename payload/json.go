package payload

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/wsrouter/wsrouter/internal/scan"
)

// AppendJSON appends v as encoding/json writes it, but without escaping HTML. A
// [json.RawMessage] goes through as it is, and so does a [Value], with its bytes as
// base64. All arguments are encoded this way. The error says why v cannot be
// encoded. JSON that is not UTF-8, from a json.RawMessage or a MarshalJSON, is an
// error at any depth; invalid bytes in a string become U+FFFD, as with
// encoding/json.
func AppendJSON(b []byte, v any) ([]byte, error) {
	switch v := v.(type) {
	case nil:
		return append(b, "null"...), nil
	case Value:
		return v.appendText(b)
	case json.RawMessage:
		return appendRaw(b, v)
	case string:
		return AppendString(b, v), nil
	case bool:
		return strconv.AppendBool(b, v), nil
	case int:
		return strconv.AppendInt(b, int64(v), 10), nil
	case int64:
		return strconv.AppendInt(b, v, 10), nil
	case []byte:
		if v != nil {
			return append(base64.StdEncoding.AppendEncode(append(b, '"'), v), '"'), nil
		}
	}
	return appendEncoded(b, v, loose)
}

func appendRaw(b []byte, raw json.RawMessage) ([]byte, error) {
	if raw == nil {
		return append(b, "null"...), nil
	}
	if end := scan.Value(raw, 0); end < 0 || scan.Space(raw, end) != len(raw) {
		return nil, errors.New("json.RawMessage holds no valid JSON")
	}
	if !utf8.Valid(raw) {
		return nil, errUTF8
	}
	return append(b, raw...), nil
}

var errUTF8 = errors.New("JSON is not valid UTF-8")

// appendText appends a Value with base64 in its gaps.
func (v Value) appendText(b []byte) ([]byte, error) {
	if !utf8.Valid(v.JSON) {
		return nil, errUTF8
	}
	return v.appendBase64(b), nil
}

// AppendString appends a string as AppendJSON does. A string can always be encoded.
func AppendString(b []byte, s string) []byte {
	if !plainString(s) {
		b, _ = appendEncoded(b, s, strict)
		return b
	}
	return append(append(append(b, '"'), s...), '"')
}

// plainString reports whether encoding/json would just put quotes around s.
func plainString(s string) bool {
	end, ascii := scan.Plain([]byte(s), 0) // which copies nothing, since nobody changes it
	if end < len(s) {
		return false
	}
	return ascii || utf8.ValidString(s) && !strings.ContainsAny(s, "\u2028\u2029")
}

// encoder is a json.Encoder and the buffer it writes to.
type encoder struct {
	buf bytes.Buffer
	enc *json.Encoder
}

var encoders = sync.Pool{New: func() any {
	e := new(encoder)
	e.enc = json.NewEncoder(&e.buf)
	e.enc.SetEscapeHTML(false)
	return e
}}

// maxEncoder is the largest buffer, in bytes, that is kept for the next value.
const maxEncoder = 64 << 10

// origin says whether encoding/json has produced a whole text, or has copied parts
// of it without checking their characters.
type origin uint8

const (
	strict origin = iota
	loose
)

// appendEncoded leaves the encoding to encoding/json. An encoder in which user code
// has panicked is not reused.
func appendEncoded(b []byte, v any, from origin) ([]byte, error) {
	e := encoders.Get().(*encoder)
	e.buf.Reset()
	err := e.enc.Encode(v)
	if err == nil && from == loose && !utf8.Valid(e.buf.Bytes()) {
		err = errUTF8
	}
	if err == nil {
		b = append(b, bytes.TrimSuffix(e.buf.Bytes(), []byte("\n"))...)
	}
	if e.buf.Cap() <= maxEncoder {
		encoders.Put(e)
	}
	return b, err
}
