package socketio

import (
	"bytes"
	"encoding/base64"
	"errors"
	"strconv"
)

var errPlaceholder = errors.New("invalid placeholder")

// putBack replaces the placeholders in an event's data, which is valid JSON, by
// base64 strings: that is what encoding/json reads into a []byte. A placeholder
// is an object with "_placeholder":true, whatever else it has, and in whatever
// order. Each attachment is used at most once: otherwise few bytes could become
// many.
func putBack(data []byte, attachments [][]byte) ([]byte, error) {
	if !bytes.Contains(data, placeholderKey) {
		return data, nil
	}
	r := restorer{attachments: attachments, used: make([]bool, len(attachments))}
	for i := 0; i < len(data); i++ {
		switch data[i] {
		case '"':
			end := stringEnd(data, i)
			r.string(data[i:end], data[end:])
			r.out = append(r.out, data[i:end]...)
			i = end - 1
			continue
		case '{':
			r.open = append(r.open, object{out: len(r.out), num: -1})
		case '}':
			replaced, err := r.close()
			if err != nil {
				return nil, err
			}
			if replaced {
				continue
			}
		}
		r.out = append(r.out, data[i])
	}
	return r.out, nil
}

// restorer is putBack on its way through the JSON. It looks at each byte once: an
// object may be in an object, thousands deep.
type restorer struct {
	attachments [][]byte
	used        []bool
	open        []object // around the current byte, from the outermost
	out         []byte
}

type object struct {
	out         int  // where it begins in the result
	placeholder bool // it has "_placeholder":true
	num         int  // what it has as "num"; -1 is nothing that can be one
}

// string sees each string; before a colon it is a key of the innermost object.
func (r *restorer) string(text, rest []byte) {
	isPlaceholder := bytes.Equal(text, placeholderKey)
	if !isPlaceholder && !bytes.Equal(text, numKey) {
		return
	}
	value, isKey := bytes.CutPrefix(skipSpace(rest), []byte{':'})
	if !isKey {
		return
	}
	value = skipSpace(value)
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

// close sees the end of each object.
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
	r.out = base64.StdEncoding.AppendEncode(append(r.out[:top.out], '"'), r.attachments[top.num])
	r.out = append(r.out, '"')
	return true, nil
}

func skipSpace(data []byte) []byte { return bytes.TrimLeft(data, " \t\r\n") }

// stringEnd returns where the string that begins at i ends.
func stringEnd(data []byte, i int) int {
	for i++; data[i] != '"'; i++ {
		if data[i] == '\\' {
			i++
		}
	}
	return i + 1
}
