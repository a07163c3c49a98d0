package socketio

import (
	"bytes"
	"encoding/json"
	"hash/maphash"
	"math"
	"strconv"

	"github.com/wsrouter/wsrouter/adapter"
	"github.com/wsrouter/wsrouter/internal/scan"
)

// This file is what lets a client come back to a connection, as socket.io-client does
// since 4.6:
//
//	server    40{"sid":"…","pid":"…"}              the pid is the connection's secret
//	          42["hello",1,"~1q0v3k9d.1"]          each event has an offset behind it
//	          2                                    the pong to this ping proves that it has come
//
//	client    40{"pid":"…","offset":"~1q0v3k9d.1","token":"the user's"}
//	server    40{"sid":"…","pid":"…"}              as before, so the client knows that it is back
//	          42["hello",2,"~1q0v3k9d.2"]          what it has missed
//
// A client takes the last argument of every event for the offset, if that is a string.
// What is kept has one, so an application's string can be none, but for events that
// other servers have sent.

// offset is the number of an event of one connection.
type offset struct {
	fence uint64 // the connection's
	n     uint64
}

// seed makes fences that tell nothing of the secrets.
var seed = maphash.MakeSeed()

// fenceOf keeps the offsets of a connection apart from all other strings.
func fenceOf(secret string) uint64 { return maphash.String(seed, secret) >> 24 }

const (
	offsetMark = '~'
	offsetBase = 36
	offsetHint = 32 // bytes of all, as an argument
)

// append appends the offset as it stands in an event, without quotes.
func (o offset) append(b []byte) []byte {
	b = strconv.AppendUint(append(b, offsetMark), o.fence, offsetBase)
	return strconv.AppendUint(append(b, '.'), o.n, offsetBase)
}

// parseOffset reports false for what is no offset of this or any other connection.
func parseOffset(text []byte) (o offset, ok bool) {
	if len(text) == 0 || text[0] != offsetMark {
		return offset{}, false
	}
	fence, n, _ := bytes.Cut(text[1:], []byte{'.'})
	var err1, err2 error
	o.fence, err1 = strconv.ParseUint(string(fence), offsetBase, 64)
	o.n, err2 = strconv.ParseUint(string(n), offsetBase, 64)
	ok = err1 == nil && err2 == nil && bytes.Equal(text, o.append(make([]byte, 0, offsetHint))) // 1Z and 01z are none
	return o, ok
}

var root = []byte(rootNamespace)

// numbered reports whether a packet of ours is an event that has, or gets, an offset,
// and in which namespace.
func numbered(text []byte) (namespace []byte, ok bool) {
	i := 1
	switch text[0] {
	case typeEvent:
	case typeBinaryEvent:
		i = bytes.IndexByte(text, '-') + 1
	default:
		return nil, false
	}
	if text[i] != '/' {
		return root, text[i] == '['
	}
	namespace, rest, _ := bytes.Cut(text[i:], []byte{','})
	return namespace, rest[0] == '['
}

// takeClaim takes what a client says of a connection that it has lost out of its
// connect payload: what is left is the user's. Without a pid nothing is taken.
func takeClaim(auth json.RawMessage) (users json.RawMessage, claim adapter.Recovery) {
	if !bytes.Contains(auth, []byte(`"pid"`)) {
		return auth, adapter.Recovery{}
	}
	users = append(make(json.RawMessage, 0, len(auth)), '{')
	var pid, shown json.RawMessage
	for i := scan.Space(auth, 1); auth[i] != '}'; {
		colon := scan.Key(auth, i)
		end := scan.Value(auth, colon)
		key, value := auth[i:scan.String(auth, i)], auth[scan.Space(auth, colon):end]
		switch string(key) {
		case `"pid"`:
			pid = value
		case `"offset"`:
			shown = value
		default:
			users = append(append(users, auth[i:end]...), ',')
		}
		if i = scan.Space(auth, end); auth[i] == ',' {
			i = scan.Space(auth, i+1)
		}
	}
	if pid == nil || pid[0] != '"' {
		return auth, adapter.Recovery{}
	}
	claim = adapter.Recovery{Secret: scan.Text(pid)}
	claim.Received = received(claim.Secret, shown)
	if len(users) == 1 { // a client without auth sends no payload the first time
		return nil, claim
	}
	users[len(users)-1] = '}'
	return users, claim
}

// received returns how many events a client has got that shows an offset: so many as
// were never sent, if that is a string of an application's, as it cannot be known then.
func received(pid string, shown json.RawMessage) uint64 {
	if shown == nil {
		return 0 // it has never got one
	}
	if shown[0] != '"' {
		return math.MaxUint64
	}
	o, ok := parseOffset([]byte(scan.Text(shown)))
	switch {
	case !ok:
		return math.MaxUint64
	case o.fence != fenceOf(pid): // it is of a connection that the client had before, and has got none of this
		return 0
	}
	return o.n
}

// arrivals is what is known to have come to the client, of each namespace: what was
// handed to the network before a ping is there when its pong comes.
type arrivals struct {
	handed map[string]*offset // the last
	pinged map[string]offset  // and what that was before the last ping
}

// sent notes a packet that was handed to the network.
func (a *arrivals) sent(text []byte) {
	namespace, ok := numbered(text)
	if !ok {
		return
	}
	end := len(text) - len(`"]`)
	o, _ := parseOffset(text[bytes.LastIndexByte(text[:end], '"')+1 : end])
	last := a.handed[string(namespace)]
	if last == nil {
		last = new(offset)
		if a.handed == nil {
			a.handed = make(map[string]*offset)
		}
		a.handed[string(namespace)] = last
	}
	*last = o
}

// ping is called before a ping is handed to the network. There is one at a time, but
// for clients that answer what they have not got, and can harm themselves only.
func (a *arrivals) ping() {
	if len(a.handed) == 0 {
		return
	}
	a.pinged = make(map[string]offset, len(a.handed))
	for namespace, last := range a.handed {
		a.pinged[namespace] = *last
	}
}

// pong returns what has arrived.
func (a *arrivals) pong() map[string]offset {
	arrived := a.pinged
	a.pinged = nil
	return arrived
}
