package redisbroker

import (
	"encoding/json"
	"time"

	"github.com/tinylib/msgp/msgp"

	"github.com/wsrouter/wsrouter"
)

// This file has what is said on the channels. Broadcasts are MessagePack, requests
// and answers JSON unless they carry arguments.

// channels are the names of one namespace's channels.
type channels struct {
	broadcast string // and, with a room and # behind it, that of the room
	request   string
	response  string
	own       string // where nodes answer that speak to the asker alone
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

// responseTo is the channel that only the node with this uid hears.
func (c channels) responseTo(uid string) string { return c.response + uid + "#" }

// of is the channel of a broadcast: those for one room have one of their own.
func (c channels) of(s wsrouter.Selection) string {
	if len(s.Rooms) == 1 {
		return c.broadcast + s.Rooms[0] + "#"
	}
	return c.broadcast
}

const (
	packetEvent  = 2 // Socket.IO's, with attachments or without
	emitterUID   = "emitter"
	maxArgs      = 1 << 16  // of an event that comes in: each costs much more than its byte
	maxKeepField = 64 << 10 // bytes of a name that is looked at
)

// appendBroadcast appends [uid, packet, opts].
func appendBroadcast(b []byte, uid, namespace string, op *wsrouter.Operation) ([]byte, error) {
	b = msgp.AppendArrayHeader(b, 3)
	b = msgp.AppendString(b, uid)
	b = msgp.AppendMapHeader(b, 3)
	b = msgp.AppendUint64(msgp.AppendString(b, "type"), packetEvent)
	b = msgp.AppendArrayHeader(msgp.AppendString(b, "data"), uint32(1+len(op.Args)))
	b = msgp.AppendString(b, validText(op.Event))
	for _, arg := range op.Args {
		var err error
		if b, err = appendValue(b, arg); err != nil {
			return nil, err
		}
	}
	b = msgp.AppendString(msgp.AppendString(b, "nsp"), namespace)
	b = msgp.AppendMapHeader(b, 3)
	b = appendStrings(msgp.AppendString(b, "rooms"), op.To.Rooms)
	b = appendStrings(msgp.AppendString(b, "except"), op.To.Except)
	b = msgp.AppendString(b, "flags")
	if !op.Volatile {
		return msgp.AppendMapHeader(b, 0), nil
	}
	return msgp.AppendBool(msgp.AppendString(msgp.AppendMapHeader(b, 1), "volatile"), true), nil
}

// message is anything that comes in. Which fields there are depends on the kind.
type message struct {
	uid       string
	requestID string
	kind      int

	namespace string             // of a packet; empty is "/"
	args      []wsrouter.Encoded // of a packet, or the data of a serverSideEmit; the first is the event

	hasOpts  bool
	to       wsrouter.Selection
	volatile bool
	timeout  time.Duration

	rooms     []string
	sid, room string // of old nodes
	close     bool

	sockets []wsrouter.Member // of an answer
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

// readBroadcast reads what appendBroadcast wrote.
func readBroadcast(b []byte) (m *message, err error) {
	if msgp.NextType(b) != msgp.ArrayType {
		return nil, errMalformed
	}
	n, b, err := msgp.ReadArrayHeaderBytes(b)
	if err != nil || n < 3 {
		return nil, errMalformed
	}
	m = &message{kind: requestBroadcast}
	if m.uid, b, err = readKey(b); err != nil {
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

// readMessage reads a request or an answer.
func readMessage(data []byte) (*message, error) {
	if len(data) > 0 && data[0] == '{' {
		packed, err := appendValue(nil, wsrouter.Encoded{JSON: data}) // one reader is enough
		if err != nil {
			return nil, err
		}
		data = packed
	}
	m := &message{kind: -1}
	rest, err := readMap(data, m.field)
	if err != nil || len(rest) > 0 {
		return nil, errMalformed
	}
	return m, nil
}

func (m *message) field(key string, b []byte) (rest []byte, err error) {
	switch key {
	case "uid":
		m.uid, rest, err = readKey(b)
	case "requestId":
		m.requestID, rest, err = readKey(b)
	case "sid":
		m.sid, rest, err = readKey(b)
	case "room":
		m.room, rest, err = readKey(b)
	case "type":
		m.kind, rest, err = msgp.ReadIntBytes(b)
	case "close":
		m.close, rest, err = msgp.ReadBoolBytes(b)
	case "rooms":
		m.rooms, rest, err = readStrings(b)
	case "opts":
		rest, err = m.opts(b)
	case "packet":
		if msgp.NextType(b) != msgp.MapType { // an ack's argument
			return msgp.Skip(b)
		}
		rest, err = m.packet(b)
	case "data":
		if msgp.NextType(b) != msgp.ArrayType {
			return msgp.Skip(b)
		}
		m.args, rest, err = readArgs(b)
	case "sockets":
		rest, err = m.list(b)
	default:
		return msgp.Skip(b)
	}
	return rest, err
}

// packet reads {type, data, nsp}.
func (m *message) packet(b []byte) ([]byte, error) {
	return readMap(b, func(key string, b []byte) (rest []byte, err error) {
		switch key {
		case "data":
			m.args, rest, err = readArgs(b)
			return rest, err
		case "nsp":
			m.namespace, rest, err = readKey(b)
			return rest, err
		}
		return msgp.Skip(b)
	})
}

func readArgs(b []byte) (list []wsrouter.Encoded, rest []byte, err error) {
	if msgp.NextType(b) != msgp.ArrayType {
		return nil, nil, errMalformed
	}
	n, b, err := msgp.ReadArrayHeaderBytes(b)
	if n > maxArgs {
		return nil, nil, errMalformed
	}
	for i := uint32(0); i < n && err == nil; i++ {
		var e wsrouter.Encoded
		e, b, err = readValue(b)
		list = append(list, e)
	}
	return list, b, err
}

// opts reads {rooms, except, flags}.
func (m *message) opts(b []byte) ([]byte, error) {
	if msgp.NextType(b) == msgp.NilType {
		return msgp.ReadNilBytes(b)
	}
	m.hasOpts = true
	return readMap(b, func(key string, b []byte) (rest []byte, err error) {
		switch key {
		case "rooms":
			m.to.Rooms, rest, err = readStrings(b)
		case "except":
			m.to.Except, rest, err = readStrings(b)
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

func (m *message) flag(key string, b []byte) ([]byte, error) {
	switch next := msgp.NextType(b); {
	case key == "volatile" && next == msgp.BoolType:
		v, rest, err := msgp.ReadBoolBytes(b)
		m.volatile = v
		return rest, err
	case key == "timeout" && (next == msgp.IntType || next == msgp.UintType):
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
	n, b, err := msgp.ReadArrayHeaderBytes(b)
	for i := uint32(0); i < n && err == nil; i++ {
		if msgp.NextType(b) != msgp.MapType {
			b, err = msgp.Skip(b)
			continue
		}
		var found wsrouter.Member
		b, err = readMap(b, func(key string, b []byte) (rest []byte, err error) {
			switch key {
			case "id":
				found.ID, rest, err = readKey(b)
			case "rooms":
				found.Rooms, rest, err = readStrings(b)
			case "data":
				var data wsrouter.Encoded
				data, rest, err = readValue(b)
				if raw, _ := wsrouter.AppendJSON(nil, data); string(raw) != "{}" { // Socket.IO's nothing
					found.Data = raw
				}
			default:
				return msgp.Skip(b)
			}
			return rest, err
		})
		if found.ID != "" {
			m.sockets = append(m.sockets, found)
		}
	}
	return b, err
}

// event is the packet's event and its arguments.
func (m *message) event() (name string, args []wsrouter.Encoded, ok bool) {
	if len(m.args) == 0 || len(m.args[0].Attachments) > 0 || len(m.args[0].JSON) > maxKeepField {
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

// opts are what a request selects, and the flags that Node.js expects there.
type requestOpts struct {
	Rooms  []string `json:"rooms"`
	Except []string `json:"except"`
}

func optsOf(s wsrouter.Selection) *requestOpts {
	return &requestOpts{Rooms: list(s.Rooms), Except: list(s.Except)}
}

// list is never nil, which would be null.
func list(names []string) []string { return append([]string{}, names...) }

// request is one of ours. What a kind needs is always there: Node.js does not
// check.
type request struct {
	UID       string       `json:"uid,omitempty"`
	RequestID string       `json:"requestId,omitempty"`
	Type      int          `json:"type"`
	Opts      *requestOpts `json:"opts,omitempty"`
	Rooms     []string     `json:"rooms,omitempty"`
	Close     *bool        `json:"close,omitempty"`
}

// operationRequest is a room operation for the other nodes. Code and reason of a
// disconnect have no place in it.
func operationRequest(uid string, op *wsrouter.Operation) *request {
	r := &request{UID: uid, Opts: optsOf(op.To)}
	switch op.Kind {
	case wsrouter.OpJoin:
		r.Type, r.Rooms = requestJoin, list(op.Rooms)
	case wsrouter.OpLeave:
		r.Type, r.Rooms = requestLeave, list(op.Rooms)
	case wsrouter.OpDisconnect:
		no := false // the namespace, not the client's connection
		r.Type, r.Close = requestDisconnect, &no
	}
	return r
}

// The answers. Their lists are never null.
type (
	idsAnswer struct {
		RequestID string   `json:"requestId"`
		Sockets   []string `json:"sockets"`
	}
	roomsAnswer struct {
		RequestID string   `json:"requestId"`
		Rooms     []string `json:"rooms"`
	}
	fetchAnswer struct {
		RequestID string         `json:"requestId"`
		Sockets   []remoteSocket `json:"sockets"`
	}
	countAnswer struct {
		Type        int    `json:"type"`
		RequestID   string `json:"requestId"`
		ClientCount int    `json:"clientCount"`
	}
	emitAnswer struct {
		Type      int             `json:"type"`
		RequestID string          `json:"requestId"`
		Data      json.RawMessage `json:"data"`
	}
	doneAnswer struct {
		RequestID string `json:"requestId"`
	}
)

// appendAck appends one client's answer to a broadcast.
func appendAck(b []byte, requestID string, answer wsrouter.Encoded) ([]byte, error) {
	b = msgp.AppendMapHeader(b, 3)
	b = msgp.AppendUint64(msgp.AppendString(b, "type"), answerAck)
	b = msgp.AppendString(msgp.AppendString(b, "requestId"), requestID)
	return appendValue(msgp.AppendString(b, "packet"), answer)
}
