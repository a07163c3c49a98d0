// Package plain is the protocol of PROTOCOL.md, with one JSON object in each frame.
// codec.go writes frames, frame.go takes them apart, session.go is one end of a
// connection.
package plain

import (
	"encoding/json"
	"strconv"

	"github.com/wsrouter/wsrouter/adapter"
	"github.com/wsrouter/wsrouter/payload"
)

// Codec is a variant of the protocol. It is an [adapter.Format].
type Codec uint8

// The variants of the protocol.
const (
	JSON     Codec = iota // as in PROTOCOL.md
	NestJSON              // replies to events without an id are bare JSON values
)

// Exception is the event that carries errors.
const Exception = "exception"

// Encode implements [adapter.Format].
func (codec Codec) Encode(m *adapter.Message) (adapter.Frame, error) {
	var b []byte
	var err error
	switch m.Kind {
	case adapter.KindEvent:
		b, err = beginEnvelope(m.Event, m)
		if m.ID != "" {
			b = append(append(b, `,"id":`...), m.ID...)
		}
		if m.Credit > 0 {
			b = strconv.AppendInt(append(b, `,"pull":`...), m.Credit, 10)
		}
	case adapter.KindReply:
		if m.ID == "" && codec == NestJSON && !m.Named {
			return nestReply(m.Args)
		}
		b, err = beginAnswer(m.Event, m)
	case adapter.KindError:
		b, err = beginAnswer(Exception, m)
	case adapter.KindCancel:
		return textFrame(`{"id":` + m.ID + `,"cancel":true}`), nil
	case adapter.KindPull:
		return textFrame(`{"id":` + m.ID + `,"pull":` + strconv.FormatInt(m.Credit, 10) + `}`), nil
	case adapter.KindConnect:
		if m.Session != nil {
			return welcome(m.Session), nil
		}
	case adapter.KindAuth:
		if b, err = payload.AppendJSON([]byte(`{"auth":`), m.Args[0]); err == nil {
			return adapter.Frame{Text: append(b, '}')}, nil
		}
	}
	if err != nil || b == nil {
		return adapter.Frame{}, err
	}
	if m.Meta != nil {
		b = append(append(b, `,"meta":`...), m.Meta...)
	}
	return adapter.Frame{Text: append(b, '}')}, nil
}

// welcome returns the frame that tells the client its session.
func welcome(s *adapter.Session) adapter.Frame {
	b := append(append([]byte(`{"session":"`), s.Secret...), `","window":`...)
	b = strconv.AppendInt(b, s.Window.Milliseconds(), 10)
	if s.Resumed {
		b = strconv.AppendUint(append(b, `,"received":`...), s.Received, 10)
	}
	return adapter.Frame{Text: append(b, '}')}
}

// SessionFrame returns the first frame of a client that wants a session, or has
// lost its connection. auth is the frame that would come first without a session;
// it may be zero.
func SessionFrame(lost adapter.Recovery, auth adapter.Frame) adapter.Frame {
	b := append(append([]byte(`{"session":"`), lost.Secret...), '"')
	if lost.Secret != "" {
		b = strconv.AppendUint(append(b, `,"received":`...), lost.Received, 10)
	}
	if !auth.IsZero() {
		b = append(append(b, ','), auth.Text[1:len(auth.Text)-1]...)
	}
	return adapter.Frame{Text: append(b, '}')}
}

func textFrame(s string) adapter.Frame { return adapter.Frame{Text: []byte(s)} }

func nestReply(args []any) (adapter.Frame, error) {
	if len(args) == 0 || len(args) == 1 && args[0] == nil {
		return adapter.Frame{}, nil
	}
	b, err := appendArgs(nil, args)
	return adapter.Frame{Text: b}, err
}

// beginAnswer leaves the closing brace to the caller, as beginEnvelope does.
func beginAnswer(event string, m *adapter.Message) ([]byte, error) {
	b, err := beginEnvelope(event, m)
	if m.ID == "" || err != nil {
		return b, err
	}
	b = append(append(b, `,"re":`...), m.ID...)
	if m.More {
		b = append(b, `,"more":true`...)
	}
	return b, nil
}

// beginEnvelope makes `{"event":…,"data":…`: no data without arguments, a single
// argument as it is, several as an array.
func beginEnvelope(event string, m *adapter.Message) ([]byte, error) {
	b := make([]byte, 0, 64+len(event)+sizeHint(m.Args)+len(m.Meta))
	b = payload.AppendString(append(b, `{"event":`...), event)
	if len(m.Args) == 0 {
		return b, nil
	}
	return appendArgs(append(b, `,"data":`...), m.Args)
}

// appendArgs appends a single argument, or an array of several.
func appendArgs(b []byte, args []any) ([]byte, error) {
	if len(args) == 1 {
		return payload.AppendJSON(b, args[0])
	}
	var err error
	for i, arg := range args {
		b = append(b, "[,"[min(i, 1)])
		if b, err = payload.AppendJSON(b, arg); err != nil {
			return nil, err
		}
	}
	return append(b, ']'), nil
}

// sizeHint returns about how many bytes the arguments need, where that is known.
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
