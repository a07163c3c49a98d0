package cluster

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"time"
)

// Values are JSON. What JSON cannot express is {"$bytes": base64}, {"$date": ISO}
// or {"$undefined": true}, as in node/wire.mjs.

// tagged returns the tag of a value and what it stands for, or "" if it has none.
func tagged(v any) (tag, text string) {
	m, ok := v.(map[string]any)
	if !ok || len(m) != 1 {
		return "", ""
	}
	for key, value := range m {
		switch key {
		case "$bytes", "$date", "$undefined":
			text, _ = value.(string)
			return key, text
		}
	}
	return "", ""
}

// change returns a value in which each tagged value is changed. Those that leaf
// does not keep are removed from maps, and are nil in lists.
func change(v any, leaf func(tag, text string) (any, bool)) (any, bool) {
	if tag, text := tagged(v); tag != "" {
		return leaf(tag, text)
	}
	switch v := v.(type) {
	case []any:
		list := make([]any, len(v))
		for i, item := range v {
			list[i], _ = change(item, leaf)
		}
		return list, true
	case map[string]any:
		m := make(map[string]any, len(v))
		for key, item := range v {
			if item, ok := change(item, leaf); ok {
				m[key] = item
			}
		}
		return m, true
	}
	return v, true
}

// parse decodes JSON, with numbers as they are written.
func parse(data []byte) any {
	var v any
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		panic(err) // it is from the table, or from one of our scripts
	}
	return v
}

// inGo returns arguments with Go's values in place of the tags.
func inGo(args json.RawMessage) []any {
	list, _ := change(parse(args), func(tag, text string) (any, bool) {
		switch tag {
		case "$bytes":
			return unbase64(text), true
		case "$date":
			at, err := time.Parse(time.RFC3339Nano, text)
			if err != nil {
				panic(err)
			}
			return at, true
		}
		return nil, false
	})
	return list.([]any)
}

func unbase64(text string) []byte {
	b, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		panic(err)
	}
	return b
}

// inJSON returns what clients receive: bytes as they are, or as base64.
func inJSON(v any, asBase64 bool) any {
	v, _ = change(v, func(tag, text string) (any, bool) {
		switch tag {
		case "$bytes":
			if asBase64 {
				return text, true
			}
			return map[string]any{tag: text}, true
		case "$date":
			return text, true
		}
		return nil, false
	})
	return v
}

// canonical writes a value so that equal values are equal texts. Numbers are those
// of JavaScript.
func canonical(v any) string {
	data, err := json.Marshal(v)
	if err == nil {
		err = json.Unmarshal(data, &v)
	}
	if err == nil {
		data, err = json.Marshal(v)
	}
	if err != nil {
		panic(err)
	}
	return string(data)
}
