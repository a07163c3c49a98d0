// Package scratch reuses messages that nobody keeps: those that a Format encodes, and
// those that a Conn takes.
package scratch

import (
	"sync"

	"github.com/wsrouter/wsrouter/adapter"
)

// Message is a message with room for one argument.
type Message struct {
	adapter.Message
	arg [1]any
}

var messages = sync.Pool{New: func() any { return new(Message) }}

// Get returns a zero Message, for one goroutine.
func Get() *Message { return messages.Get().(*Message) }

// Put gives a Message back, which must not be used afterwards.
func (m *Message) Put() {
	*m = Message{}
	messages.Put(m)
}

// SetArg makes v the only argument.
func (m *Message) SetArg(v any) {
	m.arg[0] = v
	m.Args = m.arg[:]
}
