package socketio_test

import (
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"
	"github.com/stretchr/testify/require"

	"github.com/wsrouter/wsrouter"
	"github.com/wsrouter/wsrouter/socketio"
)

// TestMixedRoom: plain and Socket.IO clients in one room see each other's events,
// including bytes.
func TestMixedRoom(t *testing.T) {
	router := wsrouter.New(nil)
	router.OnConnect(func(c *wsrouter.Conn) error { return c.Join("room") })
	router.On("say", func(c *wsrouter.Context) error {
		var v struct {
			Text string `json:"text"`
			Data []byte `json:"data"`
		}
		if err := c.Bind(&v); err != nil {
			return err
		}
		return c.To("room").Emit("said", v)
	})
	s := serve(t, router, nil)
	plain := httptest.NewServer(router)
	t.Cleanup(plain.Close)
	ws := s.connected()
	conn, _, err := websocket.Dial(t.Context(), "ws"+plain.URL[4:], nil)
	require.NoError(t, err)
	t.Cleanup(func() { conn.CloseNow() })
	require.Eventually(t, func() bool { return router.Stats().Connections == 2 }, waitLong, waitStep)

	ws.write(`451-["say",{"text":"a","data":{"num":0,"_placeholder":true}}]`, "\x00\x01\x02")
	_, data, err := conn.Read(t.Context())
	require.NoError(t, err)
	require.Equal(t, `{"event":"said","data":{"text":"a","data":"AQI="}}`, string(data))
	require.NoError(t, conn.Write(t.Context(), websocket.MessageText, []byte(`{"event":"say","data":{"text":"b","data":"AwQ="}}`)))
	ws.reads(`451-["said",{"text":"b","data":{"_placeholder":true,"num":0}}]`, "\x00\x03\x04")
}

// TestGuard: OnConnect guards every adapter and transport.
func TestGuard(t *testing.T) {
	router := newRouter(nil)
	router.OnConnect(func(*wsrouter.Conn) error { return wsrouter.NewError("closed") })
	s := serve(t, router, nil)
	const refused = `44{"message":"closed"}`
	ws := s.direct()
	ws.write("40", `421["echo",1]`)
	ws.reads(refused)
	p := s.open()
	p.post("40\x1e421[\"echo\",1]")
	require.Equal(t, refused, p.get())
	plain := httptest.NewServer(router)
	t.Cleanup(plain.Close)
	conn, _, err := websocket.Dial(t.Context(), "ws"+plain.URL[4:], nil)
	require.NoError(t, err)
	_, _, err = conn.Read(t.Context())
	require.Equal(t, websocket.StatusPolicyViolation, websocket.CloseStatus(err))
	require.Zero(t, router.Stats().Connects)
}

// TestBinaryCounts: one to ten attachments, in events and in acks.
func TestBinaryCounts(t *testing.T) {
	s := serve(t, newRouter(nil), nil)
	ws := s.connected()
	for n := 1; n <= 10; n++ {
		var places, parts []string
		for i := range n {
			places = append(places, `{"_placeholder":true,"num":`+string(rune('0'+i))+`}`)
			parts = append(parts, "\x00"+strings.Repeat("x", i+1))
		}
		count := map[bool]string{true: "10", false: string(rune('0' + n))}[n == 10]
		data := "[" + strings.Join(places, ",") + "]"
		ws.write(`45` + count + `-1["echo",` + data + `]`)
		ws.write(parts...)
		ws.reads(`46` + count + `-1[` + data + `]`)
		ws.reads(parts...)
	}
}

// TestSlowPoller: 3,000 x 64 KiB to a client that never polls stay within the limit.
// The client is closed as slow, which is counted and reported.
func TestSlowPoller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		router, gone := watched(nil)
		s := serveInBubble(t, router, nil)
		p := s.open()
		p.join("40")
		text := strings.Repeat("x", 64<<10)
		for range 3000 {
			require.NoError(t, router.Emit("big", text))
			require.LessOrEqual(t, router.Stats().Outbox, 1<<20)
		}
		requireCause(t, wsrouter.CauseSlow, <-gone)
		require.EqualValues(t, 1, router.Stats().Slow)
		require.Zero(t, socketio.Sessions(s.handler))
	})
}

// TestSlowReader: WriteTimeout limits a poll whose response is read at one byte a
// second.
func TestSlowReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		router, gone := watched(nil)
		s := serveInBubble(t, router, nil)
		p := s.open()
		p.join("40")
		require.NoError(t, router.Emit("big", strings.Repeat("x", 64<<10)))
		conn, err := newConn(s)
		require.NoError(t, err)
		defer conn.Close()
		begin := time.Now()
		conn.Write([]byte("GET /socket.io/?" + p.query() + " HTTP/1.1\r\nHost: memory\r\n\r\n"))
		for err == nil {
			time.Sleep(time.Second)
			_, err = conn.Read(make([]byte, 1))
		}
		requireCause(t, wsrouter.CauseSlow, <-gone)
		require.LessOrEqual(t, time.Since(begin), 12*time.Second)
		require.Zero(t, socketio.Sessions(s.handler))
	})
}

// TestRelay: what was bound to an any is sent on as it came, and so are a field and an
// argument. Text is never mistaken for the attachment beside it.
func TestRelay(t *testing.T) {
	router := wsrouter.New(nil)
	router.On("all", func(c *wsrouter.Context) error {
		var v any
		if err := c.Bind(&v); err != nil {
			return err
		}
		return c.Emit("all", v)
	})
	router.On("field", func(c *wsrouter.Context) error {
		var v any
		if err := c.Field("a", &v); err != nil {
			return err
		}
		return c.Emit("field", v)
	})
	router.On("args", func(c *wsrouter.Context) error {
		var a, b any
		if err := c.Args(&a, &b); err != nil {
			return err
		}
		return c.Emit("args", a, b)
	})
	s := serve(t, router, nil)
	ws := s.connected()
	const zero = `{"_placeholder":true,"num":0}`
	for _, test := range []string{
		`451-["all",` + zero + `]`,
		`451-["all",{"a":` + zero + `,"b":"AQ=="}]`,
		`451-["all",["AQ==",` + zero + `]]`,
		`451-["args",` + zero + `,"AQ=="]`,
		`451-["args","AQ==",[` + zero + `]]`,
	} {
		for _, part := range []string{"\x00\x01", "\x00"} {
			ws.write(test, part)
			ws.reads(test, part)
		}
	}
	ws.write(`451-["field",{"a":[`+zero+`]}]`, "\x00")
	ws.reads(`451-["field",[`+zero+`]]`, "\x00")
	ws.write(`451-["args",["AQ==",`+zero+`]]`, "\x00\x01") // one array is one argument: this wire distinguishes them
	ws.reads(`451-["args",["AQ==",`+zero+`],null]`, "\x00\x01")
}

// TestCallMixedRoom: a call to a room sends bytes to Socket.IO clients and base64 to
// plain ones, and bytes in an answer stay bytes.
func TestCallMixedRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		router := wsrouter.New(nil)
		router.OnConnect(func(c *wsrouter.Conn) error { return c.Join("room") })
		s := serveInBubble(t, router, nil)
		ws := s.connected()
		handlers := wsrouter.New(nil)
		handlers.On("ask", func(c *wsrouter.Context) error { return c.Reply(c.Value()) })
		plain, err := router.Connect(t.Context(), &wsrouter.DialOptions{Router: handlers})
		require.NoError(t, err)
		defer plain.Close()
		synctest.Wait()

		in := map[string]any{"a": []byte{1}, "b": "AQ=="}
		var answers []wsrouter.Answer
		go func() { answers, err = router.To("room").Call(t.Context(), "ask", in) }()
		ws.reads(`451-1["ask",{"a":{"_placeholder":true,"num":0},"b":"AQ=="}]`, "\x00\x01")
		ws.write(`461-1[["AQ==",{"_placeholder":true,"num":0}]]`, "\x00\x01")
		synctest.Wait()
		require.NoError(t, err)
		var got []any
		for _, a := range answers {
			var v any
			require.NoError(t, a.Bind(&v))
			got = append(got, v)
		}
		require.ElementsMatch(t, []any{[]any{"AQ==", []byte{1}}, map[string]any{"a": "AQ==", "b": "AQ=="}}, got)
	})
}

// TestForwardedBytes: what Value sends on is a Buffer for Socket.IO, top-level and
// nested, and base64 on the plain wire.
func TestForwardedBytes(t *testing.T) {
	router := wsrouter.New(nil)
	router.On("cast", func(c *wsrouter.Context) error { return router.Emit("cast", c.Value()) })
	router.On("tell", func(c *wsrouter.Context) error {
		return router.Emit("told", map[string]any{"by": "ada", "data": c.Value()})
	})
	s := serve(t, router, nil)
	plain := httptest.NewServer(router)
	t.Cleanup(plain.Close)
	ws := s.connected()
	conn, _, err := websocket.Dial(t.Context(), "ws"+plain.URL[4:], nil)
	require.NoError(t, err)
	t.Cleanup(func() { conn.CloseNow() })
	require.Eventually(t, func() bool { return router.Stats().Connections == 2 }, waitLong, waitStep)

	const gap = `{"_placeholder":true,"num":0}`
	for _, test := range []struct{ sent, got, plain string }{
		{`["cast",` + gap + `]`, `["cast",` + gap + `]`, `{"event":"cast","data":"AQI="}`},
		{`["cast",{"n":9007199254740993,"f":[` + gap + `]}]`, `["cast",{"n":9007199254740993,"f":[` + gap + `]}]`, `{"event":"cast","data":{"n":9007199254740993,"f":["AQI="]}}`},
		{`["tell",{"f":` + gap + `}]`, `["told",{"by":"ada","data":{"f":` + gap + `}}]`, `{"event":"told","data":{"by":"ada","data":{"f":"AQI="}}}`},
	} {
		ws.write("451-"+test.sent, "\x00\x01\x02")
		ws.reads("451-"+test.got, "\x00\x01\x02")
		_, data, err := conn.Read(t.Context())
		require.NoError(t, err)
		require.Equal(t, test.plain, string(data))
	}
}

// TestMetaHasNoPlace: the meta of a context is not sent over this wire, and nothing
// else changes.
func TestMetaHasNoPlace(t *testing.T) {
	router := wsrouter.New(nil)
	router.On("emit", func(c *wsrouter.Context) error {
		ctx := wsrouter.WithMeta(c.Context(), "traceparent", "00-1-2-01")
		require.NoError(t, c.WithContext(ctx).Emit("emitted", 1))
		require.NoError(t, c.Conn().EmitContext(ctx, "emitted", c.Meta("traceparent")))
		c.Yield()
		var answer wsrouter.Answer
		require.NoError(t, c.Conn().Call(ctx, "asked", nil, &answer))
		require.Empty(t, answer.Meta("traceparent"))
		return c.Reply(answer.Raw)
	})
	ws := serve(t, router, nil).connected()
	ws.write(`427["emit",{"meta":{"traceparent":"00-1-2-01"}}]`)
	ws.reads(`42["emitted",1]`, `42["emitted",""]`, `421["asked"]`)
	ws.write(`431["answer",{"traceparent":"00-1-2-01"}]`)
	ws.reads(`437[["answer",{"traceparent":"00-1-2-01"}]]`)
}
