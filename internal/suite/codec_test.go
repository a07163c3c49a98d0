package suite_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wsrouter/wsrouter"
	"github.com/wsrouter/wsrouter/internal/rawtest"
)

// wireRouter has handlers for the tests of frames.
func wireRouter(opts *wsrouter.Options) *wsrouter.Router {
	router := wsrouter.New(opts)
	router.On("echo", func(c *wsrouter.Context) error { return c.Reply(c.Raw()) })
	router.On("args", func(c *wsrouter.Context) error { return c.Emit("got", c.Raw() == nil, string(c.Raw()) == "null") })
	router.On("none", func(c *wsrouter.Context) error { return nil })
	router.On("named", func(c *wsrouter.Context) error {
		return c.Reply(wsrouter.Response{Event: "events", Data: c.Raw()})
	})
	router.On("nil", func(c *wsrouter.Context) error { return c.Reply(nil) })
	router.On("html", func(c *wsrouter.Context) error { return c.Reply(map[string]string{"a": "<b>&\u00e9"}) })
	router.On("bytes", func(c *wsrouter.Context) error { return c.Reply([]byte{1, 2, 3}) })
	router.On("emits", func(c *wsrouter.Context) error {
		return errors.Join(c.Emit("zero"), c.Emit("one", nil), c.Emit("two", 1, "b"))
	})
	router.On("several", func(c *wsrouter.Context) error { return c.Reply(wsrouter.Args{1, []byte{2}, nil}) })
	router.On("one arg", func(c *wsrouter.Context) error { return c.Reply(wsrouter.Args{"x"}) })
	router.On("no args", func(c *wsrouter.Context) error { return c.Reply(wsrouter.Args{}) })
	router.On("nil args", func(c *wsrouter.Context) error { return c.Reply(wsrouter.Args(nil)) })
	router.On("with meta", func(c *wsrouter.Context) error {
		return c.Reply(wsrouter.Response{Event: "other", Data: c.Meta("a"), Meta: map[string]string{"b": "2", "<": ">"}})
	})
	router.On("emit with meta", func(c *wsrouter.Context) error {
		changed := c.WithContext(wsrouter.WithMeta(c.Context(), "b", "3"))
		return errors.Join(c.Emit("passed on"), changed.Emit("changed", 1),
			c.Conn().Emit("nothing"), router.To(c.Conn().ID()).Emit("nothing"))
	})
	router.On("named args", func(c *wsrouter.Context) error {
		return c.Reply(wsrouter.Response{Event: "events", Data: wsrouter.Args{1, 2}})
	})
	router.On("stream of args", func(c *wsrouter.Context) error {
		return wsrouter.StreamSeq(c, func(yield func(any, error) bool) { yield(wsrouter.Args{1, 2}, nil) })
	})
	wsrouter.Handle(router, "handled args", func(_ *wsrouter.Context, in []int) (wsrouter.Args, error) {
		return wsrouter.Args{in, len(in)}, nil
	})
	router.On("stream", func(c *wsrouter.Context) error {
		return wsrouter.StreamSeq(c, func(yield func(any, error) bool) {
			_ = yield(1, nil) && yield(wsrouter.Response{Event: "other", Data: 2}, nil) && yield("x", nil)
		})
	})
	router.On("fail", func(c *wsrouter.Context) error {
		return wsrouter.NewError("not today").WithCode("E_FAIL").WithData(map[string]bool{"retry": true})
	})
	router.On("boom", func(c *wsrouter.Context) error { return errors.New("secret") })
	router.On("unencodable", func(c *wsrouter.Context) error { return c.Reply(make(chan int)) })
	router.On("123", func(c *wsrouter.Context) error { return c.Reply("string event") })
	return router
}

const invalid = `{"event":"exception","data":{"status":"error","message":"`

// TestFrames checks the plain protocol, PROTOCOL.md, frame by frame.
func TestFrames(t *testing.T) {
	deep := strings.Repeat("[", 20_000) + strings.Repeat("]", 20_000)
	tests := []struct {
		name string
		in   string
		out  []string
	}{
		{"event", `{"event":"echo","data":"hi"}`, []string{`{"event":"echo","data":"hi"}`}},
		{"request", `{"event":"echo","data":[1,2],"id":7}`, []string{`{"event":"echo","data":[1,2],"re":7}`}},
		{"string id", `{"event":"echo","data":1,"id":"a\u0062"}`, []string{`{"event":"echo","data":1,"re":"a\u0062"}`}},
		{"empty id", `{"event":"echo","data":1,"id":""}`, []string{`{"event":"echo","data":1,"re":""}`}},
		{"id 0", `{"event":"echo","data":1,"id":0}`, []string{`{"event":"echo","data":1,"re":0}`}},
		{"largest id", `{"event":"echo","data":1,"id":9007199254740991}`, []string{`{"event":"echo","data":1,"re":9007199254740991}`}},
		{"data goes through byte for byte", `{"data":{"b": 1.0, "a":[1e2,"\u00e9<"] },"event":"echo"}`,
			[]string{`{"event":"echo","data":{"b": 1.0, "a":[1e2,"\u00e9<"] }}`}},
		{"escaped key and event", `{"\u0065vent":"e\u0063ho","data":1}`, []string{`{"event":"echo","data":1}`}},
		{"white space", " {\t\"event\" :\n\"echo\" , \"data\" : 1 }\r\n", []string{`{"event":"echo","data":1}`}},
		{"unknown keys", `{"Meta":{"x":[1,{"event":"no"}]},"event":"echo","x":null,"data":1}`, []string{`{"event":"echo","data":1}`}},
		{"meta is not sent back", `{"event":"echo","data":1,"id":7,"meta":{"traceparent":"00-1-2-01","":"\u0000"}}`, []string{`{"event":"echo","data":1,"re":7}`}},
		{"meta of a reply", `{"event":"with meta","id":7,"meta":{"a":"1"}}`, []string{`{"event":"other","data":"1","re":7,"meta":{"<":">","b":"2"}}`}},
		{"meta of an emit", `{"event":"emit with meta","meta":{"a":"1", "b":"2"}}`, []string{
			`{"event":"passed on","meta":{"a":"1", "b":"2"}}`, `{"event":"changed","data":1,"meta":{"a":"1","b":"3"}}`,
			`{"event":"nothing"}`, `{"event":"nothing"}`}},
		{"emits without meta", `{"event":"emit with meta"}`, []string{
			`{"event":"passed on"}`, `{"event":"changed","data":1,"meta":{"b":"3"}}`, `{"event":"nothing"}`, `{"event":"nothing"}`}},
		{"the last of equal keys in meta counts", `{"event":"with meta","id":7,"meta":{"a":"1","\u0061":"2"}}`, []string{`{"event":"other","data":"2","re":7,"meta":{"<":">","b":"2"}}`}},
		{"meta of 1,024 bytes", `{"event":"echo","data":1,"meta":{"a":"` + strings.Repeat("x", 1024-8) + `"}}`, []string{`{"event":"echo","data":1}`}},
		{"meta of an exception from a client", `{"event":"exception","meta":{"a":"b"}}`, nil},
		{"meta of an answer that nobody waits for", `{"event":"x","re":5,"meta":{"a":"b"}}`, nil},
		{"meta of a cancel", `{"id":99,"cancel":true,"meta":1}`, nil},
		{"the last of equal keys counts", `{"event":"none","event":"echo","data":1,"data":2}`, []string{`{"event":"echo","data":2}`}},
		{"no data", `{"event":"args"}`, []string{`{"event":"got","data":[true,false]}`}},
		{"null", `{"event":"args","data":null}`, []string{`{"event":"got","data":[false,true]}`}},
		{"empty answer", `{"event":"none","id":1}`, []string{`{"event":"none","re":1}`}},
		{"nothing to answer", `{"event":"none"}`, nil},
		{"response", `{"event":"named","data":1}`, []string{`{"event":"events","data":1}`}},
		{"response to a request", `{"event":"named","data":1,"id":3}`, []string{`{"event":"events","data":1,"re":3}`}},
		{"reply of nil", `{"event":"nil","id":3}`, []string{`{"event":"nil","data":null,"re":3}`}},
		{"no HTML escaping", `{"event":"html"}`, []string{`{"event":"html","data":{"a":"<b>&é"}}`}},
		{"bytes", `{"event":"bytes"}`, []string{`{"event":"bytes","data":"AQID"}`}},
		{"arguments", `{"event":"emits"}`, []string{`{"event":"zero"}`, `{"event":"one","data":null}`, `{"event":"two","data":[1,"b"]}`}},
		{"several values", `{"event":"several","id":1}`, []string{`{"event":"several","data":[1,"Ag==",null],"re":1}`}},
		{"several values to an event", `{"event":"several"}`, []string{`{"event":"several","data":[1,"Ag==",null]}`}},
		{"one of several values", `{"event":"one arg","id":1}`, []string{`{"event":"one arg","data":"x","re":1}`}},
		{"none of several values", `{"event":"no args"}`, []string{`{"event":"no args"}`}},
		{"nil of several values", `{"event":"nil args"}`, []string{`{"event":"nil args"}`}},
		{"several values in a response", `{"event":"named args","id":1}`, []string{`{"event":"events","data":[1,2],"re":1}`}},
		{"several values in a stream", `{"event":"stream of args"}`, []string{`{"event":"stream of args","data":[1,2]}`}},
		{"several values that are handled", `{"event":"handled args","data":[7],"id":1}`, []string{`{"event":"handled args","data":[[7],1],"re":1}`}},
		{"stream", `{"event":"stream"}`, []string{`{"event":"stream","data":1}`, `{"event":"other","data":2}`, `{"event":"stream","data":"x"}`}},
		{"stream to a request", `{"event":"stream","id":8}`, []string{
			`{"event":"stream","data":1,"re":8,"more":true}`, `{"event":"other","data":2,"re":8,"more":true}`,
			`{"event":"stream","data":"x","re":8,"more":true}`, `{"event":"stream","re":8}`}},
		{"failed event", `{"event":"fail"}`, []string{
			`{"event":"exception","data":{"status":"error","message":"not today","code":"E_FAIL","data":{"retry":true}}}`}},
		{"failed request", `{"event":"fail","id":7}`, []string{
			`{"event":"exception","data":{"status":"error","message":"not today","code":"E_FAIL","data":{"retry":true}},"re":7}`}},
		{"hidden error", `{"event":"boom","id":7}`, []string{invalid + `Internal server error"},"re":7}`}},
		{"unencodable reply", `{"event":"unencodable","id":7}`, []string{invalid + `Internal server error"},"re":7}`}},
		{"unknown event", `{"event":"nobody"}`, nil},
		{"unknown request", `{"event":"nobody","id":7}`, []string{invalid + `no such event","code":"not_found"},"re":7}`}},
		{"ping", `{"ping":1}`, []string{`{"pong":1}`}},
		{"pong", `{"pong":1}`, nil},
		{"cancel of nothing", `{"id":99,"cancel":true}`, nil},
		{"pull of nothing", `{"id":99,"pull":3}`, nil},
		{"answer nobody waits for", `{"event":"x","re":5}`, nil},
		{"exception from a client", `{"event":"exception","data":{"message":"x"}}`, nil},
		{"request named exception", `{"event":"exception","id":4}`, []string{invalid + `no such event","code":"not_found"},"re":4}`}},

		{"meta of 1,025 bytes", `{"event":"echo","meta":{"a":"` + strings.Repeat("x", 1024-7) + `"}}`, []string{invalid + badMeta + `}`}},
		{"large meta of a request", `{"event":"echo","meta":{"a":"` + strings.Repeat("x", 100_000) + `"},"id":7}`, []string{invalid + badMeta + `,"re":7}`}},
		{"meta that is no object", `{"meta":"00-1-2-01","event":"echo","id":7}`, []string{invalid + badMeta + `,"re":7}`}},
		{"null meta", `{"meta":null,"event":"echo"}`, []string{invalid + badMeta + `}`}},
		{"meta of an array", `{"meta":["a"],"event":"echo"}`, []string{invalid + badMeta + `}`}},
		{"nested meta", `{"event":"echo","id":"a","meta":{"a":"b","c":{"d":"e"}}}`, []string{invalid + badMeta + `,"re":"a"}`}},
		{"a number in meta", `{"event":"echo","meta":{"a":"b","c":1}}`, []string{invalid + badMeta + `}`}},
		{"bad meta of an answer", `{"event":"x","re":5,"meta":{"a":1}}`, []string{invalid + badMeta + `}`}},
		{"half a meta", `{"event":"echo","meta":{"a":"b"`, []string{invalid + `frame is not valid JSON","code":"invalid"}}`}},

		{"garbage", `garbage`, []string{invalid + `frame is not valid JSON","code":"invalid"}}`}},
		{"empty frame", ``, []string{invalid + `frame is not valid JSON","code":"invalid"}}`}},
		{"half a frame", `{"event":"ec`, []string{invalid + `frame is not valid JSON","code":"invalid"}}`}},
		{"two frames in one", `{"event":"echo"}{"event":"echo"}`, []string{invalid + `frame is not valid JSON","code":"invalid"}}`}},
		{"too deep", `{"event":"echo","data":` + deep + `}`, []string{invalid + `frame is not valid JSON","code":"invalid"}}`}},
		{"array", `["echo",1]`, []string{invalid + `a frame must be a JSON object","code":"invalid"}}`}},
		{"null frame", `null`, []string{invalid + `a frame must be a JSON object","code":"invalid"}}`}},
		{"empty object", `{}`, []string{invalid + `a frame needs an event","code":"invalid"}}`}},
		{"case of keys", `{"Event":"echo","EVENT":"echo"}`, []string{invalid + `a frame needs an event","code":"invalid"}}`}},
		{"number for an event", `{"event":123}`, []string{invalid + `event must be a string","code":"invalid"}}`}},
		{"empty event", `{"event":""}`, []string{invalid + `event must have 1 to 256 bytes","code":"invalid"}}`}},
		{"event of 257 bytes", `{"event":"` + strings.Repeat("e", 257) + `"}`, []string{invalid + `event must have 1 to 256 bytes","code":"invalid"}}`}},
		{"event of 256 bytes", `{"event":"` + strings.Repeat("e", 256) + `"}`, nil},
		{"object id", `{"event":"echo","id":{}}`, []string{invalid + badID}},
		{"null id", `{"event":"echo","id":null}`, []string{invalid + badID}},
		{"negative id", `{"event":"echo","id":-1}`, []string{invalid + badID}},
		{"fractional id", `{"event":"echo","id":1.0}`, []string{invalid + badID}},
		{"id of 2^53", `{"event":"echo","id":9007199254740992}`, []string{invalid + badID}},
		{"id of 65 bytes", `{"event":"echo","id":"` + strings.Repeat("i", 65) + `"}`, []string{invalid + badID}},
		{"object re", `{"re":{}}`, []string{invalid + badID}},
		{"cancel without id", `{"cancel":true}`, []string{invalid + `a frame needs an event","code":"invalid"}}`}},
		{"cancel false", `{"id":1,"cancel":false}`, []string{invalid + `cancel must be true","code":"invalid"}}`}},
		{"pull of 0", `{"id":1,"pull":0}`, []string{invalid + `pull must be an integer from 1 to 2^53-1","code":"invalid"}}`}},
		{"negative pull", `{"id":1,"pull":-1}`, []string{invalid + `pull must be an integer from 1 to 2^53-1","code":"invalid"}}`}},
		{"ping of an object", `{"ping":{}}`, []string{invalid + `ping must be an integer from 0 to 2^53-1","code":"invalid"}}`}},
		{"unexpected auth", `{"auth":{}}`, []string{invalid + `unexpected auth frame","code":"invalid"}}`}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				raw := rawtest.Connect(wireRouter(nil), nil, nil)
				want := append(test.out, `{"event":"echo","data":"the end"}`)
				require.Equal(t, want, exchangeFrames(t, raw, test.in))
			})
		})
	}
}

const badMeta = `meta must be an object of strings of at most 1024 bytes","code":"invalid"}`

const badID = `id must be a string of at most 64 bytes or an integer from 0 to 2^53-1","code":"invalid"}}`

// exchangeFrames sends a frame, then an event whose answer shows that the connection is
// alive, and returns everything that came back. It runs in a bubble.
func exchangeFrames(t *testing.T, raw *rawtest.Raw, frame string) []string {
	t.Helper()
	frames := []string{}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			frame, ce := raw.Read()
			if ce != nil {
				return
			}
			frames = append(frames, frame)
		}
	}()
	require.True(t, raw.Send(frame))
	synctest.Wait()
	require.True(t, raw.Send(`{"event":"echo","data":"the end"}`))
	synctest.Wait()
	raw.Abort()
	<-done
	raw.Wait()
	return frames
}

// TestFramesThatClose: frames after which it is certain that the client is wrong.
func TestFramesThatClose(t *testing.T) {
	tests := []struct {
		name   string
		in     []string
		code   int
		reason string
	}{
		{"id beside re", []string{`{"event":"echo","id":1,"re":1}`}, 1002, "id beside re"},
		{"id in use", []string{`{"event":"block","id":1}`, `{"event":"echo","id":1}`}, 1002, "id in use"},
		{"invalid UTF-8", []string{"{\"event\":\"\xff\"}"}, 1007, "invalid UTF-8"},
		{"too big", []string{`{"event":"echo","data":"` + strings.Repeat("x", 1000) + `"}`}, 1009, "message too big"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				router := wireRouter(&wsrouter.Options{MaxMessage: 1000})
				router.On("block", func(c *wsrouter.Context) error { <-c.Context().Done(); return nil })
				raw := rawtest.Connect(router, nil, nil)
				for _, frame := range test.in {
					require.True(t, raw.Send(frame))
				}
				_, ce := raw.Read()
				require.Equal(t, &wsrouter.CloseError{Code: test.code, Reason: test.reason}, ce)
				raw.Wait()
			})
		})
	}
}

// TestIDFreeAfterLastFrame sends the next request under the same id as soon as
// the answer to the one before has been read.
func TestIDFreeAfterLastFrame(t *testing.T) {
	raw := rawtest.Connect(wireRouter(nil), nil, nil)
	defer raw.Wait()
	defer raw.Abort()
	for range 1000 {
		for _, event := range []string{"echo", "none", "fail", "nobody"} {
			require.True(t, raw.Send(`{"event":"`+event+`","id":1}`))
			frame, ce := raw.Read()
			require.Nil(t, ce)
			require.Contains(t, frame, `"re":1`)
		}
	}
}

// TestNestJSON: the frames that differ in NestJS's variant.
func TestNestJSON(t *testing.T) {
	tests := []struct{ in, out string }{
		{`{"event":"echo","data":"hello"}`, `"hello"`},
		{`{"event":"echo","data":{"name":"Nest"}}`, `{"name":"Nest"}`},
		{`{"event":"echo","data":0}`, `0`},
		{`{"event":"echo","data":false}`, `false`},
		{`{"event":"nil"}`, ``},
		{`{"event":"named","data":1}`, `{"event":"events","data":1}`},
		{`{"event":"stream"}`, `1 {"event":"other","data":2} "x"`},
		{`{"event":"with meta","meta":{"a":"1"}}`, `{"event":"other","data":"1","meta":{"<":">","b":"2"}}`},
		{`{"event":"several"}`, `[1,"Ag==",null]`},
		{`{"event":"one arg"}`, `"x"`},
		{`{"event":"no args"}`, ``},
		{`{"event":"echo","data":1,"id":7}`, `{"event":"echo","data":1,"re":7}`},
		{`{"event":"boom"}`, invalid + `Internal server error","cause":{"pattern":"boom"}}}`},
		{`{"event":"boom","data":null}`, invalid + `Internal server error","cause":{"pattern":"boom","data":null}}}`},
		{`{"event":"boom","data":{"u":1}}`, invalid + `Internal server error","cause":{"pattern":"boom","data":{"u":1}}}}`},
	}
	for _, test := range tests {
		t.Run(test.in, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				router := wireRouter(&wsrouter.Options{ErrorCause: true})
				raw := rawtest.Connect(router, &wsrouter.WSOptions{Codec: wsrouter.NestJSON}, nil)
				frames := exchangeFrames(t, raw, test.in)
				require.Equal(t, strings.TrimSpace(test.out+` "the end"`), strings.Join(frames, " "))
			})
		})
	}
}

const (
	beginSession = `→ {"session":""}|← {"session":"SECRET","window":120000}|`
	loseSession  = `cut|connect|`
)

// sessionScripts: each line is a frame that the client sends, a frame that it receives,
// or something that happens. SECRET is the first secret that the server has sent, OTHER
// the next one.
var sessionScripts = []struct {
	name   string
	script string
}{
	{"new", beginSession + `→ {"event":"echo","data":1}|← {"event":"echo","data":1}`},
	{"nobody waits for the answer", `→ {"session":""}|→ {"event":"echo","data":1,"id":1}|← {"session":"SECRET","window":120000}|← {"event":"echo","data":1,"re":1}`},
	{"ping before and after", `→ {"ping":1}|← {"pong":1}|` + beginSession + `→ {"ping":2}|← {"pong":2}`},
	{"resumed, and nothing was missed", beginSession + `→ {"event":"echo","data":1}|← {"event":"echo","data":1}|` + loseSession +
		`→ {"session":"SECRET","received":1}|← {"session":"SECRET","window":120000,"received":1}|→ {"event":"echo","data":2}|← {"event":"echo","data":2}`},
	{"resumed, and what was missed", beginSession + `→ {"event":"emits"}|← {"event":"zero"}|← {"event":"one","data":null}|← {"event":"two","data":[1,"b"]}|` + loseSession +
		`→ {"session":"SECRET","received":1}|← {"session":"SECRET","window":120000,"received":1}|← {"event":"one","data":null}|← {"event":"two","data":[1,"b"]}`},
	{"signs of life and acks do not count", beginSession + `→ {"ping":1}|← {"pong":1}|→ {"event":"none"}|→ {"ack":0}|→ {"pong":1}|wait|← {"ack":1}|` + loseSession +
		`→ {"session":"SECRET","received":0}|← {"session":"SECRET","window":120000,"received":1}`},
	{"all else counts", beginSession + `→ {"event":"none","id":7}|← {"event":"none","re":7}|→ {"id":7,"cancel":true}|→ {"id":7,"pull":1}|→ {"event":"x","re":1}|` + loseSession +
		`→ {"session":"SECRET","received":1}|← {"session":"SECRET","window":120000,"received":4}`},
	{"mistakes count, and their answers", beginSession + `→ garbage|← ` + invalid + `frame is not valid JSON","code":"invalid"}}|` +
		`→ {"session":""}|← ` + invalid + `session must come first","code":"invalid"}}|→ {"auth":1}|← ` + invalid + `unexpected auth frame","code":"invalid"}}|` + loseSession +
		`→ {"session":"SECRET","received":3}|← {"session":"SECRET","window":120000,"received":3}|` +
		`→ {"event":"none"}|→ {"ack":3}|wait|← {"ack":4}`},
	{"a mistake is sent again", beginSession + `→ garbage|← ` + invalid + `frame is not valid JSON","code":"invalid"}}|` + loseSession +
		`→ {"session":"SECRET","received":0}|← {"session":"SECRET","window":120000,"received":1}|← ` + invalid + `frame is not valid JSON","code":"invalid"}}`},
	{"ack after a second", beginSession + `→ {"event":"none"}|→ {"event":"none"}|wait|← {"ack":2}|→ {"event":"none"}|wait|← {"ack":3}`},
	{"ack after 32", beginSession + strings.Repeat(`→ {"event":"none"}|`, 32) + `← {"ack":32}`},
	{"ack after 64 KiB", beginSession + `→ {"event":"none","data":"` + strings.Repeat("x", 64<<10) + `"}|← {"ack":1}`},
	{"ack of what was not sent", beginSession + `→ {"ack":1}|closed 1002 ack of what was not sent`},
	{"unknown", `→ {"session":"AAAAAAAAAAAAAAAAAAAA","received":5}|← {"session":"SECRET","window":120000}|→ {"event":"echo","data":1}|← {"event":"echo","data":1}`},
	{"too late", beginSession + `cut|expire|connect|→ {"session":"SECRET","received":0}|← {"session":"OTHER","window":120000}`},
	{"said goodbye", beginSession + `goodbye|connect|→ {"session":"SECRET","received":0}|← {"session":"OTHER","window":120000}`},
	{"more received than was sent", beginSession + loseSession + `→ {"session":"SECRET","received":1}|← {"session":"OTHER","window":120000}`},
	{"closed with 4900", beginSession + `→ {"event":"come back"}|closed 4900 token|connect|→ {"session":"SECRET","received":0}|← {"session":"SECRET","window":120000,"received":1}`},
	{"the client gives up", beginSession + `give up|connect|→ {"session":"SECRET","received":0}|← {"session":"SECRET","window":120000,"received":0}`},
	{"resumed elsewhere", beginSession + `connect|→ {"session":"SECRET","received":0}|← {"session":"SECRET","window":120000,"received":0}|before closed 4409 resumed elsewhere`},
	{"auth", `auth|→ {"session":"","auth":{"token":"…"}}|← {"session":"SECRET","window":120000}|cut|auth|` +
		`→ {"session":"SECRET","received":0,"auth":2}|← {"session":"SECRET","window":120000,"received":0}|→ {"event":"auth"}|← {"event":"auth","data":2}`},
	{"auth is missing", `auth|→ {"session":""}|closed 1008 auth expected`},
	{"auth is not expected", `→ {"session":"","auth":1}|← ` + invalid + `unexpected auth frame","code":"invalid"}}|← {"session":"SECRET","window":120000}|` + loseSession +
		`→ {"session":"SECRET","received":0}|← {"session":"SECRET","window":120000,"received":0}`},
	{"another frame first", `→ {"event":"echo"}|closed 1008 session expected`},
	{"no frame", `expire|closed 1013 connect timeout`},
}

// TestSessionFrames checks the frames of sessions, PROTOCOL.md, one by one.
func TestSessionFrames(t *testing.T) {
	for _, test := range sessionScripts {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { playSession(t, strings.Split(test.script, "|")) })
		})
	}
}

// TestNoSessionFrames: without the subprotocol they are violations.
func TestNoSessionFrames(t *testing.T) {
	for _, frame := range []string{`{"session":""}`, `{"ack":1}`} {
		synctest.Test(t, func(t *testing.T) {
			router := wireRouter(&wsrouter.Options{Recovery: &wsrouter.Recovery{}})
			got := exchangeFrames(t, rawtest.Connect(router, nil, nil), frame)
			require.Equal(t, []string{invalid + `a frame needs an event","code":"invalid"}}`, `{"event":"echo","data":"the end"}`}, got)
		})
	}
}

// playSession plays a script line by line.
func playSession(t *testing.T, script []string) {
	router := wireRouter(&wsrouter.Options{Recovery: &wsrouter.Recovery{}})
	router.On("come back", func(c *wsrouter.Context) error { return c.Conn().Close(wsrouter.CloseResume, "token") })
	router.On("auth", func(c *wsrouter.Context) error {
		var auth any
		if err := c.Conn().Auth(&auth); err != nil {
			return err
		}
		return c.Reply(auth)
	})
	names := &secrets{}
	raws := []*rawtest.Raw{rawtest.Connect(router, nil, rawtest.SessionRequest())}
	for _, line := range script {
		raw := raws[len(raws)-1]
		what, rest, _ := strings.Cut(line, " ")
		switch what {
		case "→":
			require.True(t, raw.Send(names.put(rest)))
			synctest.Wait()
		case "←":
			frame, ce := raw.Read()
			require.Nil(t, ce)
			require.Equal(t, rest, names.take(frame))
		case "before": // the previous connection
			requireClosed(t, raws[len(raws)-2], strings.TrimPrefix(rest, "closed "))
		case "closed":
			requireClosed(t, raw, rest)
		case "connect":
			raws = append(raws, rawtest.Connect(router, nil, rawtest.SessionRequest()))
		case "auth":
			raws = append(raws, rawtest.Connect(router, &wsrouter.WSOptions{AuthFrame: true}, rawtest.SessionRequest()))
		case "wait":
			time.Sleep(time.Second)
		case "expire":
			time.Sleep(2*time.Minute + time.Second)
		default:
			leave(raw, what)
		}
	}
	for _, raw := range raws {
		raw.Abort()
		raw.Wait()
	}
	require.NoError(t, router.Close())
}

func leave(raw *rawtest.Raw, how string) {
	switch how {
	case "goodbye":
		raw.Close(1000, "")
	case "give":
		raw.Close(wsrouter.CloseResume, "silence")
	default:
		raw.Abort()
	}
	raw.Wait()
}

func requireClosed(t *testing.T, raw *rawtest.Raw, want string) {
	t.Helper()
	_, ce := raw.Read()
	require.NotNil(t, ce)
	require.Equal(t, want, fmt.Sprint(ce.Code, " ", ce.Reason))
}

// secrets gives names to the secrets in a script.
type secrets struct{ known []string }

var secretNames = []string{"SECRET", "OTHER"}

func (s *secrets) put(frame string) string {
	for i, secret := range s.known {
		frame = strings.ReplaceAll(frame, secretNames[i], secret)
	}
	return frame
}

func (s *secrets) take(frame string) string {
	if rest, ok := strings.CutPrefix(frame, `{"session":"`); ok {
		secret, _, _ := strings.Cut(rest, `"`)
		if len(s.known) == 0 || s.known[0] != secret {
			s.known = append(s.known, secret)
		}
	}
	for i, secret := range s.known {
		frame = strings.ReplaceAll(frame, secret, secretNames[i])
	}
	return frame
}
