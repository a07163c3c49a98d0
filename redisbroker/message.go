package redisbroker

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"time"
	"unicode/utf8"
	"unsafe"

	"github.com/tinylib/msgp/msgp"

	"github.com/wsrouter/wsrouter/broker"
	"github.com/wsrouter/wsrouter/payload"
)

// This file reads what arrives on the channels; outgoing.go writes it. Broadcasts
// are MessagePack. Requests and answers are JSON unless they carry arguments.

// channels are the names of one namespace's channels.
type channels struct {
	broadcast string // followed by the room and # for that of a room
	request   string
	response  string
	own       string // for nodes that answer the requester alone
}

func channelsOf(key, namespace, uid string) channels {
	c := channels{
		broadcast: key + "#" + namespace + "#",
		request:   key + "-request#" + namespace + "#",
		response:  key + "-response#" + namespace + "#",
	}
	c.own = c.responseTo(uid)
	return c
}

// responseTo returns the channel that only the node with this uid hears.
func (c channels) responseTo(uid string) string { return c.response + uid + "#" }

// of returns the channel of a broadcast. A single room has its own.
func (c channels) of(s broker.Selection) string {
	if len(s.Rooms) == 1 {
		return c.broadcast + s.Rooms[0] + "#"
	}
	return c.broadcast
}

const (
	packetEvent = 2 // Socket.IO's, with or without attachments
	emitterUID  = "emitter"
	maxArgs     = 1 << 16  // of a received event: each costs much more than its byte
	maxNames    = 10_000   // in To and Except of a selection together, and in a list of rooms
	maxName     = 64 << 10 // bytes of a name
)

var errNames = fmt.Errorf("redisbroker: more than %d rooms", maxNames)

// checkNames refuses what no node would accept.
func checkNames(op *broker.Operation) error {
	if len(op.To.Rooms)+len(op.To.Except) > maxNames || len(op.Rooms) > maxNames {
		return errNames
	}
	return nil
}

// messageOverhead is what a message and the goroutine that answers it cost besides.
const messageOverhead = 8 << 10

// What each element of a list costs, besides texts.
const (
	nameSize   = int(unsafe.Sizeof(""))
	argSize    = int(unsafe.Sizeof(payload.Value{}))
	memberSize = int(unsafe.Sizeof(broker.Member{}))
)

// message is anything received. Which fields are set depends on the kind. Its
// attachments are slices of the bytes that were read.
type message struct {
	size   int // roughly how many bytes it holds
	left   int // how many bytes may still be built
	reader reader

	uid       string
	requestID string
	kind      int

	namespace string          // of a packet; empty means "/"
	args      []payload.Value // of a packet, or the data of a serverSideEmit; the first is the event

	hasOpts  bool
	to       broker.Selection
	volatile bool
	timeout  time.Duration

	rooms     []string
	sid, room string // used by old nodes
	close     bool

	sockets []broker.Member // of an answer
	hasList bool
}

// The kinds of requests and answers.
const (
	requestSockets        = 0
	requestAllRooms       = 1
	requestJoin           = 2
	requestLeave          = 3
	requestDisconnect     = 4
	requestFetch          = 5
	requestServerSideEmit = 6
	requestBroadcast      = 7
	answerClientCount     = 8
	answerAck             = 9
)

// readBroadcast reads what appendBroadcast writes. Neither the message nor what is
// built from it may exceed limit.
func readBroadcast(b []byte, limit int) (m *message, err error) {
	if len(b) > limit {
		return nil, errTooBig
	}
	if msgp.NextType(b) != msgp.ArrayType {
		return nil, errMalformed
	}
	n, b, err := msgp.ReadArrayHeaderBytes(b)
	if err != nil || n < 3 {
		return nil, errMalformed
	}
	m = &message{kind: requestBroadcast, left: limit}
	if m.uid, b, err = m.name(b); err != nil {
		return nil, err
	}
	if b, err = m.packet(b); err != nil {
		return nil, err
	}
	if b, err = m.opts(b); err != nil {
		return nil, err
	}
	for i := uint32(3); i < n && err == nil; i++ {
		b, err = msgp.Skip(b)
	}
	if err != nil || len(b) > 0 {
		return nil, errMalformed
	}
	return m, nil
}

// readMessage reads a request or an answer. Neither the message nor what is built
// from it may exceed limit, and JSON, which is converted first, may not become more
// than 1.5 times that.
func readMessage(data []byte, limit int) (m *message, err error) {
	if len(data) > limit {
		return nil, errTooBig
	}
	if len(data) > 0 && data[0] == '{' {
		if data, err = packRequest(data, limit+limit/2); err != nil { // so that one reader is enough
			return nil, err
		}
	}
	m = &message{kind: -1, left: limit}
	rest, err := readMap(data, m.field)
	m.size = messageOverhead + len(data) + limit - m.left
	if err != nil {
		return nil, err
	}
	if len(rest) > 0 {
		return nil, errMalformed
	}
	return m, nil
}

// packRequest turns JSON into MessagePack unless that takes more than limit.
func packRequest(text []byte, limit int) ([]byte, error) {
	if !utf8.Valid(text) {
		return nil, errMalformed
	}
	w := writer{json: text}
	return w.append(nil, limit)
}

// charge accounts for what is built.
func (m *message) charge(size int) error {
	if m.left -= size; m.left < 0 {
		return errTooBig
	}
	return nil
}

// name reads the name of an event or a room, or an id.
func (m *message) name(b []byte) (name string, rest []byte, err error) {
	var number [32]byte
	key, rest, err := readKey(b, number[:0])
	if err == nil && len(key) > maxName {
		err = errMalformed
	}
	if err == nil {
		err = m.charge(len(key))
	}
	if err != nil {
		return "", nil, err
	}
	return validText(string(key)), rest, nil
}

// array reads the head of an array whose elements cost that many bytes each, and
// charges for them. No element is smaller than one byte.
func (m *message) array(b []byte, each int) (n int, rest []byte, err error) {
	if msgp.NextType(b) != msgp.ArrayType {
		return 0, nil, errMalformed
	}
	announced, rest, err := msgp.ReadArrayHeaderBytes(b)
	if err != nil || int64(announced) > int64(len(rest)) {
		return 0, nil, errMalformed
	}
	n = int(announced)
	return n, rest, m.charge(n * each)
}

// names reads an array of at most that many names; nil counts as empty.
func (m *message) names(b []byte, most int) (list []string, rest []byte, err error) {
	if msgp.NextType(b) == msgp.NilType {
		rest, err = msgp.ReadNilBytes(b)
		return nil, rest, err
	}
	n, b, err := m.array(b, nameSize)
	switch {
	case err != nil:
		return nil, nil, err
	case n > most:
		return nil, nil, errNames
	case n == 0:
		return nil, b, nil
	}
	list = make([]string, n)
	for i := 0; i < n && err == nil; i++ {
		list[i], b, err = m.name(b)
	}
	return list, b, err
}

func (m *message) field(key, b []byte) (rest []byte, err error) {
	switch string(key) {
	case "uid":
		m.uid, rest, err = m.name(b)
	case "requestId":
		m.requestID, rest, err = m.name(b)
	case "sid":
		m.sid, rest, err = m.name(b)
	case "room":
		m.room, rest, err = m.name(b)
	case "type":
		m.kind, rest, err = msgp.ReadIntBytes(b)
	case "close":
		m.close, rest, err = msgp.ReadBoolBytes(b)
	case "rooms":
		m.rooms, rest, err = m.names(b, maxNames)
	case "opts":
		rest, err = m.opts(b)
	case "packet":
		if msgp.NextType(b) != msgp.MapType { // the argument of an ack
			return msgp.Skip(b)
		}
		rest, err = m.packet(b)
	case "data":
		if msgp.NextType(b) != msgp.ArrayType {
			return msgp.Skip(b)
		}
		rest, err = m.readArgs(b)
	case "sockets":
		rest, err = m.list(b)
	default:
		return msgp.Skip(b)
	}
	return rest, err
}

// packet reads {type, data, nsp}.
func (m *message) packet(b []byte) ([]byte, error) {
	return readMap(b, func(key, b []byte) (rest []byte, err error) {
		switch string(key) {
		case "data":
			return m.readArgs(b)
		case "nsp":
			m.namespace, rest, err = m.name(b)
			return rest, err
		}
		return msgp.Skip(b)
	})
}

func (m *message) readArgs(b []byte) (rest []byte, err error) {
	n, b, err := m.array(b, argSize)
	if err != nil {
		return nil, err
	}
	if n > maxArgs {
		return nil, errMalformed
	}
	m.args = make([]payload.Value, n)
	for i := 0; i < n && err == nil; i++ {
		m.args[i], b, err = m.value(b)
	}
	return b, err
}

func (m *message) value(b []byte) (e payload.Value, rest []byte, err error) {
	e, rest, err = m.reader.read(b, m.left)
	if err == nil {
		err = m.charge(sizeOfValue(e))
	}
	return e, rest, err
}

// opts reads {rooms, except, flags}.
func (m *message) opts(b []byte) ([]byte, error) {
	if msgp.NextType(b) == msgp.NilType {
		return msgp.ReadNilBytes(b)
	}
	m.hasOpts = true
	return readMap(b, func(key, b []byte) (rest []byte, err error) {
		switch string(key) {
		case "rooms":
			m.to.Rooms, rest, err = m.names(b, maxNames-len(m.to.Except))
		case "except":
			m.to.Except, rest, err = m.names(b, maxNames-len(m.to.Rooms))
		case "flags":
			if msgp.NextType(b) != msgp.MapType {
				return msgp.Skip(b)
			}
			return readMap(b, m.flag)
		default:
			return msgp.Skip(b)
		}
		return rest, err
	})
}

func (m *message) flag(key, b []byte) ([]byte, error) {
	switch next := msgp.NextType(b); {
	case string(key) == "volatile" && next == msgp.BoolType:
		v, rest, err := msgp.ReadBoolBytes(b)
		m.volatile = v
		return rest, err
	case string(key) == "timeout" && (next == msgp.IntType || next == msgp.UintType):
		ms, rest, err := msgp.ReadInt64Bytes(b)
		m.timeout = time.Duration(min(max(ms, 0), int64(time.Hour/time.Millisecond))) * time.Millisecond
		return rest, err
	}
	return msgp.Skip(b)
}

// list reads the sockets of an answer: ids, or objects.
func (m *message) list(b []byte) ([]byte, error) {
	if msgp.NextType(b) != msgp.ArrayType {
		return msgp.Skip(b)
	}
	m.hasList = true
	n, b, err := m.array(b, memberSize)
	if err != nil {
		return nil, err
	}
	m.sockets = make([]broker.Member, 0, n)
	for i := 0; i < n && err == nil; i++ {
		if msgp.NextType(b) != msgp.MapType {
			b, err = msgp.Skip(b)
			continue
		}
		var found broker.Member
		found, b, err = m.member(b)
		if found.ID != "" && err == nil {
			m.sockets = append(m.sockets, found)
		}
	}
	return b, err
}

func (m *message) member(b []byte) (found broker.Member, rest []byte, err error) {
	rest, err = readMap(b, func(key, b []byte) (rest []byte, err error) {
		switch string(key) {
		case "id":
			found.ID, rest, err = m.name(b)
		case "rooms":
			found.Rooms, rest, err = m.names(b, maxNames)
		case "data":
			found.Data, rest, err = m.data(b)
		default:
			return msgp.Skip(b)
		}
		return rest, err
	})
	return found, rest, err
}

// data reads what the owner of a client has set; nil means nothing.
func (m *message) data(b []byte) (data json.RawMessage, rest []byte, err error) {
	e, rest, err := m.value(b)
	if err != nil {
		return nil, nil, err
	}
	if data = e.JSON; len(e.Attachments) > 0 {
		size := len(e.JSON)
		for _, a := range e.Attachments {
			size += len(`""`) + base64.StdEncoding.EncodedLen(len(a.Data))
		}
		if err := m.charge(size); err != nil {
			return nil, nil, err
		}
		data, _ = payload.AppendJSON(make([]byte, 0, size), e)
	}
	if string(data) == "{}" { // Socket.IO's way to say nothing
		return nil, rest, nil
	}
	return data, rest, nil
}

// event returns the packet's event and its arguments.
func (m *message) event() (name string, args []payload.Value, ok bool) {
	if len(m.args) == 0 || len(m.args[0].Attachments) > 0 || len(m.args[0].JSON) > maxName {
		return "", nil, false
	}
	switch text := m.args[0].JSON; {
	case text[0] == '"':
		return unquote(text), m.args[1:], true
	case text[0] == '-' || '0' <= text[0] && text[0] <= '9':
		return string(text), m.args[1:], true
	}
	return "", nil, false
}

func (m *message) isFor(namespace string) bool {
	return m.namespace == namespace || m.namespace == "" && namespace == "/"
}
