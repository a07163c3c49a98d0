package suite_test

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"

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

// TestFrames holds the plain protocol, PROTOCOL.md, frame by frame.
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
		{"unknown keys and meta", `{"meta":{"x":[1,{"event":"no"}]},"event":"echo","x":null,"data":1}`, []string{`{"event":"echo","data":1}`}},
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

const badID = `id must be a string of at most 64 bytes or an integer from 0 to 2^53-1","code":"invalid"}}`

// exchangeFrames sends a frame and then an event whose answer shows that the
// connection lives, and returns all that came back. It runs in a bubble.
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

// TestFramesThatClose are those that leave no doubt about who is wrong.
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

// TestNestJSON has the frames that differ in NestJS's variant.
func TestNestJSON(t *testing.T) {
	tests := []struct{ in, out string }{
		{`{"event":"echo","data":"hello"}`, `"hello"`},
		{`{"event":"echo","data":{"name":"Nest"}}`, `{"name":"Nest"}`},
		{`{"event":"echo","data":0}`, `0`},
		{`{"event":"echo","data":false}`, `false`},
		{`{"event":"nil"}`, ``},
		{`{"event":"named","data":1}`, `{"event":"events","data":1}`},
		{`{"event":"stream"}`, `1 {"event":"other","data":2} "x"`},
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
