package serve

import (
	"encoding/json"
	"errors"
)

// handlers are the events of the servers written by hand, on libraries without
// events. A handler returns what to send to the client, or to everybody.
var handlers = map[string]func(data json.RawMessage) (answer answer, err error){
	"echo": func(data json.RawMessage) (answer, error) {
		var text string
		if err := json.Unmarshal(data, &text); err != nil {
			return answer{}, err
		}
		return encode("echo", text, false)
	},
	"broadcast": func(data json.RawMessage) (answer, error) {
		var text string
		if err := json.Unmarshal(data, &text); err != nil {
			return answer{}, err
		}
		return encode("news", text, true)
	},
}

type answer struct {
	frame     []byte
	everybody bool
}

func encode(event string, data any, everybody bool) (answer, error) {
	frame, err := json.Marshal(struct {
		Event string `json:"event"`
		Data  any    `json:"data"`
	}{event, data})
	return answer{frame, everybody}, err
}

// handle is what such a server does with a frame.
func handle(frame []byte) (answer, error) {
	var message struct {
		Event string          `json:"event"`
		Data  json.RawMessage `json:"data"`
	}
	if err := json.Unmarshal(frame, &message); err != nil {
		return answer{}, err
	}
	handler, ok := handlers[message.Event]
	if !ok {
		return answer{}, errors.New("no such event")
	}
	return handler(message.Data)
}
