package socketio

import (
	"bytes"
	"encoding/base64"
	"errors"
)

// This file is Engine.IO's packets: the layer that Socket.IO's packets travel
// on. Over WebSocket a packet is one message: a text message begins with the
// type, a binary one is the content of a message packet. Over polling the
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

	separator = 0x1e
)

// enginePacket is one packet; the content of a binary one is always a message.
type enginePacket struct {
	kind   byte
	data   []byte
	binary bool
}

var errEngine = errors.New("parse error")

// parseEngine reads a text packet, whose content stays a part of text.
func parseEngine(text []byte) (enginePacket, error) {
	if len(text) == 0 || text[0] < engineOpen || text[0] > engineNoop {
		return enginePacket{}, errEngine
	}
	return enginePacket{kind: text[0], data: text[1:]}, nil
}

// appendEngine appends a text packet.
func (p enginePacket) appendText(b []byte) []byte { return append(append(b, p.kind), p.data...) }

// appendPayload appends packets to a poll's response.
func appendPayload(b []byte, packets []enginePacket) []byte {
	for i, p := range packets {
		if i > 0 {
			b = append(b, separator)
		}
		if p.binary {
			b = base64.StdEncoding.AppendEncode(append(b, 'b'), p.data)
		} else {
			b = p.appendText(b)
		}
	}
	return b
}

// nextInPayload takes the first packet off a request body.
func nextInPayload(body []byte) (p enginePacket, rest []byte, err error) {
	text, rest, _ := bytes.Cut(body, []byte{separator})
	if len(text) == 0 || text[0] != 'b' {
		p, err = parseEngine(text)
		return p, rest, err
	}
	data, err := base64.StdEncoding.AppendDecode(nil, text[1:])
	if err != nil {
		return enginePacket{}, nil, errEngine
	}
	return enginePacket{kind: engineMessage, data: data, binary: true}, rest, nil
}
