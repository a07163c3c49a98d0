package socketio

import (
	"bytes"
	"encoding/base64"
	"errors"

	"github.com/wsrouter/wsrouter/adapter"
)

// This file is about Engine.IO's packets, which carry Socket.IO's packets. Over
// WebSocket a packet is one message. A text message begins with the type. A binary
// message is the content of a message packet; so is a text message that begins with
// b, in base64, for clients that can only send or receive text. Over polling the
// packets of one request body or response are joined:
//
//	4hello \x1e bAQID      a message "hello", and three bytes in base64

// The packet types of Engine.IO v4.
const (
	engineOpen    = '0'
	engineClose   = '1'
	enginePing    = '2'
	enginePong    = '3'
	engineMessage = '4'
	engineUpgrade = '5'
	engineNoop    = '6'
	engineBase64  = 'b' // content of a message packet

	separator = 0x1e
)

// enginePacket is one packet. A binary packet is always a message.
type enginePacket struct {
	kind   byte
	data   []byte
	binary bool
}

var errEngine = errors.New("parse error")

// parseEngine parses a text packet. The content stays a slice of text unless it is
// base64.
func parseEngine(text []byte) (enginePacket, error) {
	switch {
	case len(text) > 0 && text[0] == engineBase64:
		data, err := base64.StdEncoding.AppendDecode(nil, text[1:])
		if err != nil {
			return enginePacket{}, errEngine
		}
		return enginePacket{kind: engineMessage, data: data, binary: true}, nil
	case len(text) == 0 || text[0] < engineOpen || text[0] > engineNoop:
		return enginePacket{}, errEngine
	}
	return enginePacket{kind: text[0], data: text[1:]}, nil
}

// appendText appends a text packet.
func (p enginePacket) appendText(b []byte) []byte { return append(append(b, p.kind), p.data...) }

// appendPayload appends packets to the response to a poll.
func appendPayload(b []byte, packets []enginePacket) []byte {
	for i, p := range packets {
		if i > 0 {
			b = append(b, separator)
		}
		if p.binary {
			b = base64.StdEncoding.AppendEncode(append(b, engineBase64), p.data)
		} else {
			b = p.appendText(b)
		}
	}
	return b
}

// nextInPayload takes the first packet off a request body, and reports whether a
// separator announces more.
func nextInPayload(body []byte) (p enginePacket, rest []byte, more bool, err error) {
	text, rest, more := bytes.Cut(body, []byte{separator})
	p, err = parseEngine(text)
	return p, rest, more, err
}

// frame returns what the link counts for a packet. It has no content unless the
// packet is a message.
func (p enginePacket) frame() adapter.Frame {
	switch {
	case p.binary:
		return adapter.Frame{Attachments: [][]byte{p.data}}
	case p.kind == engineMessage:
		return adapter.Frame{Text: p.data}
	}
	return adapter.Frame{}
}

// enginePackets appends the messages of frames to list.
func enginePackets(list []enginePacket, batch []adapter.Frame) []enginePacket {
	for _, f := range batch {
		list = append(list, enginePacket{kind: engineMessage, data: f.Text})
		for _, data := range f.Attachments {
			list = append(list, enginePacket{kind: engineMessage, data: data, binary: true})
		}
		if f.Next != nil {
			list = enginePackets(list, []adapter.Frame{*f.Next})
		}
	}
	return list
}
