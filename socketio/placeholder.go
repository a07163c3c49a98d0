package socketio

import (
	"bytes"
	"encoding/json"
	"errors"
	"strconv"

	"github.com/wsrouter/wsrouter/internal/scan"
	"github.com/wsrouter/wsrouter/payload"
)

var errPlaceholder = errors.New("invalid placeholder")

// putBack takes the placeholders out of an argument, which is valid JSON, and says
// which attachments belong there. A placeholder is an object with
// "_placeholder":true, whatever else it has, in any order. Each attachment is used
// at most once; otherwise a few bytes could become many.
func putBack(arg json.RawMessage, attachments [][]byte, used []bool) (payload.Value, error) {
	if len(attachments) == 0 || !bytes.Contains(arg, placeholderKey) {
		return payload.Value{JSON: arg}, nil
	}
	r := restorer{attachments: attachments, used: used}
	for i := 0; i < len(arg); i++ {
		switch arg[i] {
		case '"':
			end := scan.String(arg, i)
			r.string(arg[i:end], arg[end:])
			r.out.JSON = append(r.out.JSON, arg[i:end]...)
			i = end - 1
			continue
		case '{':
			r.open = append(r.open, object{out: len(r.out.JSON), num: -1})
		case '}':
			replaced, err := r.close()
			if err != nil {
				return payload.Value{}, err
			}
			if replaced {
				continue
			}
		}
		r.out.JSON = append(r.out.JSON, arg[i])
	}
	return r.out, nil
}

// restorer does the work of putBack. It looks at each byte once, because objects
// may be nested thousands deep.
type restorer struct {
	attachments [][]byte
	used        []bool
	open        []object // around the current byte, outermost first
	out         payload.Value
}

type object struct {
	out         int  // where it begins in the result
	placeholder bool // it has "_placeholder":true
	num         int  // the value of "num"; -1 if there is no usable one
}

// string is called for each string; before a colon it is a key of the innermost
// object.
func (r *restorer) string(text, rest []byte) {
	isPlaceholder := bytes.Equal(text, placeholderKey)
	if !isPlaceholder && !bytes.Equal(text, numKey) {
		return
	}
	value, isKey := bytes.CutPrefix(rest[scan.Space(rest, 0):], []byte{':'})
	if !isKey {
		return
	}
	value = value[scan.Space(value, 0):]
	top := &r.open[len(r.open)-1]
	if isPlaceholder {
		top.placeholder = bytes.HasPrefix(value, []byte("true"))
		return
	}
	top.num = -1
	value = value[:min(len(value), maxNum+1)]
	if end := bytes.IndexAny(value, ",} \t\r\n"); end > 0 {
		if n, err := strconv.ParseUint(string(value[:end]), 10, 8); err == nil {
			top.num = int(n)
		}
	}
}

var (
	placeholderKey = []byte(`"_placeholder"`)
	numKey         = []byte(`"num"`)
)

const maxNum = 3 // digits

// close is called at the end of each object.
func (r *restorer) close() (replaced bool, err error) {
	top := r.open[len(r.open)-1]
	r.open = r.open[:len(r.open)-1]
	if !top.placeholder {
		return false, nil
	}
	if top.num < 0 || top.num >= len(r.attachments) || r.used[top.num] {
		return false, errPlaceholder
	}
	r.used[top.num] = true
	r.out.JSON = r.out.JSON[:top.out]
	for n := len(r.out.Attachments); n > 0 && r.out.Attachments[n-1].At > top.out; n-- {
		r.out.Attachments = r.out.Attachments[:n-1] // it was in this object
	}
	r.out.Attachments = append(r.out.Attachments, payload.Attachment{At: top.out, Data: r.attachments[top.num]})
	return true, nil
}
