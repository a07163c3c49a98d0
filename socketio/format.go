package socketio

import (
	"github.com/wsrouter/wsrouter/adapter"
	"github.com/wsrouter/wsrouter/payload"
)

// ErrorMode says how a client is told that an event failed.
type ErrorMode uint8

const (
	// ErrorsBoth emits "exception". If the client asked for an ack it also acks
	// with the same body, so that no caller has to wait for its timeout.
	ErrorsBoth ErrorMode = iota

	// ErrorsAck only acks if the client asked for an ack, and emits "exception"
	// otherwise.
	ErrorsAck

	// ErrorsException emits "exception" and never acks a failure, as NestJS does.
	ErrorsException
)

// format is the wire format of one namespace. It is comparable: a broadcast is
// encoded once for all clients of a namespace.
type format struct {
	namespace      string
	errors         ErrorMode
	maxAttachments int
}

// Encode implements [adapter.Format].
func (f format) Encode(m *adapter.Message) (adapter.Frame, error) {
	switch m.Kind {
	case adapter.KindEvent:
		return f.event(m.Event, m.Args, m.ID)
	case adapter.KindReply:
		return f.reply(m)
	case adapter.KindError:
		return f.failure(m)
	case adapter.KindConnect:
		return f.welcome(m)
	case adapter.KindRefuse:
		return f.refusal(m.Args[0].(adapter.Told))
	case adapter.KindDisconnect:
		return f.plain(typeDisconnect, nil)
	}
	return adapter.Frame{}, nil // Socket.IO has no cancel and no credit
}

// reply acks, or emits if no ack was asked for. The items of a stream and a
// Response are always emitted; if an ack was asked for, it follows them.
func (f format) reply(m *adapter.Message) (adapter.Frame, error) {
	switch {
	case m.ID == "":
		if m.Args == nil {
			return adapter.Frame{}, nil
		}
		return f.event(m.Event, m.Args, "")
	case m.More:
		return f.event(m.Event, m.Args, "")
	case m.Named:
		return f.both(func() (adapter.Frame, error) { return f.event(m.Event, m.Args, "") },
			func() (adapter.Frame, error) { return f.ack(m.ID, nil) })
	}
	return f.ack(m.ID, m.Args)
}

func (f format) failure(m *adapter.Message) (adapter.Frame, error) {
	emit := func() (adapter.Frame, error) { return f.event("exception", m.Args, "") }
	ack := func() (adapter.Frame, error) { return f.ack(m.ID, m.Args) }
	switch {
	case m.ID == "" || f.errors == ErrorsException:
		return emit()
	case f.errors == ErrorsAck:
		return ack()
	}
	return f.both(emit, ack)
}

// both makes one frame of two packets.
func (f format) both(first, second func() (adapter.Frame, error)) (adapter.Frame, error) {
	frame, err := first()
	if err != nil {
		return frame, err
	}
	next, err := second()
	frame.Next = &next
	return frame, err
}

func (f format) event(event string, args []any, id string) (adapter.Frame, error) {
	p := packet{kind: typeEvent, namespace: f.namespace, id: id}
	b := p.append(make([]byte, 0, sizeHint+len(event)))
	head := len(b)
	b = payload.AppendString(append(b, '['), event)
	return p.frame(b, head, args, f.maxAttachments)
}

func (f format) ack(id string, args []any) (adapter.Frame, error) {
	p := packet{kind: typeAck, namespace: f.namespace, id: id}
	b := p.append(make([]byte, 0, sizeHint))
	return p.frame(append(b, '['), len(b), args, f.maxAttachments)
}

// sizeHint is roughly what a packet with little data needs.
const sizeHint = 96

// frame completes an event or ack whose array has been begun in b, after the
// packet's head. If there are attachments, which is rare, the head is rewritten.
func (p *packet) frame(b []byte, head int, args []any, most int) (adapter.Frame, error) {
	b, attachments, err := encodeArgs(b, args, most)
	if err != nil {
		return adapter.Frame{}, err
	}
	b = append(b, ']')
	if p.attachments = len(attachments); p.attachments > 0 {
		p.kind += typeBinaryEvent - typeEvent
		p.data = b[head:]
		b = p.append(nil)
	}
	return adapter.Frame{Text: b, Attachments: attachments}, nil
}

// plain encodes a packet with an object or without data.
func (f format) plain(kind byte, v any) (adapter.Frame, error) {
	p := packet{kind: kind, namespace: f.namespace}
	if v != nil {
		var err error
		if p.data, err = payload.AppendJSON(nil, v); err != nil {
			return adapter.Frame{}, err
		}
	}
	return adapter.Frame{Text: p.append(nil)}, nil
}

// welcome tells the client its connection's id, and how to resume the connection.
func (f format) welcome(m *adapter.Message) (adapter.Frame, error) {
	w := struct {
		SID string `json:"sid"`
		PID string `json:"pid,omitempty"`
	}{SID: m.ID}
	if m.Session != nil {
		w.PID = m.Session.Secret
	}
	return f.plain(typeConnect, w)
}

// Number implements [adapter.Numbering]: an event without an ack id gets its offset
// as one more argument. All other packets are lost with the transport, as with
// Node's server.
func (f format) Number(frame adapter.Frame, secret string, n uint64) (adapter.Frame, bool) {
	if _, ok := numbered(frame.Text); !ok {
		return frame, false
	}
	end := len(frame.Text) - 1
	b := append(make([]byte, 0, len(frame.Text)+offsetHint), frame.Text[:end]...) // others send it, too
	b = offset{fenceOf(secret), n}.append(append(b, `,"`...))
	frame.Text, frame.Shared = append(b, `"]`...), nil
	return frame, true
}

// connectError is what a client's connect_error handler gets.
type connectError struct {
	Message string `json:"message"`
	Data    any    `json:"data,omitempty"`
}

// refusal tells the client why it is not let in, as far as it may know.
func (f format) refusal(told adapter.Told) (adapter.Frame, error) {
	return f.plain(typeConnectError, connectError{told.Message, told.Data})
}
