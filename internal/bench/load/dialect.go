package load

import (
	"bytes"
	"encoding/json"
	"fmt"
)

// A dialect is what a kind of server speaks inside WebSocket frames.
type dialect struct {
	path string

	// hello is the exchange after the upgrade: what to send, and the part of a
	// message to wait for after it. An empty send only waits.
	hello []step

	// encode makes a message that requests an event; decode reads an answer or a
	// broadcast.
	encode func(event, data string) ([]byte, error)
	decode func(payload []byte) (event, data string, err error)

	// ping and pong are the protocol's own heartbeat, if it has one.
	ping, pong []byte

	// ack is the answer to an event that is only broadcast, if there is one.
	ack []byte

	// lines says that a frame may hold several messages, one a line.
	lines bool
}

type step struct{ send, want string }

var dialects = map[string]*dialect{
	"plain": {
		path:   "/ws",
		encode: encodePlain,
		decode: decodePlain,
	},
	"socketio": {
		path:   "/socket.io/?EIO=4&transport=websocket",
		hello:  []step{{"", `0{`}, {"40", `40{`}},
		encode: encodeSocketIO,
		decode: decodeSocketIO,
		ping:   []byte("2"),
		pong:   []byte("3"),
	},
	"centrifuge": {
		path:   "/ws",
		hello:  []step{{`{"id":1,"connect":{}}`, `"connect"`}},
		encode: encodeCentrifuge,
		decode: decodeCentrifuge,
		ping:   []byte("{}"),
		pong:   []byte("{}"),
		ack:    []byte(`{"id":7,"rpc":{}}`),
		lines:  true,
	},
}

func dialectOf(name string) (*dialect, error) {
	d, ok := dialects[name]
	if !ok {
		return nil, fmt.Errorf("no dialect %q", name)
	}
	return d, nil
}

type envelope struct {
	Event string `json:"event"`
	Data  string `json:"data"`
}

func encodePlain(event, data string) ([]byte, error) {
	return json.Marshal(envelope{event, data})
}

func decodePlain(payload []byte) (event, data string, err error) {
	var e envelope
	err = json.Unmarshal(payload, &e)
	return e.Event, e.Data, err
}

func encodeSocketIO(event, data string) ([]byte, error) {
	b, err := json.Marshal([]string{event, data})
	return append([]byte("42"), b...), err
}

func decodeSocketIO(payload []byte) (event, data string, err error) {
	array, ok := bytes.CutPrefix(payload, []byte("42"))
	if !ok {
		return "", "", fmt.Errorf("%.100q is not an event", payload)
	}
	var args []string
	if err := json.Unmarshal(array, &args); err != nil {
		return "", "", err
	}
	if len(args) != 2 {
		return "", "", fmt.Errorf("%.100q is not a name and one argument", payload)
	}
	return args[0], args[1], nil
}

type centrifugeRPC struct {
	ID  int `json:"id"`
	RPC struct {
		Method string `json:"method"`
		Data   string `json:"data"`
	} `json:"rpc"`
}

// encodeCentrifuge gives every command the same id: the server only returns it, and
// equal answers are quick to compare.
func encodeCentrifuge(event, data string) ([]byte, error) {
	c := centrifugeRPC{ID: 7}
	c.RPC.Method, c.RPC.Data = event, data
	return json.Marshal(c)
}

// decodeCentrifuge reads an answer as the event "echo", and a publication as the
// event that its channel is named after.
func decodeCentrifuge(payload []byte) (event, data string, err error) {
	var reply struct {
		ID  int `json:"id"`
		RPC struct {
			Data string `json:"data"`
		} `json:"rpc"`
		Push struct {
			Channel string `json:"channel"`
			Pub     struct {
				Data string `json:"data"`
			} `json:"pub"`
		} `json:"push"`
	}
	if err := json.Unmarshal(payload, &reply); err != nil {
		return "", "", err
	}
	if reply.ID != 0 {
		return "echo", reply.RPC.Data, nil
	}
	return reply.Push.Channel, reply.Push.Pub.Data, nil
}
