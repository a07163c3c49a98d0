package socketio

import (
	"bytes"
	"encoding/json"
	"errors"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/wsrouter/wsrouter/adapter"
	"github.com/wsrouter/wsrouter/internal/scan"
	"github.com/wsrouter/wsrouter/payload"
)

// This file is about Socket.IO's packets, each of which is the content of one
// Engine.IO message:
//
//	<type>[<attachments>-][<namespace>,][<ack id>][<json>]
//
//	2["hello",1]            an event in the namespace /
//	2/chat,7["hello",1]     one in /chat that asks for an ack with the id 7
//	51-["file",{"_placeholder":true,"num":0}]    one binary message follows

// The packet types of Socket.IO v5.
const (
	typeConnect      = '0'
	typeDisconnect   = '1'
	typeEvent        = '2'
	typeAck          = '3'
	typeConnectError = '4'
	typeBinaryEvent  = '5'
	typeBinaryAck    = '6'
)

const (
	usualAttachments = 10 // like the reference
	maxAckID         = 15 // digits: more than 2^49 acks
	rootNamespace    = "/"
)

// packet is a Socket.IO packet. The data of an event is an array of its name and
// its arguments.
type packet struct {
	kind        byte
	namespace   string
	id          string // digits; empty means none
	data        json.RawMessage
	attachments int // how many follow as binary messages
}

var errPacket = errors.New("invalid packet")

// parsePacket parses the text of a packet. It checks that the data is the JSON that
// the type requires; the data stays a slice of text.
func parsePacket(text []byte, maxName, maxAttachments int) (packet, error) {
	if len(text) == 0 || !utf8.Valid(text) {
		return packet{}, errPacket
	}
	p := packet{kind: text[0], namespace: rootNamespace}
	rest := text[1:]
	if p.kind == typeBinaryEvent || p.kind == typeBinaryAck {
		digits, after, ok := bytes.Cut(rest, []byte("-"))
		n, err := strconv.Atoi(string(digits))
		switch {
		case ok && n > maxAttachments: // Atoi returns the largest number if n is out of range
			return packet{}, tooManyAttachments(maxAttachments)
		case !ok, err != nil, n < 1:
			return packet{}, errPacket
		}
		p.attachments, rest = n, after
	}
	if len(rest) > 0 && rest[0] == '/' {
		name, after, _ := bytes.Cut(rest, []byte(","))
		if len(name) > maxName {
			return packet{}, errPacket
		}
		p.namespace, rest = string(name), after
	}
	var err error
	if p.id, rest, err = cutID(rest); err != nil {
		return packet{}, err
	}
	p.data = rest
	return p, p.check()
}

// cutID cuts off the digits of an ack id. The id is a number: 007 is 7.
func cutID(text []byte) (id string, rest []byte, err error) {
	n := 0
	for n < len(text) && text[n] >= '0' && text[n] <= '9' {
		n++
	}
	if n > maxAckID {
		return "", nil, errPacket
	}
	id = strings.TrimLeft(string(text[:n]), "0")
	if n > 0 && id == "" {
		id = "0"
	}
	return id, text[n:], nil
}

// check applies the rule that each type has for its data.
func (p *packet) check() error {
	has := len(p.data) > 0
	if has {
		if end := scan.Value(p.data, 0); end < 0 || scan.Space(p.data, end) != len(p.data) {
			return errPacket
		}
	}
	array := has && p.data[0] == '['
	ok := false
	switch p.kind {
	case typeConnect:
		ok = !has || p.data[0] == '{'
	case typeDisconnect:
		ok = !has
	case typeEvent, typeBinaryEvent:
		ok = array
	case typeAck, typeBinaryAck:
		ok = array && p.id != ""
	}
	if !ok {
		return errPacket
	}
	return nil
}

// append appends a packet's text. Data may be nil.
func (p *packet) append(b []byte) []byte {
	b = append(b, p.kind)
	if p.attachments > 0 {
		b = append(strconv.AppendInt(b, int64(p.attachments), 10), '-')
	}
	if p.namespace != rootNamespace {
		b = append(append(b, p.namespace...), ',')
	}
	return append(append(b, p.id...), p.data...)
}

// message makes m the packet as a Conn takes it, with the attachments that followed.
func (p *packet) message(m *adapter.Message, attachments [][]byte) (err error) {
	m.ID = p.id
	if p.kind == typeDisconnect {
		m.Kind = adapter.KindDisconnect
		return nil
	}
	if len(p.data) == 0 || p.data[0] != '[' { // a CONNECT
		return errPacket
	}
	m.Kind = adapter.KindReply
	i := scan.Space(p.data, 1)
	if p.kind == typeEvent || p.kind == typeBinaryEvent {
		m.Kind = adapter.KindEvent
		if m.Event, i, err = takeName(p.data, i); err != nil {
			return err
		}
	}
	if p.data[i] == ']' {
		return nil
	}
	arg, arity := arguments(p.data, i)
	m.Arity = arity
	if len(attachments) == 0 {
		m.Data = payload.Value{JSON: arg}
		return nil
	}
	m.Data, err = putBack(arg, attachments, make([]bool, len(attachments)))
	return err
}

// arguments returns the elements of a valid JSON array from index i on: the element
// itself if it is the last, otherwise an array. There may be very many.
func arguments(array json.RawMessage, i int) (arg json.RawMessage, arity adapter.Arity) {
	end := scan.Value(array, i)
	if array[scan.Space(array, end)] == ']' {
		return array[i:end:end], adapter.ArityOne
	}
	return append(json.RawMessage{'['}, array[i:]...), adapter.ArityMany
}

// takeName returns the event's name, which is the element at i of an event's data,
// and where the next element begins or the array ends.
func takeName(data json.RawMessage, i int) (event string, next int, err error) {
	if data[i] == ']' {
		return "", 0, errPacket
	}
	end := scan.Value(data, i)
	event, err = eventName(data[i:end])
	if i = scan.Space(data, end); data[i] == ',' {
		i = scan.Space(data, i+1)
	}
	return event, i, err
}

// eventName returns the first element of an event's data: a string that is not
// reserved, or a number.
func eventName(first json.RawMessage) (event string, err error) {
	switch {
	case first[0] == '"' && bytes.IndexByte(first, '\\') < 0:
		event = string(first[1 : len(first)-1])
	case first[0] == '"':
		json.Unmarshal(first, &event)
	case first[0] == '-' || first[0] >= '0' && first[0] <= '9':
		event = string(first)
	default:
		return "", errPacket
	}
	if reservedEvents[event] {
		return "", errPacket
	}
	return event, nil
}

var reservedEvents = map[string]bool{
	"connect": true, "connect_error": true, "disconnect": true, "disconnecting": true,
	"newListener": true, "removeListener": true,
}
