package socketio

import (
	"testing"

	"github.com/wsrouter/wsrouter/adapter"
)

func BenchmarkDecode(b *testing.B) {
	for name, text := range map[string]string{
		"string": `2["echo","a text of some thirty two bytes"]`,
		"object": `2/chat,17["message",{"room":"lobby","text":"hello, world","at":[1,2,3]}]`,
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				p, err := parsePacket([]byte(text), 256, usualAttachments)
				if err != nil {
					b.Fatal(err)
				}
				var m adapter.Message
				if err := p.message(&m, nil); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkEncode(b *testing.B) {
	type message struct {
		Room, Text string
		At         []int
	}
	for name, arg := range map[string]any{
		"string": "a text of some thirty two bytes",
		"struct": message{"lobby", "hello, world", []int{1, 2, 3}},
		"bytes":  map[string]any{"name": "f", "data": make([]byte, 100)},
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			m := &adapter.Message{Kind: adapter.KindEvent, Event: "message", Args: []any{arg}}
			for b.Loop() {
				if _, err := (format{namespace: "/chat", maxAttachments: usualAttachments}).Encode(m); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
