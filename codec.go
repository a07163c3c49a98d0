package wsrouter

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"unicode/utf8"

	"github.com/wsrouter/wsrouter/internal/scan"
)

// Codec is a variant of the plain protocol, chosen per mount in
// [WSOptions.Codec]. The protocol is written up in PROTOCOL.md.
type Codec uint8

const (
	// JSON is the protocol of PROTOCOL.md and the default.
	JSON Codec = iota

	// NestJSON differs in one thing, for browser clients written against
	// NestJS's WsAdapter: the reply to an event without id is the bare JSON
	// value, without an envelope (a [Response] keeps its envelope, and a nil
	// reply is not sent).
	NestJSON
)

const (
	maxID      = 64          // bytes of a string id
	maxInteger = 1<<53 - 1   // JavaScript's Number.MAX_SAFE_INTEGER
	exception  = "exception" // the event that carries errors
)

// Encode implements [Format].
func (codec Codec) Encode(m *Message) (Frame, error) {
	var b []byte
	var err error
	switch m.Kind {
	case KindEvent:
		b, err = beginEnvelope(m.Event, m.Args)
		if m.ID != "" {
			b = append(append(b, `,"id":`...), m.ID...)
		}
		if m.Credit > 0 {
			b = strconv.AppendInt(append(b, `,"pull":`...), m.Credit, 10)
		}
	case KindReply:
		if m.ID == "" && codec == NestJSON && !m.Named {
			return nestReply(m.Args)
		}
		b, err = beginAnswer(m.Event, m)
	case KindError:
		b, err = beginAnswer(exception, m)
	case KindCancel:
		return textFrame(`{"id":` + m.ID + `,"cancel":true}`), nil
	case KindPull:
		return textFrame(`{"id":` + m.ID + `,"pull":` + strconv.FormatInt(m.Credit, 10) + `}`), nil
	case KindAuth:
		if b, err = AppendJSON([]byte(`{"auth":`), m.Args[0]); err == nil {
			return Frame{Text: append(b, '}')}, nil
		}
	}
	if err != nil || b == nil {
		return Frame{}, err
	}
	return Frame{Text: append(b, '}')}, nil
}

func textFrame(s string) Frame { return Frame{Text: []byte(s)} }

func nestReply(args []any) (Frame, error) {
	if len(args) == 0 || args[0] == nil {
		return Frame{}, nil
	}
	b, err := AppendJSON(nil, args[0])
	return Frame{Text: b}, err
}

// beginAnswer leaves the closing brace to the caller, as beginEnvelope does.
func beginAnswer(event string, m *Message) ([]byte, error) {
	b, err := beginEnvelope(event, m.Args)
	if m.ID == "" || err != nil {
		return b, err
	}
	b = append(append(b, `,"re":`...), m.ID...)
	if m.More {
		b = append(b, `,"more":true`...)
	}
	return b, nil
}

// beginEnvelope makes `{"event":…,"data":…`: no data without arguments, the
// argument itself if there is one, an array of several.
func beginEnvelope(event string, args []any) ([]byte, error) {
	b := make([]byte, 0, 64+len(event)+sizeHint(args))
	b, err := appendString(append(b, `{"event":`...), event)
	if err != nil || len(args) == 0 {
		return b, err
	}
	b = append(b, `,"data":`...)
	if len(args) == 1 {
		return AppendJSON(b, args[0])
	}
	for i, arg := range args {
		b = append(b, "[,"[min(i, 1)])
		if b, err = AppendJSON(b, arg); err != nil {
			return nil, err
		}
	}
	return append(b, ']'), nil
}

// sizeHint is about what the arguments need, where that is known.
func sizeHint(args []any) (n int) {
	for _, arg := range args {
		switch arg := arg.(type) {
		case string:
			n += len(arg)
		case json.RawMessage:
			n += len(arg)
		}
	}
	return n
}

// control is what an inbound frame can be besides a Message.
type control struct {
	auth json.RawMessage // {"auth":…}
	ping json.RawMessage // {"ping":n}
	pong bool
}

// frameError is what a client is told of a frame that is no message of the
// protocol. Where fatal, the connection is closed with 1002 instead.
type frameError struct {
	msg   string
	fatal bool
	id    string // of the request that it spoils
}

func (e *frameError) Error() string { return e.msg }

// envelope is a frame of the plain protocol, its values still JSON; nil means
// that the key was not there.
type envelope struct {
	event, data, id, re, more, cancel, pull, auth, ping, pong json.RawMessage
}

// decodeFrame reads one frame of at most maxName bytes in its event's name. It
// returns a Message, or a control with a nil Message. The Message's arguments
// are parts of data.
func decodeFrame(data []byte, maxName int) (*Message, control, error) {
	env, err := splitFrame(data)
	if err != nil {
		return nil, control{}, err
	}
	switch {
	case env.ping != nil:
		if _, err := integer(env.ping); err != nil {
			return nil, control{}, &frameError{msg: "ping must be an integer from 0 to 2^53-1"}
		}
		return nil, control{ping: env.ping}, nil
	case env.pong != nil:
		return nil, control{pong: true}, nil
	case env.auth != nil:
		return nil, control{auth: env.auth}, nil
	}
	m, err := env.message(maxName)
	if err != nil {
		return nil, control{}, env.spoiled(err)
	}
	m.Size = len(data)
	return m, control{}, nil
}

// spoiled adds the id to the mistake in a request, so that its asker is told.
func (env *envelope) spoiled(err error) error {
	var bad *frameError
	if errors.As(err, &bad) && env.event != nil && env.id != nil && validID(env.id) {
		bad.id = string(env.id)
	}
	return err
}

func (env *envelope) message(maxName int) (*Message, error) {
	var both struct { // in one piece
		m    Message
		args [1]any
	}
	m := &both.m
	if env.re != nil && env.id != nil {
		return nil, &frameError{msg: "id beside re", fatal: true}
	}
	if raw := env.id; raw != nil || env.re != nil {
		if raw == nil {
			raw = env.re
		}
		if !validID(raw) {
			return nil, &frameError{msg: "id must be a string of at most 64 bytes or an integer from 0 to 2^53-1"}
		}
		m.ID = string(raw)
	}
	if env.event != nil {
		if env.event[0] != '"' {
			return nil, &frameError{msg: "event must be a string"}
		}
		m.Event = unquote(env.event)
		if m.Event == "" || len(m.Event) > maxName {
			return nil, &frameError{msg: fmt.Sprintf("event must have 1 to %d bytes", maxName)}
		}
	}
	if env.data != nil {
		both.args[0] = env.data
		m.Args = both.args[:]
	}
	return m, env.kind(m)
}

// kind fills in what kind of message the keys make.
func (env *envelope) kind(m *Message) error {
	var err error
	switch {
	case env.re != nil:
		m.Kind = KindReply
		m.More = string(env.more) == "true"
		if m.Event == exception {
			m.Kind = KindError
		}
		return nil
	case env.id != nil && env.cancel != nil:
		if string(env.cancel) != "true" {
			return &frameError{msg: "cancel must be true"}
		}
		m.Kind = KindCancel
		return nil
	case env.pull != nil && env.id != nil:
		if m.Credit, err = integer(env.pull); err != nil || m.Credit == 0 {
			return &frameError{msg: "pull must be an integer from 1 to 2^53-1"}
		}
		if m.Kind = KindPull; env.event != nil {
			m.Kind = KindEvent
		}
		return nil
	case env.event == nil:
		return &frameError{msg: "a frame needs an event"}
	case m.Event == exception && env.id == nil:
		m.Kind = KindError
	default:
		m.Kind = KindEvent
	}
	return nil
}

var (
	errUTF8   = &frameError{msg: "frame is not valid UTF-8"}
	errSyntax = &frameError{msg: "frame is not valid JSON"}
)

// splitFrame takes a JSON object apart without decoding its values. Keys are
// case-sensitive, the last of equal keys counts, unknown ones are passed over,
// and nothing may follow the object.
func splitFrame(data []byte) (env envelope, err error) {
	if !utf8.Valid(data) {
		return env, errUTF8
	}
	i := scan.Space(data, 0)
	if i == len(data) || data[i] != '{' {
		if end := scan.Value(data, i); end >= 0 && scan.Space(data, end) == len(data) {
			return env, &frameError{msg: "a frame must be a JSON object"}
		}
		return env, errSyntax
	}
	i = scan.Space(data, i+1)
	for first := true; i == len(data) || data[i] != '}'; first = false {
		if !first && i < len(data) && data[i] == ',' {
			i = scan.Space(data, i+1)
		} else if !first {
			return env, errSyntax
		}
		if i = env.member(data, i); i < 0 {
			return env, errSyntax
		}
	}
	if scan.Space(data, i+1) != len(data) {
		return env, errSyntax
	}
	return env, nil
}

// member takes the member that begins at i, and returns the index of what
// follows it; -1 if there is none.
func (env *envelope) member(data []byte, i int) int {
	end := scan.Key(data, i)
	if end < 0 {
		return -1
	}
	key := data[i:scan.String(data, i)]
	i = scan.Space(data, end)
	if end = scan.Value(data, i); end < 0 {
		return -1
	}
	if dst := env.field(key[1 : len(key)-1]); dst != nil {
		*dst = data[i:end:end]
	} else if bytes.IndexByte(key, '\\') >= 0 {
		if dst := env.field([]byte(unquote(key))); dst != nil {
			*dst = data[i:end:end]
		}
	}
	return scan.Space(data, end)
}

func (env *envelope) field(key []byte) *json.RawMessage {
	switch string(key) {
	case "event":
		return &env.event
	case "data":
		return &env.data
	case "id":
		return &env.id
	case "re":
		return &env.re
	case "more":
		return &env.more
	case "cancel":
		return &env.cancel
	case "pull":
		return &env.pull
	case "auth":
		return &env.auth
	case "ping":
		return &env.ping
	case "pong":
		return &env.pong
	}
	return nil
}

// unquote decodes a JSON string that is known to be well formed.
func unquote(raw []byte) string {
	if bytes.IndexByte(raw, '\\') < 0 {
		return string(raw[1 : len(raw)-1])
	}
	var s string
	json.Unmarshal(raw, &s)
	return s
}

// validID reports whether a JSON value may name an exchange. Ids are matched
// and echoed by their bytes, so a number has just one spelling.
func validID(raw json.RawMessage) bool {
	if raw[0] == '"' {
		return len(raw)-2 <= maxID
	}
	_, err := integer(raw)
	return err == nil
}

// integer reads a JSON number from 0 to 2^53-1 without sign, point or exponent.
func integer(raw json.RawMessage) (int64, error) {
	n, err := strconv.ParseUint(string(raw), 10, 64)
	if err != nil || n > maxInteger {
		return 0, errors.New("no such integer")
	}
	return int64(n), nil
}
