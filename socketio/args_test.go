package socketio_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/wsrouter/wsrouter"
	"github.com/wsrouter/wsrouter/broker"
	"github.com/wsrouter/wsrouter/payload"
)

// TestAckOfSeveral: a client's callback gets the values of Args, including bytes,
// wherever a value may be given.
func TestAckOfSeveral(t *testing.T) {
	router := newRouter(nil)
	several := wsrouter.Args{"a", []byte{1}, map[string]any{"b": []byte{2}}, nil}
	router.On("reply", func(c *wsrouter.Context) error { return c.Reply(several) })
	router.On("none", func(c *wsrouter.Context) error { return c.Reply(wsrouter.Args{}) })
	router.On("nil", func(c *wsrouter.Context) error { return c.Reply(wsrouter.Args(nil)) })
	router.On("array", func(c *wsrouter.Context) error { return c.Reply(wsrouter.Args{wsrouter.Args{1, 2}}) })
	router.On("response", func(c *wsrouter.Context) error {
		return c.Reply(&wsrouter.Response{Event: "other", Data: wsrouter.Args{1, 2}})
	})
	router.On("stream", func(c *wsrouter.Context) error {
		return wsrouter.StreamSeq(c, func(yield func(wsrouter.Args, error) bool) { yield(wsrouter.Args{1, 2}, nil) })
	})
	wsrouter.Handle(router, "handle", func(*wsrouter.Context, any) (wsrouter.Args, error) { return wsrouter.Args{1, 2}, nil })
	router.On("bad", func(c *wsrouter.Context) error { return c.Reply(wsrouter.Args{1, func() {}}) })

	const json = `"a",{"_placeholder":true,"num":0},{"b":{"_placeholder":true,"num":1}},null]`
	tests := []struct {
		send string
		want []string
	}{
		{`421["reply"]`, []string{"462-1[" + json, "\x00\x01", "\x00\x02"}},
		{`42["reply"]`, []string{`452-["reply",` + json, "\x00\x01", "\x00\x02"}},
		{`421["none"]`, []string{"431[]"}},
		{`42["none"]`, []string{`42["none"]`}},
		{`421["nil"]`, []string{"431[]"}},
		{`42["nil"]`, []string{`42["nil"]`}},
		{`421["array"]`, []string{"431[[1,2]]"}},
		{`421["response"]`, []string{`42["other",1,2]`, "431[]"}},
		{`421["stream"]`, []string{`42["stream",1,2]`, "431[]"}},
		{`421["handle"]`, []string{"431[1,2]"}},
		{`421["bad"]`, []string{`42["exception",{"status":"error","message":"Internal server error"}]`,
			`431[{"status":"error","message":"Internal server error"}]`}},
	}
	ws := serve(t, router, nil).connected()
	for _, test := range tests {
		ws.write(test.send)
		ws.reads(test.want...)
	}
}

// TestAckOfSeveralPolled does one of these over polling.
func TestAckOfSeveralPolled(t *testing.T) {
	router := newRouter(nil)
	router.On("reply", func(c *wsrouter.Context) error { return c.Reply(wsrouter.Args{"a", []byte{1}}) })
	p := serve(t, router, nil).open()
	p.join("40")
	p.post(`421["reply"]`)
	require.Equal(t, "461-1[\"a\",{\"_placeholder\":true,\"num\":0}]\x1ebAQ==", p.get())
}

// TestCallOfSeveral: a call sends Args to a client, and receives its answer of several
// values, both with bytes.
func TestCallOfSeveral(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		router := newRouter(nil)
		s := serveInBubble(t, router, nil)
		ws := s.connected()
		synctest.Wait()
		var answers []wsrouter.Answer
		var err error
		go func() { answers, err = router.All().Call(t.Context(), "ask", wsrouter.Args{"q", []byte{7}}) }()
		ws.reads(`451-1["ask","q",{"_placeholder":true,"num":0}]`, "\x00\x07")
		ws.write(`461-1["a",{"_placeholder":true,"num":0}]`, "\x00\x08")
		synctest.Wait()
		require.NoError(t, err)
		require.Len(t, answers, 1)
		var got []any
		require.NoError(t, answers[0].Bind(&got))
		require.Equal(t, []any{"a", []byte{8}}, got)
	})
}

// TestArgsThatWereSent: arguments that were not sent leave their pointers unchanged,
// and one array is one argument.
func TestArgsThatWereSent(t *testing.T) {
	router := newRouter(nil)
	router.On("args", func(c *wsrouter.Context) error {
		var a, b any = "a", "b"
		if err := c.Args(&a, &b); err != nil {
			return err
		}
		return c.Reply(wsrouter.Args{a, b})
	})
	router.On("one", func(c *wsrouter.Context) error {
		var a any = "a"
		if err := c.Args(&a); err != nil {
			return err
		}
		return c.Reply(a)
	})
	ws := serve(t, router, nil).connected()
	for sent, want := range map[string]string{
		`421["args"]`:             `431["a","b"]`,
		`421["args","x"]`:         `431["x","b"]`,
		`421["args",{"x":1}]`:     `431[{"x":1},"b"]`,
		`421["args",[1,2]]`:       `431[[1,2],"b"]`,
		`421["args",[]]`:          `431[[],"b"]`,
		`421["args",1,2]`:         `431[1,2]`,
		`421["args",1,2,3]`:       `431[1,2]`,
		`421["args", 1 , [2] ]`:   `431[1,[2]]`,
		`421["args",null,"x"]`:    `431[null,"x"]`,
		`421["one"]`:              `431["a"]`,
		`421["one",[1,2]]`:        `431[[1,2]]`,
		`421["one",1,2]`:          `431[1]`,
		`421["args",[1,2],[3,4]]`: `431[[1,2],[3,4]]`,
	} {
		ws.write(sent)
		require.Equal(t, want, ws.read(), sent)
	}
}

// nodes is a Broker that hands the nodes that subscribe to the test, and reaches
// nobody.
type nodes chan broker.Node

func (n nodes) Subscribe(_ context.Context, node broker.Node) (broker.Subscription, error) {
	n <- node
	return nil, nil
}

// TestNodeCallOfSeveral: other nodes, which may run on Node.js, get the first value of
// an ack of several, as from a node on Node.js. One array is one value.
func TestNodeCallOfSeveral(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		subscribed := make(nodes, 1)
		router := newRouter(&wsrouter.Options{Broker: subscribed})
		ws := serveInBubble(t, router, nil).connected()
		node := <-subscribed
		synctest.Wait()
		for _, test := range []struct {
			want   payload.Value
			answer []string
		}{
			{payload.Value{JSON: []byte(`"a"`)}, []string{`43ID["a","b"]`}},
			{payload.Value{JSON: []byte(`["a","b"]`)}, []string{`43ID[["a","b"]]`}},
			{payload.Value{JSON: []byte("[]"), Attachments: []payload.Attachment{{At: 1, Data: []byte{2}}}},
				[]string{`462-ID[[{"_placeholder":true,"num":1}],{"_placeholder":true,"num":0}]`, "\x00\x01", "\x00\x02"}},
			{payload.Value{}, []string{"43ID[]"}},
		} {
			asked, answers := node.Call(t.Context(), broker.Selection{}, "ask", nil)
			require.Equal(t, 1, asked)
			got := make(chan payload.Value, 1)
			go func() {
				for v := range answers {
					got <- v
				}
			}()
			question := ws.read()
			for _, part := range test.answer {
				ws.write(strings.ReplaceAll(part, "ID", question[2:strings.IndexByte(question, '[')]))
			}
			require.Equal(t, test.want, <-got)
		}
	})
}
