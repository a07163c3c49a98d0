package adapter

import (
	"encoding/json"
	"errors"
	"sync"

	"github.com/wsrouter/wsrouter/payload"
)

// Errors of Link.Join that an adapter does not tell its client.
var (
	ErrJoined  = errors.New("wsrouter: namespace is joined already")
	ErrClosing = errors.New("wsrouter: link is closing")
)

// Kind says what a [Message] is.
type Kind uint8

// The kinds. An adapter receives the first five, and KindDisconnect, from its
// client, and encodes all of them; a kind that its wire format has no word for is
// encoded as the zero Frame, which is not sent.
const (
	KindEvent  Kind = iota + 1 // an event; a request if it has an ID
	KindReply                  // the answer to ID, or an item of its stream if More is set
	KindError                  // an exception: the end of ID, or of an event without one
	KindCancel                 // the asker of ID wants no more
	KindPull                   // the asker of ID takes Credit more items

	KindAuth       // the connect payload, sent by a client
	KindConnect    // OnConnect has let the client in; ID is its connection's id
	KindRefuse     // OnConnect has refused it; the argument is a Told
	KindDisconnect // the sender leaves this namespace, but not the link
)

// Message is what goes over a link, whatever the wire format. In the plain protocol:
//
//	{"event":"e","data":1}                     KindEvent, Event
//	{"event":"e","data":1,"id":7}              KindEvent, Event, ID: a request
//	{"event":"e","data":1,"id":7,"pull":9}     likewise, and Credit
//	{"event":"e","data":1,"re":7}              KindReply, Event, ID
//	{"event":"e","data":1,"re":7,"more":true}  likewise, and More
//	{"event":"e","data":1}                     KindReply, Event and no ID: the reply to an event
//	{"event":"exception","data":{…},"re":7}    KindError, ID; the body is the only argument
//	{"event":"exception","data":{…}}           KindError without an ID: an event has failed
//	{"id":7,"cancel":true}                     KindCancel, ID
//	{"id":7,"pull":9}                          KindPull, ID, Credit
//
// Event of a KindError may be the name of the event that failed: the client is told
// "exception" in its place.
type Message struct {
	Kind  Kind
	Arity Arity // of Data
	More  bool  // of KindReply: an item, not the end
	Named bool  // of KindReply: Event was chosen by the handler

	Event string

	// ID names the exchange, as JSON text (7 or "a"); empty is none. It is the
	// asker's: in a KindReply or KindError it is the receiver's own.
	ID     string
	Credit int64 // of KindEvent and KindPull: items the asker takes; 0 is no limit

	Session *Session // of KindConnect: what a client is told that can come back; nil for others

	// Meta goes beside the data of a KindEvent or KindReply: a JSON object of strings,
	// of at most 1,024 bytes; nil is none. A wire format without a place for it leaves
	// it out.
	Meta json.RawMessage

	// Args are what is to be encoded: none, one, or several.
	Args []any

	// Data is what has come: the only argument, or the array of all, as Arity
	// says; the zero Value is no argument, whatever Arity is. It is taken apart as far as a handler asks for it: half a million
	// empty arguments cost a megabyte, and not fifty.
	Data payload.Value

	// Size is how many bytes a message that has come keeps: mostly those on the
	// wire.
	Size int
}

// Arity says how Message.Data stands for the arguments.
type Arity uint8

const (
	ArityUnknown Arity = iota // the wire does not tell several from one array
	ArityOne                  // it is the only argument
	ArityMany                 // it is the array of all
)

// What things cost in memory besides their bytes.
const (
	messageOverhead    = 256 // and the event that it becomes
	frameOverhead      = 64
	attachmentOverhead = 64
)

// Held returns about how many bytes of memory a message costs that has come.
func (m *Message) Held() int {
	return m.Size + messageOverhead + len(m.Data.Attachments)*attachmentOverhead
}

// Told is the argument of KindRefuse: what the client may know.
type Told struct {
	Message string
	Data    any // encoded as JSON; nil is none
}

// Frame is an encoded message. A frame may be shared by many links and is never
// written to.
type Frame struct {
	Text        []byte
	Attachments [][]byte // sent as binary after Text, with nothing in between
	Next        *Frame   // another one that goes with it; nil is none
	Shared      *Shared  // of Text, where many links send it; nil is none
}

// Shared is where a transport keeps what it has made of a frame that many links
// send, compressed text for example: it is made once for all.
type Shared struct {
	once sync.Once
	made []byte
}

// Made returns what create has returned to the first who asked. It must not be
// changed.
func (s *Shared) Made(create func() []byte) []byte {
	s.once.Do(func() { s.made = create() })
	return s.made
}

// Size returns the bytes that are sent.
func (f Frame) Size() int {
	n := len(f.Text)
	for _, a := range f.Attachments {
		n += len(a)
	}
	if f.Next != nil {
		n += f.Next.Size()
	}
	return n
}

// Held returns about how many bytes of memory the frame costs in a queue.
func (f Frame) Held() int {
	n := frameOverhead + len(f.Text)
	for _, a := range f.Attachments {
		n += attachmentOverhead + len(a)
	}
	if f.Next != nil {
		n += f.Next.Held()
	}
	return n
}

// IsZero reports whether there is nothing to send.
func (f Frame) IsZero() bool { return f.Text == nil && f.Attachments == nil }

// Format encodes messages for the wire. Values of it are compared: a broadcast is
// encoded once for all connections whose Formats are equal, so an implementation
// is a small comparable value; Join refuses others. Encode may be called
// concurrently and must not keep m; its error says which argument cannot be
// encoded.
type Format interface {
	Encode(m *Message) (Frame, error)
}
