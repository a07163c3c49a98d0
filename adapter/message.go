package adapter

import (
	"encoding/json"
	"errors"
	"sync"

	"github.com/wsrouter/wsrouter/payload"
)

// Errors of Link.Join that an adapter does not pass on to its client.
var (
	ErrJoined  = errors.New("wsrouter: namespace is already joined")
	ErrClosing = errors.New("wsrouter: link is closing")
)

// Kind says what a [Message] is.
type Kind uint8

// The kinds. An adapter receives the first five and KindDisconnect from its client,
// and encodes all of them. A kind that its wire format does not have is encoded as
// the zero Frame, which is not sent.
const (
	KindEvent  Kind = iota + 1 // an event; a request if it has an ID
	KindReply                  // the answer to ID; an item of its stream if More is set
	KindError                  // an exception: ends ID, or the event if there is no ID
	KindCancel                 // the requester of ID cancels
	KindPull                   // the requester of ID takes Credit more items

	KindAuth       // the connect payload, sent by a client
	KindConnect    // OnConnect has let the client in; ID is the connection's id
	KindRefuse     // OnConnect has refused the client; the argument is a Told
	KindDisconnect // the sender leaves this namespace, but not the link
)

// Message is what goes over a link, independent of the wire format. In the plain protocol:
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
// The Event of a KindError may be the name of the event that failed; the client is told
// "exception" instead.
type Message struct {
	Kind  Kind
	Arity Arity // how Data represents the arguments
	More  bool  // KindReply: an item, not the end
	Named bool  // KindReply: the handler chose Event

	Event string

	// ID identifies the exchange, as JSON text (7 or "a"); empty means none. The
	// requester chooses it: in a KindReply or KindError it is the receiver's own.
	ID     string
	Credit int64 // KindEvent, KindPull: how many items the requester takes; 0 means no limit

	Session *Session // KindConnect: for a client that can resume; nil for others

	// Meta is sent beside the data of a KindEvent or KindReply: a JSON object of
	// strings, of at most 1,024 bytes, or nil for none. A wire format without a
	// place for it leaves it out.
	Meta json.RawMessage

	// Args are the arguments to encode: none, one, or several.
	Args []any

	// Data is what was received: the only argument, or the array of all, see Arity.
	// The zero Value is no argument, whatever Arity is. It is decoded only as far as a
	// handler asks: half a million empty arguments cost one megabyte, not fifty.
	Data payload.Value

	// Size is how many bytes a received message keeps in memory, roughly its bytes
	// on the wire.
	Size int
}

// Arity says how Message.Data represents the arguments.
type Arity uint8

const (
	ArityUnknown Arity = iota // the wire does not distinguish several arguments from one array
	ArityOne                  // Data is the only argument
	ArityMany                 // Data is the array of all arguments
)

// What things cost in memory besides their bytes.
const (
	messageOverhead    = 256 // and the event that it becomes
	frameOverhead      = 64
	attachmentOverhead = 64
)

// Held returns roughly how many bytes of memory a received message costs.
func (m *Message) Held() int {
	return m.Size + messageOverhead + len(m.Data.Attachments)*attachmentOverhead
}

// Told is the argument of KindRefuse: what the client may know.
type Told struct {
	Message string
	Data    any // encoded as JSON; nil means none
}

// Frame is an encoded message. It may be shared by many links and must not be
// modified.
type Frame struct {
	Text        []byte
	Attachments [][]byte // sent as binary right after Text
	Next        *Frame   // another frame that goes with it, or nil
	Shared      *Shared  // set if many links send Text, otherwise nil
}

// Shared holds what a transport derives from a frame that many links send, such as
// compressed text, so that it is computed once for all of them. The zero value is
// ready for use.
type Shared struct {
	once sync.Once
	made []byte
}

// Made returns the result of the first call's create; later calls wait for it. The
// result must not be modified. Made is safe for concurrent use.
func (s *Shared) Made(create func() []byte) []byte {
	s.once.Do(func() { s.made = create() })
	return s.made
}

// Size returns how many bytes are sent.
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

// Held returns roughly how many bytes of memory the frame costs in a queue.
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

// Format encodes messages for the wire. Formats are compared with ==: a broadcast
// is encoded once for all connections whose Formats are equal. An implementation
// must therefore be a small comparable value; Join refuses others. Encode must be
// safe for concurrent use and must not keep m. Its error says which argument cannot
// be encoded.
type Format interface {
	Encode(m *Message) (Frame, error)
}
