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

// This file lets a client resume a connection, as socket.io-client does since 4.6:
//
//	server    40{"sid":"…","pid":"…"}              the pid is the connection's secret
//	          42["hello",1,"~1q0v3k9d.1"]          each event ends with an offset
//	          2                                    the pong to this ping proves that it arrived
//
//	client    40{"pid":"…","offset":"~1q0v3k9d.1","token":"the user's"}
//	server    40{"sid":"…","pid":"…"}              as before: the client has resumed
//	          42["hello",2,"~1q0v3k9d.2"]          what it has missed
//
// A client takes the last argument of every event for the offset if it is a string.
// Every event that we keep has an offset, so a string of the application is not
// mistaken for one, except in events from other servers.

// offset is the number of an event of one connection.
type offset struct {
	fence uint64 // of the connection
	n     uint64
}

// seed makes fences that reveal nothing about the secrets.
var seed = maphash.MakeSeed()

// fenceOf distinguishes the offsets of a connection from all other strings.
func fenceOf(secret string) uint64 { return maphash.String(seed, secret) >> 24 }

const (
	offsetMark = '~'
	offsetBase = 36
	offsetHint = 32 // bytes of an offset, as an argument
)

// append appends the offset as it appears in an event, without quotes.
func (o offset) append(b []byte) []byte {
	b = strconv.AppendUint(append(b, offsetMark), o.fence, offsetBase)
	return strconv.AppendUint(append(b, '.'), o.n, offsetBase)
}

// parseOffset reports false if text is not an offset of any connection.
func parseOffset(text []byte) (o offset, ok bool) {
	if len(text) == 0 || text[0] != offsetMark {
		return offset{}, false
	}
	fence, n, _ := bytes.Cut(text[1:], []byte{'.'})
	var err1, err2 error
	o.fence, err1 = strconv.ParseUint(string(fence), offsetBase, 64)
	o.n, err2 = strconv.ParseUint(string(n), offsetBase, 64)
	ok = err1 == nil && err2 == nil && bytes.Equal(text, o.append(make([]byte, 0, offsetHint))) // 1Z and 01z are not offsets
	return o, ok
}

var root = []byte(rootNamespace)

// numbered reports whether a packet of ours is an event that has, or gets, an
// offset, and in which namespace.
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

// takeClaim removes from a connect payload what the client says about a lost
// connection. What remains is the user's. Without a pid it removes nothing.
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

// received returns how many events a client that shows an offset has received. If
// the "offset" is a string of the application, that is unknown, and received
// returns more than can have been sent.
func received(pid string, shown json.RawMessage) uint64 {
	if shown == nil {
		return 0 // it has never received one
	}
	if shown[0] != '"' {
		return math.MaxUint64
	}
	o, ok := parseOffset([]byte(scan.Text(shown)))
	switch {
	case !ok:
		return math.MaxUint64
	case o.fence != fenceOf(pid): // it is of an earlier connection; the client has received nothing of this one
		return 0
	}
	return o.n
}

// arrivals knows what has reached the client in each namespace: what was handed to
// the network before a ping has arrived when the pong comes.
type arrivals struct {
	handed map[string]*offset // the last one
	pinged map[string]offset  // and the last one before the last ping
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

// ping is called before a ping is handed to the network. There is one at a time,
// except with clients that answer pings they have not received, who only harm
// themselves.
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
