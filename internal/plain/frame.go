package plain

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"unicode/utf8"

	"github.com/wsrouter/wsrouter/adapter"
	"github.com/wsrouter/wsrouter/internal/meta"
	"github.com/wsrouter/wsrouter/internal/scan"
	"github.com/wsrouter/wsrouter/payload"
)

const (
	maxID = 64 // bytes in a string id

	// MaxInteger is JavaScript's Number.MAX_SAFE_INTEGER.
	MaxInteger = 1<<53 - 1
)

// control is what an inbound frame can be besides a Message.
type control struct {
	auth json.RawMessage // {"auth":…}
	ping json.RawMessage // {"ping":n}
	pong bool

	session  *string // {"session":…}, with auth beside it
	received *uint64 // beside session
	window   uint64  // beside session, in milliseconds
	ack      *uint64 // {"ack":n}
}

// frameError is what a client is told about a frame that is not a message of the
// protocol. If fatal is set, the connection is closed with 1002 instead.
type frameError struct {
	msg   string
	fatal bool
	id    string // of the request whose frame it is
}

func (e *frameError) Error() string { return e.msg }

// envelope is a frame of the plain protocol whose values are still JSON. A nil
// value means that the frame does not have the key.
type envelope struct {
	event, data, id, re, more, cancel, pull, meta, auth, ping, pong json.RawMessage
	session, received, window, ack                                  json.RawMessage
}

// ofSession reads a frame about the session. It reports false, and leaves ctl as it
// is, if the frame is not one, or its values are invalid.
func (env *envelope) ofSession(ctl *control) bool {
	if env.event != nil || env.id != nil || env.re != nil {
		return false
	}
	number := func(raw json.RawMessage) *uint64 {
		n, err := integer(raw)
		if err != nil {
			return nil
		}
		u := uint64(n)
		return &u
	}
	switch {
	case env.session != nil && env.session[0] == '"':
		var received *uint64
		if env.received != nil {
			if received = number(env.received); received == nil {
				return false
			}
		} else if window := number(env.window); window != nil {
			ctl.window = *window
		}
		secret := scan.Text(env.session)
		ctl.session, ctl.received, ctl.auth = &secret, received, env.auth
		return true
	case env.ack != nil:
		ctl.ack = number(env.ack)
		return ctl.ack != nil
	}
	return false
}

// decode reads one frame, in which the name of an event has at most maxName bytes,
// into a Message or a control; the other stays zero. Controls about a session are
// invalid unless session is set. The Message's data and meta are slices of data.
func decode(data []byte, maxName int, session bool, m *adapter.Message, ctl *control) error {
	var env envelope
	if err := env.split(data); err != nil {
		return err
	}
	if session && env.ofSession(ctl) {
		return nil
	}
	switch {
	case env.ping != nil:
		if _, err := integer(env.ping); err != nil {
			return &frameError{msg: "ping must be an integer from 0 to 2^53-1"}
		}
		ctl.ping = env.ping
		return nil
	case env.pong != nil:
		ctl.pong = true
		return nil
	case env.auth != nil:
		ctl.auth = env.auth
		return nil
	}
	m.Size = len(data)
	return env.spoiled(env.message(m, maxName))
}

// spoiled adds the request's id to an error in its frame, if there is one, so that
// the client can tell which request failed.
func (env *envelope) spoiled(err error) error {
	if err == nil {
		return nil
	}
	var bad *frameError
	if errors.As(err, &bad) && env.event != nil && env.id != nil && validID(env.id) {
		bad.id = string(env.id)
	}
	return err
}

// message sets the fields of m.
func (env *envelope) message(m *adapter.Message, maxName int) error {
	m.Data = payload.Value{JSON: env.data}
	if env.re != nil && env.id != nil {
		return &frameError{msg: "id beside re", fatal: true}
	}
	id := env.id
	if id == nil {
		id = env.re
	}
	if id != nil && !validID(id) {
		return &frameError{msg: "id must be a string of at most 64 bytes or an integer from 0 to 2^53-1"}
	}
	if env.event != nil && env.event[0] != '"' {
		return &frameError{msg: "event must be a string"}
	}
	m.Event, m.ID = texts(env.event, id)
	if env.event != nil && (m.Event == "" || len(m.Event) > maxName) {
		return &frameError{msg: fmt.Sprintf("event must have 1 to %d bytes", maxName)}
	}
	if err := env.kind(m); err != nil {
		return err
	}
	return env.addMeta(m)
}

// texts returns an event's name, which is JSON or nil, and an id as it is. Mostly one
// piece of memory has both.
func texts(event, id json.RawMessage) (name, _ string) {
	switch {
	case event == nil:
		return "", string(id)
	case bytes.IndexByte(event, '\\') >= 0:
		return scan.Text(event), string(id)
	}
	both := string(event[1:len(event)-1]) + string(id)
	return both[:len(event)-2], both[len(event)-2:]
}

// addMeta sets what goes beside the data; a cancel and a pull have none.
func (env *envelope) addMeta(m *adapter.Message) error {
	if env.meta == nil || m.Kind == adapter.KindCancel || m.Kind == adapter.KindPull {
		return nil
	}
	if !meta.Valid(env.meta) {
		return &frameError{msg: fmt.Sprintf("meta must be an object of strings of at most %d bytes", meta.Max)}
	}
	m.Meta = env.meta
	return nil
}

// kind sets the kind of message that the keys make.
func (env *envelope) kind(m *adapter.Message) error {
	var err error
	switch {
	case env.re != nil:
		m.Kind = adapter.KindReply
		m.More = string(env.more) == "true"
		if m.Event == Exception {
			m.Kind = adapter.KindError
		}
		return nil
	case env.id != nil && env.cancel != nil:
		if string(env.cancel) != "true" {
			return &frameError{msg: "cancel must be true"}
		}
		m.Kind = adapter.KindCancel
		return nil
	case env.pull != nil && env.id != nil:
		if m.Credit, err = integer(env.pull); err != nil || m.Credit == 0 {
			return &frameError{msg: "pull must be an integer from 1 to 2^53-1"}
		}
		if m.Kind = adapter.KindPull; env.event != nil {
			m.Kind = adapter.KindEvent
		}
		return nil
	case env.event == nil:
		return &frameError{msg: "a frame needs an event"}
	case m.Event == Exception && env.id == nil:
		m.Kind = adapter.KindError
	default:
		m.Kind = adapter.KindEvent
	}
	return nil
}

var (
	errUTF8   = &frameError{msg: "frame is not valid UTF-8"}
	errSyntax = &frameError{msg: "frame is not valid JSON"}
)

// split takes a JSON object apart without decoding its values. Keys are
// case-sensitive. Of equal keys the last one counts, unknown keys are ignored, and
// nothing may follow the object.
func (env *envelope) split(data []byte) error {
	if !utf8.Valid(data) {
		return errUTF8
	}
	i := scan.Space(data, 0)
	if i == len(data) || data[i] != '{' {
		if end := scan.Value(data, i); end >= 0 && scan.Space(data, end) == len(data) {
			return &frameError{msg: "a frame must be a JSON object"}
		}
		return errSyntax
	}
	i = scan.Space(data, i+1)
	for first := true; i == len(data) || data[i] != '}'; first = false {
		if !first && i < len(data) && data[i] == ',' {
			i = scan.Space(data, i+1)
		} else if !first {
			return errSyntax
		}
		if i = env.member(data, i); i < 0 {
			return errSyntax
		}
	}
	if scan.Space(data, i+1) != len(data) {
		return errSyntax
	}
	return nil
}

// member takes the member that begins at i, and returns the index of what follows
// it, or -1 if there is none.
func (env *envelope) member(data []byte, i int) int {
	end := scan.Key(data, i)
	if end < 0 {
		return -1
	}
	quoted := data[i : i+bytes.LastIndexByte(data[i:end], '"')+1]
	key := quoted[1 : len(quoted)-1]
	i = scan.Space(data, end)
	if end = scan.Value(data, i); end < 0 {
		return -1
	}
	dst := env.field(key)
	if dst == nil && bytes.IndexByte(key, '\\') >= 0 {
		dst = env.field([]byte(scan.Text(quoted)))
	}
	if dst != nil {
		*dst = data[i:end:end]
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
	case "meta":
		return &env.meta
	case "auth":
		return &env.auth
	case "ping":
		return &env.ping
	case "pong":
		return &env.pong
	case "session":
		return &env.session
	case "received":
		return &env.received
	case "window":
		return &env.window
	case "ack":
		return &env.ack
	}
	return nil
}

// validID reports whether a JSON value may identify an exchange. Ids are compared
// and echoed by their bytes, so a number has only one spelling.
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
	if err != nil || n > MaxInteger {
		return 0, errors.New("no such integer")
	}
	return int64(n), nil
}
