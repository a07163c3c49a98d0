package socketio_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"
	"github.com/stretchr/testify/require"

	"github.com/wsrouter/wsrouter"
	"github.com/wsrouter/wsrouter/socketio"
)

// TestConnect: who is let in, with what payload, and what others are told.
func TestConnect(t *testing.T) {
	router := newRouter(nil)
	auths := make(chan string, 10)
	router.OnConnect(func(c *wsrouter.Conn) error {
		auth := struct{ Token string }{"none"}
		err := c.Auth(&auth)
		auths <- auth.Token
		return errors.Join(err, c.Emit("welcome"))
	})
	router.Namespace("/ws").OnConnect(func(*wsrouter.Conn) error {
		return wsrouter.NewError("no & never").WithData(map[string]int{"left": 3})
	})
	router.Namespace("/odd").OnConnect(func(*wsrouter.Conn) error { return wsrouter.NewError("no").WithData(func() {}) })
	router.Namespace("/close").OnConnect(func(*wsrouter.Conn) error { return &wsrouter.CloseError{Code: 4001, Reason: "bye"} })
	router.Namespace("/hidden")
	s := serve(t, router, &socketio.Options{Namespaces: []string{"/", "/ws", "/odd", "/close"}})
	for packet, token := range map[string]string{"40": "none", `40{"token":"t"}`: "t", "40/,": "none", "40{}": "none"} {
		ws := s.direct()
		ws.write(packet)
		require.Regexp(t, `^40\{"sid":"~[A-Za-z0-9_-]{19}"\}$`, ws.read())
		ws.reads(`42["welcome"]`)
		require.Equal(t, token, <-auths)
	}
	ws := s.direct()
	for packet, want := range map[string]string{
		"40/ws":       `44/ws,{"message":"no & never","data":{"left":3}}`,
		"40/odd,":     `44/odd,{"message":"no"}`,
		"40/close,":   `44/close,{"message":"bye"}`,
		"40/hidden,":  `44/hidden,{"message":"Invalid namespace"}`,
		"40/none,{}":  `44/none,{"message":"Invalid namespace"}`,
		"40/ws?x=1,":  `44/ws?x=1,{"message":"Invalid namespace"}`,
		"40/../none,": `44/../none,{"message":"Invalid namespace"}`,
	} {
		ws.write(packet)
		ws.reads(want)
	}
	ws.join("40") // the session survives a refusal
}

// TestNamespaces: several on one session, each with its own handlers. One is left and
// joined again; closing one on our side does not affect the others.
func TestNamespaces(t *testing.T) {
	router := newRouter(nil)
	chat := router.Namespace("/chat")
	chat.On("echo", func(c *wsrouter.Context) error { return c.Reply("chat") })
	conns := make(chan *wsrouter.Conn, 10)
	chat.OnConnect(func(c *wsrouter.Conn) error { conns <- c; return nil })
	s := serve(t, router, nil)
	ws := s.connected()
	first := ws.join("40/chat,")
	require.Equal(t, first, (<-conns).ID())
	ws.write(`421["echo",1]`, `42/chat,1["echo"]`)
	got := []string{ws.read(), ws.read()}
	require.ElementsMatch(t, []string{"431[1]", `43/chat,1["chat"]`}, got)

	ws.write("41/chat,", "40/chat")
	require.NotEqual(t, first, joined(t, "40/chat,", ws.read()))
	conn := <-conns
	require.NoError(t, chat.Emit("all"))
	ws.reads(`42/chat,["all"]`)

	require.NoError(t, conn.Close(4001, "lost"))
	ws.reads("41/chat,")
	ws.write(`42/chat,["echo"]`, "41/chat,") // were under way
	ws.join("40/chat,")
	ws.write(`422["echo",2]`)
	ws.reads("432[2]")
}

// TestDisconnectRoot: the session survives leaving the root.
func TestDisconnectRoot(t *testing.T) {
	router, gone := watched(nil)
	s := serve(t, router, nil)
	ws := s.connected()
	ws.write("41")
	requireCause(t, wsrouter.CausePeer, <-gone)
	ws.join("40")
}

// TestLeavesBehindEvents: what was sent before the client left is handled and answered,
// even late. None of it goes to the same client's next connection.
func TestLeavesBehindEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		router, gone := watched(nil)
		router.On("late", func(c *wsrouter.Context) error {
			time.Sleep(2 * time.Second)
			return c.Reply("late")
		})
		s := serveInBubble(t, router, nil)
		ws := s.connected()
		ws.write(`421["echo",1]`, `422["late"]`, "41")
		ws.reads("431[1]", `432["late"]`)
		requireCause(t, wsrouter.CausePeer, <-gone)
		ws.join("40")
		ws.write(`421["late"]`, "41", "40")
		joined(t, "40", ws.read())
		time.Sleep(3 * time.Second)
		ws.write(`421["echo",2]`)
		ws.reads("431[2]")
	})
}

// TestLeavesStream: leaving during a stream ends it at once; the client gets nothing
// more of it, and it is not an error.
func TestLeavesStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		router, gone := watched(&wsrouter.Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
		ended := make(chan error, 10)
		router.On("ticks", func(c *wsrouter.Context) error {
			ch := make(chan int)
			go func() {
				defer close(ch)
				for i := 0; c.Context().Err() == nil; i++ {
					ch <- i
					select {
					case <-time.After(time.Minute):
					case <-c.Context().Done():
					}
				}
				ended <- context.Cause(c.Context())
			}()
			return wsrouter.Stream(c, ch)
		})
		s := serveInBubble(t, router, nil)
		ws := s.connected()
		for _, event := range []string{`42["ticks"]`, `421["ticks"]`} {
			ws.write(event)
			ws.reads(`42["ticks",0]`)
			begin := time.Now()
			ws.write("41")
			requireCause(t, wsrouter.CausePeer, <-ended)
			requireCause(t, wsrouter.CausePeer, <-gone)
			require.Zero(t, time.Since(begin))
			ws.join("40")
		}
		synctest.Wait()
		require.NotContains(t, log.String(), "ERROR")
		require.NotContains(t, log.String(), "WARN")
	})
}

// TestClosesWebSocket: how a WebSocket session ends, by either side.
func TestClosesWebSocket(t *testing.T) {
	router, gone := watched(nil)
	s := serve(t, router, nil)
	s.connected().Close(1000, "done")
	require.Equal(t, &wsrouter.CloseError{Code: 1000, Reason: "done", Cause: wsrouter.CausePeer}, <-gone)
	s.connected().CloseNow()
	requireCause(t, wsrouter.CausePeer, <-gone)
	ws := s.connected()
	ws.write("1")
	ws.closed()
	requireCause(t, wsrouter.CausePeer, <-gone)
	ws = s.connected()
	require.NoError(t, router.Shutdown(t.Context()))
	ws.closed()
	requireCause(t, wsrouter.CauseShutdown, <-gone)
}

// TestMessageTooBig: 1009 without a reason, like the reference; a message at the limit
// passes.
func TestMessageTooBig(t *testing.T) {
	router, gone := watched(&wsrouter.Options{MaxMessage: 100})
	s := serve(t, router, nil)
	ws := s.connected()
	packet := `42["echo","` + strings.Repeat("x", 100-13) + `"]`
	ws.write(packet)
	ws.reads(packet)
	ws.write(packet + " ")
	var ce websocket.CloseError
	require.ErrorAs(t, (<-ws.received).err, &ce)
	require.Equal(t, websocket.CloseError{Code: 1009}, ce)
	requireCause(t, wsrouter.CauseProtocol, <-gone)
	ws = s.connected()
	ws.write(`452-["echo"]`, "\x00"+strings.Repeat("x", 60), "\x00"+strings.Repeat("x", 60)) // together
	ws.closed()
	requireCause(t, wsrouter.CauseProtocol, <-gone)
}

// TestClosingNamespace: a namespace that shuts down refuses, and the session stays.
func TestClosingNamespace(t *testing.T) {
	router := newRouter(nil)
	chat := router.Namespace("/chat")
	router.Namespace("/broken").OnInit(func(*wsrouter.Router) error { return errors.New("secret") })
	s := serve(t, router, nil)
	ws := s.connected()
	ws.join("40/chat,")
	require.NoError(t, chat.Shutdown(t.Context()))
	ws.reads("41/chat,")
	ws.write("40/chat,", "40/broken,")
	ws.reads(`44/chat,{"message":"shutting down"}`, `44/broken,{"message":"not available"}`)
	ws.write(`421["echo",1]`)
	ws.reads("431[1]")
}

// TestEvents: arguments, names, acks and answers, frame by frame.
func TestEvents(t *testing.T) {
	router := newRouter(nil)
	router.On("args", func(c *wsrouter.Context) error {
		var a int
		var b string
		if err := c.Args(&a, &b); err != nil {
			return err
		}
		return c.Reply(fmt.Sprint(a, b))
	})
	router.On("named", func(c *wsrouter.Context) error { return c.Reply(wsrouter.Response{Event: "other", Data: 1}) })
	router.On("nil", func(c *wsrouter.Context) error { return nil })
	router.On("stream", func(c *wsrouter.Context) error {
		ch := make(chan any)
		go func() {
			defer close(ch)
			ch <- 1
			ch <- wsrouter.Response{Event: "other", Data: 2}
		}()
		return wsrouter.Stream(c, ch)
	})
	router.On("many", func(c *wsrouter.Context) error { return c.Emit("several", 1, "two", nil) })
	s := serve(t, router, nil)
	ws := s.connected()
	for _, test := range []struct {
		send string
		want []string
	}{
		{`42["echo","<&> é"]`, []string{`42["echo","<&> é"]`}},
		{`421["echo"]`, []string{"431[null]"}},
		{`420["args",1,"x"]`, []string{`430["1x"]`}},
		{`4212["echo",[]]`, []string{"4312[[]]"}},
		{`42007["echo",1]`, []string{"437[1]"}},
		{`42000["echo",1]`, []string{"430[1]"}},
		{`42[1]`, []string{`42["1","number"]`}},
		{`424["1"]`, []string{`434["number"]`}},
		{`42["nil"]`, nil},
		{`425["nil"]`, []string{"435[]"}},
		{`42["named"]`, []string{`42["other",1]`}},
		{`426["named"]`, []string{`42["other",1]`, "436[]"}},
		{`42["stream"]`, []string{`42["stream",1]`, `42["other",2]`}},
		{`427["stream"]`, []string{`42["stream",1]`, `42["other",2]`, "437[]"}},
		{`42["many"]`, []string{`42["several",1,"two",null]`}},
		{`42["none"]`, nil},
		{`42[""]`, nil},
		{`43999[]`, nil},
	} {
		ws.write(test.send)
		ws.reads(test.want...)
	}
	ws.write(`429["none"]`)
	require.Regexp(t, `^42\["exception",\{"status":"error",`, ws.read())
	require.Regexp(t, `^439\[\{"status":"error",`, ws.read())
}

// TestErrorModes: how a client is told about a failed event, with and without an ack.
func TestErrorModes(t *testing.T) {
	const body = `{"status":"error","message":"no"}`
	emit, ack := `42["exception",`+body+`]`, `431[`+body+`]`
	for mode, want := range map[socketio.ErrorMode][]string{
		socketio.ErrorsBoth:      {emit, emit, ack},
		socketio.ErrorsAck:       {emit, ack},
		socketio.ErrorsException: {emit, emit},
	} {
		s := serve(t, newRouter(nil), &socketio.Options{Errors: mode})
		ws := s.connected()
		ws.write(`42["fail"]`, `421["fail"]`, `42["echo","end"]`)
		ws.reads(append(want, `42["echo","end"]`)...)
	}
}

// TestCalls: a Call is an event with an ack, and every client's ack is its data.
func TestCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		router := newRouter(nil)
		conns := make(chan *wsrouter.Conn, 1)
		router.OnConnect(func(c *wsrouter.Conn) error { conns <- c; return nil })
		s := serveInBubble(t, router, nil)
		ws := s.connected()
		conn := <-conns
		call := func(out any, answers ...string) error {
			done := make(chan error, 1)
			ctx, cancel := t.Context(), func() {}
			defer cancel()
			go func() { done <- conn.Call(ctx, "ask", "q", out) }()
			got := ws.read()
			id := got[2:strings.IndexByte(got, '[')]
			require.Equal(t, "42"+id+`["ask","q"]`, got)
			for _, a := range answers {
				ws.write(strings.ReplaceAll(a, "ID", id))
			}
			return <-done
		}
		var n int
		require.NoError(t, call(&n, "43999[1]", "43ID[5]", "43ID[6]"))
		require.Equal(t, 5, n)
		var list []any
		require.NoError(t, call(&list, `43ID[1,"two",null]`))
		require.Equal(t, []any{1.0, "two", nil}, list)
		require.NoError(t, call(nil, "43ID[]"))
		var data []byte
		require.NoError(t, call(&data, `461-ID[{"_placeholder":true,"num":0}]`, "\x00\x01\x02"))
		require.Equal(t, []byte{1, 2}, data)
		require.Error(t, call(nil, "41"))
	})
}

// oddInput are packets that close the session.
var oddInput = [][]string{
	{`42["echo"]`}, {"430[]"}, {"41"}, {"40", `42/chat,["echo"]`}, {"40", "43/chat,0[]"}, {"40", "41/chat,"},
	{"44{}"}, {"40", `44{"message":"x"}`},
	{"40", "4abc"}, {"40", "4"}, {"40", "49"}, {"40", "42["}, {"40", "42"}, {"40", "42{}"}, {"40", "42[]"}, {"40", "42[{}]"},
	{"40", `42abc["echo"]`}, {"40", "42[null]"}, {"40", "42[true]"}, {"40", `42["echo"]x`}, {"40", "43[1]"}, {"40", "431{}"},
	{"40[]"}, {`40"s"`}, {"40null"}, {"40", "41{}"}, {"40", "41[]"},
	{"40", `42["connect"]`}, {"40", `42["connect_error"]`}, {"40", `42["disconnect"]`}, {"40", `42["disconnecting"]`},
	{"40", `42["newListener"]`}, {"40", `42["removeListener"]`},
	{"40", `450-["echo"]`}, {"40", `4511-["echo"]`}, {"40", `45-["echo"]`}, {"40", `45["echo"]`}, {"40", `45x-["echo"]`}, {"40", `45-1-["echo"]`},
	{"40", `4599999999999999999999-["echo"]`}, {"40", "460-1[]"},
	{"40", "\x00stray"}, {"\x00stray"}, {"40", "\x00"},
	{"40", `451-["echo",1]`, `42["echo"]`}, {"40", `451-["echo",1]`, "41"},
	{"40", `451-["echo",{"_placeholder":true,"num":1}]`, "\x00a"}, {"40", `451-["echo",{"_placeholder":true,"num":-1}]`, "\x00a"},
	{"40", `451-["echo",{"_placeholder":true,"num":0.5}]`, "\x00a"}, {"40", `451-["echo",{"_placeholder":true,"num":"0"}]`, "\x00a"},
	{"40", `451-["echo",{"_placeholder":true,"num":null}]`, "\x00a"}, {"40", `451-["echo",{"_placeholder":true}]`, "\x00a"},
	{"40", `451-["echo",{"_placeholder":true,"num":0},{"_placeholder":true,"num":0}]`, "\x00a"},
	{"40", `421234567890123456["echo"]`}, {"40", `42["` + strings.Repeat("x", 300) + `"]`}, {"40/" + strings.Repeat("x", 300) + ","},
	{"40", "42[" + strings.Repeat("[", 10_000) + strings.Repeat("]", 10_000) + "]"},
	{"40", "2"}, {"40", "x"}, {"40", ""}, {"40", "7"}, {"40", "1"},
}

// TestOddInput is table 1.12 of the reference: what closes the session, and what is
// ignored.
func TestOddInput(t *testing.T) {
	router := newRouter(nil)
	router.Namespace("/chat")
	s := serve(t, router, nil)
	for _, packets := range oddInput {
		ws := s.direct()
		ws.write(packets...)
		for p := range ws.received {
			if p.err != nil {
				require.Contains(t, p.err.Error(), "StatusNoStatusRcvd", "%.100q", packets)
				break
			}
			require.Regexp(t, "^40", p.text, "%.100q", packets)
		}
	}
	ws := s.connected()
	ws.write("0", "5", "6", "3", "0{}", `43123[1]`, `421["echo",`+strings.Repeat("[", 9000)+strings.Repeat("]", 9000)+"]",
		`422["echo",1]`)
	require.Len(t, ws.read(), len("431[]")+18000)
	ws.reads("432[1]")
	ws.CloseNow()
	require.Eventually(t, func() bool { return socketio.Sessions(s.handler) == 0 }, waitLong, waitStep)
}

// TestFrameRate: WebSocket pings and engine packets count, too.
func TestFrameRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		router, gone := watched(&wsrouter.Options{FrameRate: 10})
		s := serveInBubble(t, router, nil)
		ws := s.connected()
		p := s.open()
		p.join("40")
		ws.write(strings.Split(strings.Repeat("3 ", 9), " ")[:9]...)
		time.Sleep(30 * time.Second)
		ws.write(`421["echo",1]`)
		ws.reads("2", "431[1]")
		p.post(strings.Repeat("3\x1e", 20) + "3")
		requireCause(t, wsrouter.CauseProtocol, <-gone)
	})
}

// TestFrameRateOfFragments: every fragment of a packet counts.
func TestFrameRateOfFragments(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		router, gone := watched(&wsrouter.Options{FrameRate: 10})
		ws := serveInBubble(t, router, nil).connected()
		w, err := ws.Writer(t.Context(), websocket.MessageText)
		require.NoError(t, err)
		for range 11 {
			w.Write([]byte("3"))
		}
		w.Close()
		requireCause(t, wsrouter.CauseProtocol, <-gone)
	})
}
