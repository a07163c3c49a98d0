package redisbroker

import (
	"encoding/json"

	"github.com/tinylib/msgp/msgp"
	"github.com/wsrouter/wsrouter/broker"
	"github.com/wsrouter/wsrouter/payload"
)

// This file writes what this node sends on the channels.

// appendBroadcast appends [uid, packet, opts].
func appendBroadcast(b []byte, uid, namespace string, op *broker.Operation) ([]byte, error) {
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

// requestOpts is what a request selects, and the flags that Node.js expects there.
type requestOpts struct {
	Rooms  []string `json:"rooms"`
	Except []string `json:"except"`
}

func optsOf(s broker.Selection) *requestOpts {
	return &requestOpts{Rooms: list(s.Rooms), Except: list(s.Except)}
}

// list never returns nil, which would be null.
func list(names []string) []string { return append([]string{}, names...) }

// ourRequest is a request to the other nodes. The fields that a kind needs are
// always set: Node.js does not check.
type ourRequest struct {
	UID       string       `json:"uid,omitempty"`
	RequestID string       `json:"requestId,omitempty"`
	Type      int          `json:"type"`
	Opts      *requestOpts `json:"opts,omitempty"`
	Rooms     []string     `json:"rooms,omitempty"`
	Close     *bool        `json:"close,omitempty"`
}

// operationRequest is a room operation for the other nodes. It has no place for the
// code and reason of a disconnect.
func operationRequest(uid string, op *broker.Operation) *ourRequest {
	r := &ourRequest{UID: uid, Opts: optsOf(op.To)}
	switch op.Kind {
	case broker.OpJoin:
		r.Type, r.Rooms = requestJoin, list(op.Rooms)
	case broker.OpLeave:
		r.Type, r.Rooms = requestLeave, list(op.Rooms)
	case broker.OpDisconnect:
		r.Type, r.Close = requestDisconnect, &op.Transport // false must be explicit
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
func appendAck(b []byte, requestID string, answer payload.Value) ([]byte, error) {
	b = msgp.AppendMapHeader(b, 3)
	b = msgp.AppendUint64(msgp.AppendString(b, "type"), answerAck)
	b = msgp.AppendString(msgp.AppendString(b, "requestId"), requestID)
	return appendValue(msgp.AppendString(b, "packet"), answer)
}
