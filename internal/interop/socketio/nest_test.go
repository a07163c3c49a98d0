package socketio

import (
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/wsrouter/wsrouter"
	"github.com/wsrouter/wsrouter/internal/interop/process"
	"github.com/wsrouter/wsrouter/internal/loopback"
	"github.com/wsrouter/wsrouter/socketio"
)

// TestSamples runs NestJS's samples and those of docs/from-nestjs.md, and compares
// their frames.
func TestSamples(t *testing.T) {
	for n, sample := range []struct {
		name        string
		differences map[string]difference
	}{
		{"02", map[string]difference{
			"identity without an ack": {
				node: []string{"open"}, ours: []string{`42["identity",7]`, "open"},
				why: "plain replies are emitted",
			},
			"events with an ack": {
				node: []string{`42["events",1]`, `42["events",2]`, `42["events",3]`, "open"},
				ours: []string{`42["events",1]`, `42["events",2]`, `42["events",3]`, "430[]", "open"},
				why:  "every ack comes",
			},
		}},
		{"16", nil},
	} {
		t.Run(sample.name, func(t *testing.T) {
			ours := serve(t, buildSample(t, n), loopback.Hold(t))
			compare(t, "nestcases:sample"+sample.name, startNest(t, sample.name), "http://"+ours.addr, sample.differences)
		})
	}
}

// startNest starts NestJS with a gateway of node/nest.mjs.
func startNest(t *testing.T, gateway string) (url string) {
	t.Helper()
	process.Need(t, process.NPM("@nestjs/core"), process.NPM("@nestjs/platform-express"), process.NPM("@nestjs/platform-socket.io"), process.NPM("@nestjs/platform-ws"), process.NPM("ws"))
	process.Node(t, "nest.mjs", gateway).Read(t, &url)
	return url
}

const (
	emptyBody  = `{"status":"error","message":"数据不能为空！"}`
	hiddenBody = `{"status":"error","message":"Internal server error"}`
	failBody   = `{"status":"error","message":"not today","code":"E_FAIL","data":{"retry":true}}`
	nobodyBody = `{"status":"error","message":"no such event","code":"not_found"}`

	emptyCause     = `{"status":"error","message":"数据不能为空！","cause":{"pattern":"events"}}`
	emptyNullCause = `{"status":"error","message":"数据不能为空！","cause":{"pattern":"events","data":null}}`
	hiddenCause    = `{"status":"error","message":"Internal server error","cause":{"pattern":"boom"}}`
)

// The reasons for differences are the points of docs/from-nestjs.md.
const (
	errorsAck  = "2: errors ack"
	everyAck   = "3: every ack comes"
	emitted    = "4: plain replies are emitted"
	bare       = "4: plain replies are events"
	noCause    = "6: no cause"
	malformed  = "7: malformed frames get an exception"
	correlated = "an id asks for an answer"
)

// ackDifferences are those that no option removes.
var ackDifferences = map[string]difference{
	"connect again": {
		node: closed, ours: []string{`40{"sid":"$sid"}`, "open"},
		why: "the second answer may have crossed the question; nobody is harmed by it",
	},
	"a value without an ack": {
		node: []string{"open"}, ours: []string{`42["events","x"]`, "open"}, why: emitted,
	},
	"an emit and a value without an ack": {
		node: []string{`42["custom","Hey there!"]`, "open"},
		ours: []string{`42["custom","Hey there!"]`, `42["custom",[1]]`, "open"}, why: emitted,
	},
	"a response, with an ack": {
		node: []string{`42["events","x"]`, "open"}, ours: []string{`42["events","x"]`, "430[]", "open"}, why: everyAck,
	},
	"a stream, with an ack": {
		node: []string{`42["events",1]`, `42["events",2]`, `42["events",3]`, "open"},
		ours: []string{`42["events",1]`, `42["events",2]`, `42["events",3]`, "430[]", "open"}, why: everyAck,
	},
	"to everyone, with an ack": {
		node: []string{`42["cast",{"n":1}]`, "open"}, ours: []string{`42["cast",{"n":1}]`, "430[]", "open"}, why: everyAck,
	},
}

// gatewayIO are those of examples/gateway over Socket.IO.
var gatewayIO = with(ackDifferences, map[string]difference{
	"nothing": {
		node: []string{`42["exception",` + emptyCause + `]`, "open"},
		ours: []string{`42["exception",` + emptyBody + `]`, "open"}, why: noCause,
	},
	"null": {
		node: []string{`42["exception",` + emptyNullCause + `]`, "open"},
		ours: []string{`42["exception",` + emptyBody + `]`, "open"}, why: noCause,
	},
	"nothing, with an ack": {
		node: []string{`42["exception",` + emptyCause + `]`, "open"},
		ours: []string{`42["exception",` + emptyBody + `]`, `430[` + emptyBody + `]`, "open"}, why: errorsAck,
	},
	"a failure, with an ack": {
		node: []string{`42["exception",` + failBody + `]`, "open"},
		ours: []string{`42["exception",` + failBody + `]`, `430[` + failBody + `]`, "open"}, why: errorsAck,
	},
	"a hidden failure": {
		node: []string{`42["exception",` + hiddenCause + `]`, "open"},
		ours: []string{`42["exception",` + hiddenBody + `]`, "open"}, why: noCause,
	},
	"a hidden failure, with an ack": {
		node: []string{`42["exception",` + hiddenCause + `]`, "open"},
		ours: []string{`42["exception",` + hiddenBody + `]`, `430[` + hiddenBody + `]`, "open"}, why: errorsAck,
	},
	"an unknown event, with an ack": {
		node: []string{"open"},
		ours: []string{`42["exception",` + nobodyBody + `]`, `430[` + nobodyBody + `]`, "open"}, why: everyAck,
	},
})

// malformedWS are those over plain WebSocket that no option removes.
var malformedWS = map[string]difference{
	"keys of another case": {
		node: []string{"open"},
		ours: []string{`{"event":"exception","data":{"status":"error","message":"a frame needs an event","code":"invalid"}}`, "open"},
		why:  malformed,
	},
	"no JSON": {
		node: []string{"open"},
		ours: []string{`{"event":"exception","data":{"status":"error","message":"frame is not valid JSON","code":"invalid"}}`, "open"},
		why:  malformed,
	},
	"an array": {
		node: []string{"open"},
		ours: []string{`{"event":"exception","data":{"status":"error","message":"a frame must be a JSON object","code":"invalid"}}`, "open"},
		why:  malformed,
	},
	"a request": {
		node: []string{"1", "open"}, ours: []string{`{"event":"events","data":1,"re":7}`, "open"}, why: correlated,
	},
}

// gatewayWS are those of examples/gateway over plain WebSocket.
var gatewayWS = with(malformedWS, map[string]difference{
	"a value": {
		node: []string{`{"a":[1,"é",null]}`, "open"},
		ours: []string{`{"event":"events","data":{"a":[1,"é",null]}}`, "open"}, why: bare,
	},
	"a value of 0": {node: []string{"0", "open"}, ours: []string{`{"event":"events","data":0}`, "open"}, why: bare},
	"one property": {node: []string{"7", "open"}, ours: []string{`{"event":"id","data":7}`, "open"}, why: bare},
	"unknown keys": {node: []string{"1", "open"}, ours: []string{`{"event":"events","data":1}`, "open"}, why: bare},
	"an event in a binary frame": {
		node: []string{"1", "open"}, ours: []string{`{"event":"events","data":1}`, "open"}, why: bare,
	},
	"an emit and a value": {
		node: []string{`{"event":"custom","data":"Hey there!"}`, "[1]", "open"},
		ours: []string{`{"event":"custom","data":"Hey there!"}`, `{"event":"custom","data":[1]}`, "open"}, why: bare,
	},
	"nothing": {
		node: []string{`{"event":"exception","data":` + emptyCause + `}`, "open"},
		ours: []string{`{"event":"exception","data":` + emptyBody + `}`, "open"}, why: noCause,
	},
	"null": {
		node: []string{`{"event":"exception","data":` + emptyNullCause + `}`, "open"},
		ours: []string{`{"event":"exception","data":` + emptyBody + `}`, "open"}, why: noCause,
	},
	"a hidden failure": {
		node: []string{`{"event":"exception","data":` + hiddenCause + `}`, "open"},
		ours: []string{`{"event":"exception","data":` + hiddenBody + `}`, "open"}, why: noCause,
	},
})

// TestNestGateway compares NestJS with examples/gateway.
func TestNestGateway(t *testing.T) {
	gateway := serve(t, buildGateway(t), loopback.Hold(t))
	t.Run("socket.io", func(t *testing.T) {
		compare(t, "nestcases:tourIO", startNest(t, "tourIO"), "http://"+gateway.addr, gatewayIO)
	})
	t.Run("plain", func(t *testing.T) {
		compare(t, "nestcases:tourWS", startNest(t, "tourWS"), "http://"+gateway.addr, gatewayWS)
	})
}

// TestNestOptions compares NestJS with a router that has the options with which, as
// the page says, frames are NestJS's.
func TestNestOptions(t *testing.T) {
	router := newTour()
	mux := http.NewServeMux()
	mux.Handle("/ws", router.Handler(&wsrouter.WSOptions{Codec: wsrouter.NestJSON}))
	mux.Handle("/socket.io/", socketio.New(router, &socketio.Options{Errors: socketio.ErrorsException}))
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	t.Cleanup(func() { router.Close() })
	t.Run("socket.io", func(t *testing.T) {
		compare(t, "nestcases:tourIO", startNest(t, "tourIO"), server.URL, optionsIO)
	})
	t.Run("plain", func(t *testing.T) {
		compare(t, "nestcases:tourWS", startNest(t, "tourWS"), server.URL, optionsWS)
	})
}

// verbatim is why a WsException made from an object has no cause in NestJS.
const verbatim = "6: NestJS sends an object as it is, without a cause"

const (
	failCause   = `{"status":"error","message":"not today","code":"E_FAIL","data":{"retry":true},"cause":{"pattern":"fail"}}`
	nobodyCause = `{"status":"error","message":"no such event","code":"not_found","cause":{"pattern":"nobody","data":1}}`
)

var optionsIO = with(ackDifferences, map[string]difference{
	"a failure": {
		node: []string{`42["exception",` + failBody + `]`, "open"},
		ours: []string{`42["exception",` + failCause + `]`, "open"}, why: verbatim,
	},
	"a failure, with an ack": {
		node: []string{`42["exception",` + failBody + `]`, "open"},
		ours: []string{`42["exception",` + failCause + `]`, "open"}, why: verbatim,
	},
	"an unknown event, with an ack": {
		node: []string{"open"}, ours: []string{`42["exception",` + nobodyCause + `]`, "open"}, why: everyAck,
	},
})

var optionsWS = with(malformedWS, map[string]difference{
	"a failure": {
		node: []string{`{"event":"exception","data":` + failBody + `}`, "open"},
		ours: []string{`{"event":"exception","data":` + failCause + `}`, "open"}, why: verbatim,
	},
})

var errFail = wsrouter.NewError("not today").WithCode("E_FAIL").WithData(map[string]bool{"retry": true})

// newTour has the events of the tour in node/nest.mjs.
func newTour() *wsrouter.Router {
	router := wsrouter.New(&wsrouter.Options{ErrorCause: true, Logger: slog.New(slog.NewTextHandler(io.Discard, nil))})
	router.On("events", func(c *wsrouter.Context) error {
		if data := string(c.Raw()); data == "" || data == "null" || data == `""` {
			return wsrouter.NewError("数据不能为空！")
		}
		return c.Reply(c.Value())
	})
	router.On("id", func(c *wsrouter.Context) error {
		var id json.RawMessage
		if err := c.Field("id", &id); err != nil {
			return err
		}
		return c.Reply(id)
	})
	router.On("custom", func(c *wsrouter.Context) error {
		if err := c.Emit("custom", "Hey there!"); err != nil {
			return err
		}
		return c.Reply(c.Value())
	})
	router.On("response", func(c *wsrouter.Context) error {
		return c.Reply(wsrouter.Response{Event: "events", Data: c.Value()})
	})
	router.On("numbers", func(c *wsrouter.Context) error {
		return wsrouter.StreamSeq(c, func(yield func(wsrouter.Response, error) bool) {
			for i := 1; i <= 3 && yield(wsrouter.Response{Event: "events", Data: i}, nil); i++ {
			}
		})
	})
	router.On("fail", func(*wsrouter.Context) error { return errFail })
	router.On("boom", func(*wsrouter.Context) error { return errors.New("secret") })
	router.On("ask", func(c *wsrouter.Context) error {
		var answer json.RawMessage
		if err := c.Conn().Call(c.Context(), "question", c.Value(), &answer); err != nil {
			return err
		}
		return c.Reply(answer)
	})
	router.On("join", func(c *wsrouter.Context) error {
		var room string
		if err := c.Bind(&room); err != nil {
			return err
		}
		if err := c.Join("room:" + room); err != nil {
			return err
		}
		return c.Reply([]string{room})
	})
	router.On("cast", func(c *wsrouter.Context) error { return router.Emit("cast", c.Value()) })
	return router
}

func with(a, b map[string]difference) map[string]difference {
	merged := make(map[string]difference, len(a)+len(b))
	for _, m := range []map[string]difference{a, b} {
		for name, d := range m {
			merged[name] = d
		}
	}
	return merged
}
