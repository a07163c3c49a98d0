package suite_test

import (
	"bufio"
	"context"
	"encoding/binary"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"
	"github.com/stretchr/testify/require"

	"github.com/wsrouter/wsrouter"
	"github.com/wsrouter/wsrouter/internal/leak"
	"github.com/wsrouter/wsrouter/internal/memnet"
)

// server serves h on a loopback port and returns its ws URL.
func server(t *testing.T, h http.Handler) string {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return "ws" + strings.TrimPrefix(s.URL, "http")
}

// upgrade serves h in the bubble and returns a raw connection after the 101.
func upgrade(t *testing.T, h http.Handler) net.Conn {
	t.Helper()
	client, err := memnet.Serve(t, h).Dial(t.Context(), "", "")
	require.NoError(t, err)
	t.Cleanup(func() { client.Close() })
	_, err = client.Write([]byte("GET / HTTP/1.1\r\nHost: memory\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"))
	require.NoError(t, err)
	resp, err := http.ReadResponse(bufio.NewReaderSize(oneByte{client}, 1), nil)
	require.NoError(t, err)
	require.Equal(t, http.StatusSwitchingProtocols, resp.StatusCode)
	return client
}

// oneByte keeps a bufio.Reader from reading beyond the response's head.
type oneByte struct{ net.Conn }

func (c oneByte) Read(p []byte) (int, error) { return c.Conn.Read(p[:1]) }

// wsFrame is a client's frame with a mask of zeros.
func wsFrame(opcode byte, fin bool, payload string) []byte {
	b := []byte{opcode, 0x80}
	if fin {
		b[0] |= 0x80
	}
	if len(payload) < 126 {
		b[1] |= byte(len(payload))
	} else {
		b[1] |= 126
		b = binary.BigEndian.AppendUint16(b, uint16(len(payload)))
	}
	return append(append(b, 0, 0, 0, 0), payload...)
}

// drainConn reads until the end, and passes on everything that came.
func drainConn(conn net.Conn) <-chan string {
	all := make(chan string, 1)
	go func() {
		var b strings.Builder
		buf := make([]byte, 4096)
		for {
			n, err := conn.Read(buf)
			b.Write(buf[:n])
			if err != nil {
				all <- b.String()
				return
			}
		}
	}()
	return all
}

// TestMessageTimeout: a message that trickles, in its payload, its fragments or its
// header, is cut off after MessageTimeout, however lively it looks.
func TestMessageTimeout(t *testing.T) {
	trickles := map[string]func(conn net.Conn) error{
		"payload": func(conn net.Conn) error {
			if _, err := conn.Write(wsFrame(1, true, strings.Repeat("x", 100))[:10]); err != nil {
				return err
			}
			for {
				time.Sleep(5 * time.Second)
				if _, err := conn.Write([]byte("x")); err != nil {
					return err
				}
			}
		},
		"fragments": func(conn net.Conn) error {
			if _, err := conn.Write(wsFrame(1, false, "x")); err != nil {
				return err
			}
			for {
				time.Sleep(5 * time.Second)
				if _, err := conn.Write(wsFrame(0, false, "x")); err != nil {
					return err
				}
			}
		},
		"header": func(conn net.Conn) error {
			for _, b := range wsFrame(1, true, strings.Repeat("x", 200)) {
				if _, err := conn.Write([]byte{b}); err != nil {
					return err
				}
				time.Sleep(20 * time.Second)
			}
			return nil
		},
	}
	for name, trickle := range trickles {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				router := newRouter()
				gone := make(chan error, 1)
				router.OnDisconnect(func(_ context.Context, _ *wsrouter.Conn, err *wsrouter.CloseError) { gone <- err })
				conn := upgrade(t, router)
				all := drainConn(conn)
				begin := time.Now()
				go trickle(conn)
				var ce *wsrouter.CloseError
				require.ErrorAs(t, <-gone, &ce)
				require.Equal(t, wsrouter.CauseTimeout, ce.Cause)
				require.Equal(t, "message took too long", ce.Reason)
				took := time.Since(begin)
				require.GreaterOrEqual(t, took, time.Minute)
				require.LessOrEqual(t, took, time.Minute+40*time.Second)
				conn.Close()
				<-all
				time.Sleep(time.Hour)
			})
		})
	}
}

// TestSlowMessageInTime: one that takes less than MessageTimeout is handled.
func TestSlowMessageInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		router := newRouter()
		conn := upgrade(t, router)
		all := drainConn(conn)
		frame := wsFrame(1, true, `{"event":"events","data":"slow"}`)
		for round := range 3 {
			for i := range frame {
				if round == 1 { // a ping in between is not part of it
					conn.Write(wsFrame(9, true, ""))
					conn.Write(frame)
					break
				}
				conn.Write(frame[i : i+1])
				time.Sleep(time.Second)
			}
		}
		time.Sleep(time.Minute)
		conn.Write(wsFrame(8, true, "\x03\xe8"))
		require.Equal(t, 3, strings.Count(<-all, `{"event":"events","data":"slow"}`))
	})
}

// TestLivenessWebSocket: a WebSocket peer that says nothing is gone after 45 s; a pong
// keeps it.
func TestLivenessWebSocket(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		router := newRouter()
		gone := make(chan error, 1)
		router.OnDisconnect(func(_ context.Context, _ *wsrouter.Conn, err *wsrouter.CloseError) { gone <- err })
		conn := upgrade(t, router)
		begin := time.Now()
		buf := make([]byte, 64)
		for range 5 { // five pings are answered
			n, err := conn.Read(buf)
			require.NoError(t, err)
			require.EqualValues(t, 0x89, buf[0])
			conn.Write(wsFrame(10, true, string(buf[2:n])))
		}
		all := drainConn(conn)
		var ce *wsrouter.CloseError
		require.ErrorAs(t, <-gone, &ce)
		require.Equal(t, wsrouter.CauseTimeout, ce.Cause)
		require.Equal(t, 5*25*time.Second+45*time.Second, time.Since(begin))
		<-all
	})
}

func dial(t *testing.T, url string) *websocket.Conn {
	t.Helper()
	conn, _, err := websocket.Dial(t.Context(), url, nil)
	require.NoError(t, err)
	conn.SetReadLimit(-1)
	t.Cleanup(func() { conn.CloseNow() })
	return conn
}

func write(t *testing.T, conn *websocket.Conn, typ websocket.MessageType, frame string) {
	t.Helper()
	require.NoError(t, conn.Write(t.Context(), typ, []byte(frame)))
}

func read(t *testing.T, conn *websocket.Conn) string {
	t.Helper()
	_, data, err := conn.Read(t.Context())
	require.NoError(t, err)
	return string(data)
}

// TestHostileFrames: whatever a WebSocket peer sends wrong ends in a clean close, and
// does not affect others.
func TestHostileFrames(t *testing.T) {
	raw := func(b ...byte) []byte { return b }
	tests := []struct {
		name  string
		bytes []byte
		code  int
	}{
		{"invalid UTF-8", wsFrame(1, true, "\"\xff\""), 1007},
		{"unmasked", append(raw(0x81, 2), "{}"...), 1002},
		{"reserved bits", wsFrame(0x71, true, "{}"), 1002},
		{"unknown opcode", wsFrame(3, true, ""), 1002},
		{"long ping", wsFrame(9, true, strings.Repeat("x", 126)), 1002},
		{"fragmented ping", wsFrame(9, false, "x"), 1002},
		{"continuation of nothing", wsFrame(0, true, "x"), 1002},
		{"negative length", raw(0x81, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0), 1002},
		{"half a close", wsFrame(8, true, "\x03"), 1002},
		{"close code that is none", wsFrame(8, true, "\x03\xed"), 1002},
		{"close reason that is no text", wsFrame(8, true, "\x03\xe8\xff"), 1007},
		{"invalid UTF-8 in a fragment", append(wsFrame(1, false, "\"\xff"), wsFrame(0, false, "")...), 1007},
		{"message in a message", append(wsFrame(1, false, "{"), wsFrame(1, true, "{}")...), 1002},
		{"compressed without leave", wsFrame(0x41, true, "{}"), 1002},
		{"too big", wsFrame(1, true, strings.Repeat(" ", 2000)), 1009},
		{"too big in fragments", append(wsFrame(1, false, strings.Repeat(" ", 900)), wsFrame(0, false, strings.Repeat(" ", 900))...), 1009},
		{"huge length announced", raw(0x81, 0xff, 0, 0, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0), 0},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				router := wireRouter(&wsrouter.Options{MaxMessage: 1000})
				conn := upgrade(t, router)
				all := drainConn(conn)
				conn.SetWriteDeadline(time.Now().Add(time.Minute))
				conn.Write(test.bytes)
				time.Sleep(time.Second)
				if test.code == 0 { // it just waits for what never comes
					conn.Close()
					<-all
					return
				}
				frames := <-all
				i := strings.Index(frames, "\x88")
				require.GreaterOrEqual(t, i, 0, "no close frame in %q", frames)
				require.EqualValues(t, test.code, binary.BigEndian.Uint16([]byte(frames[i+2:])))
				time.Sleep(time.Hour)
				require.Equal(t, 0, router.Stats().Connections)
			})
		})
	}
}

// TestFragments: an event that comes in fragments, cut anywhere and with pings in
// between, is handled like one that comes whole.
func TestFragments(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conn := upgrade(t, wireRouter(nil))
		event := `{"event":"echo","data":"数據"}`
		for cut := range len(event) {
			go func() {
				conn.Write(wsFrame(1, false, event[:cut]))
				conn.Write(wsFrame(9, true, "in between"))
				conn.Write(wsFrame(0, false, ""))
				conn.Write(wsFrame(0, true, event[cut:]))
			}()
			requireFrame(t, conn, 0x8a, "in between")
			requireFrame(t, conn, 0x81, event)
		}
	})
}

// TestBinaryFramesIn: JSON in a binary frame is read like text.
func TestBinaryFramesIn(t *testing.T) {
	url := server(t, wireRouter(nil))
	conn := dial(t, url)
	write(t, conn, websocket.MessageBinary, `{"event":"echo","data":1}`)
	require.Equal(t, `{"event":"echo","data":1}`, read(t, conn))
	write(t, conn, websocket.MessageBinary, "\xff\x00")
	require.Equal(t, invalid+`frame is not valid UTF-8","code":"invalid"}}`, read(t, conn))
}

// TestMaxMessage: a message at the limit passes, one byte more closes with 1009.
func TestMaxMessage(t *testing.T) {
	url := server(t, wireRouter(&wsrouter.Options{MaxMessage: 1000}))
	frame := `{"event":"echo","data":"` + strings.Repeat("x", 1000-len(`{"event":"echo","data":""}`)) + `"}`
	conn := dial(t, url)
	write(t, conn, websocket.MessageText, frame)
	require.Equal(t, frame, read(t, conn))
	write(t, conn, websocket.MessageText, frame+" ")
	_, _, err := conn.Read(t.Context())
	require.Equal(t, websocket.StatusMessageTooBig, websocket.CloseStatus(err))
}

// TestOrigins: only the same origin is allowed, unless others are named.
func TestOrigins(t *testing.T) {
	tests := []struct {
		origins []string
		origin  string
		ok      bool
	}{
		{nil, "", true},
		{nil, "http://HOST", true},
		{nil, "https://HOST", true},
		{nil, "http://evil.example", false},
		{nil, "http://HOST.evil.example", false},
		{nil, "null", false},
		{nil, "file://", false},
		{nil, "%", false},
		{[]string{"*.example.com"}, "https://app.example.com", true},
		{[]string{"*.example.com"}, "https://APP.example.com", true},
		{[]string{"*.example.com"}, "https://example.com", false},
		{[]string{"https://app.example.com"}, "https://app.example.com", true},
		{[]string{"https://app.example.com"}, "http://app.example.com", false},
		{[]string{"app.example.com"}, "https://app.example.com:8443", false},
		{[]string{"*"}, "https://anything.example:1", true},
		{[]string{"*"}, "null", true},
		{[]string{"app.example.com"}, "null", false},
	}
	for _, test := range tests {
		router := wireRouter(&wsrouter.Options{Origins: test.origins})
		url := server(t, router)
		header := http.Header{}
		if test.origin != "" {
			header.Set("Origin", strings.ReplaceAll(test.origin, "HOST", strings.TrimPrefix(url, "ws://")))
		}
		client, err := wsrouter.Dial(t.Context(), url, &wsrouter.DialOptions{Header: header})
		if !test.ok {
			var status *wsrouter.StatusError
			require.ErrorAs(t, err, &status, test.origin)
			require.Equal(t, http.StatusForbidden, status.StatusCode)
			continue
		}
		require.NoError(t, err, test.origin)
		require.NoError(t, client.Close())
	}
}

// TestSubprotocols: ours is accepted if offered, and so are others that the mount
// names.
func TestSubprotocols(t *testing.T) {
	url := server(t, newRouter().Handler(&wsrouter.WSOptions{Subprotocols: []string{"my.v2"}}))
	for want, offered := range map[string][]string{"": {"other"}, "wsrouter.v1": {"my.v2", "wsrouter.v1"}, "my.v2": {"other", "my.v2"}} {
		conn, _, err := websocket.Dial(t.Context(), url, &websocket.DialOptions{Subprotocols: offered})
		require.NoError(t, err)
		require.Equal(t, want, conn.Subprotocol())
		conn.CloseNow()
	}
}

// TestSessionSubprotocol: it is chosen if offered and if connections outlive the
// network, but not in NestJS's variant, whose bare values may look like session frames.
func TestSessionSubprotocol(t *testing.T) {
	session, plain := []string{"wsrouter.v1.session", "wsrouter.v1"}, []string{"wsrouter.v1"}
	recovery := &wsrouter.Options{Recovery: &wsrouter.Recovery{}}
	for _, test := range []struct {
		opts    *wsrouter.Options
		codec   wsrouter.Codec
		offered []string
		want    string
	}{
		{recovery, wsrouter.JSON, session, "wsrouter.v1.session"},
		{recovery, wsrouter.JSON, plain, "wsrouter.v1"},
		{recovery, wsrouter.NestJSON, session, "wsrouter.v1"},
		{nil, wsrouter.JSON, session, "wsrouter.v1"},
	} {
		url := server(t, wsrouter.New(test.opts).Handler(&wsrouter.WSOptions{Codec: test.codec}))
		conn, _, err := websocket.Dial(t.Context(), url, &websocket.DialOptions{Subprotocols: test.offered})
		require.NoError(t, err)
		require.Equal(t, test.want, conn.Subprotocol())
		conn.CloseNow()
	}
}

// TestNoUpgrade: other requests get a status.
func TestNoUpgrade(t *testing.T) {
	url := server(t, newRouter())
	resp, err := http.Get("http" + strings.TrimPrefix(url, "ws"))
	require.NoError(t, err)
	resp.Body.Close()
	require.Equal(t, http.StatusUpgradeRequired, resp.StatusCode)
}

// TestNoLeaksWebSocket: an idle connection costs one goroutine, and none once it has
// ended, for both ways of mounting. ServeHTTP only returns early with Detach.
func TestNoLeaksWebSocket(t *testing.T) {
	for name, opts := range map[string]*wsrouter.WSOptions{"blocking": nil, "detached": {Detach: true}} {
		t.Run(name, func(t *testing.T) {
			router := wireRouter(nil)
			returned := make(chan struct{}, 20)
			h := router.Handler(opts)
			url := server(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				h.ServeHTTP(w, r)
				returned <- struct{}{}
			}))
			before := goroutines()
			var conns []*websocket.Conn
			for range 20 {
				conn := dial(t, url)
				write(t, conn, websocket.MessageText, `{"event":"echo","data":1}`)
				read(t, conn)
				conns = append(conns, conn)
			}
			if opts != nil {
				for range 20 {
					<-returned
				}
			}
			require.Eventually(t, func() bool { return goroutines() <= before+20 }, 10*time.Second, time.Millisecond)
			for i, conn := range conns {
				if i%2 == 0 {
					conn.CloseNow()
				} else {
					conn.Close(websocket.StatusNormalClosure, "")
				}
			}
			if opts == nil {
				for range 20 {
					<-returned
				}
			}
			require.Eventually(t, func() bool { return goroutines() <= before }, 10*time.Second, time.Millisecond)
			require.NoError(t, router.Shutdown(t.Context()))
		})
	}
}

// goroutines counts those that run our code or serve for it.
func goroutines() (n int) {
	for _, g := range leak.Stacks() {
		if strings.Contains(g, "wsrouter.(") {
			n++
		}
	}
	return n
}

// TestBurst: 10,000 events at once, over TCP, are all handled in order.
func TestBurst(t *testing.T) {
	router := wsrouter.New(nil)
	handled := 0
	done := make(chan struct{})
	router.On("n", func(c *wsrouter.Context) error {
		var i int
		if err := c.Bind(&i); err != nil || i != handled {
			t.Errorf("got event %d with %v, want %d", i, err, handled)
		}
		if handled++; handled == 10_000 {
			close(done)
		}
		return nil
	})
	client, err := wsrouter.Dial(t.Context(), server(t, router), nil)
	require.NoError(t, err)
	for i := range 10_000 {
		require.NoError(t, client.Emit("n", i))
	}
	<-done
	require.NoError(t, client.Close())
}

// TestCloseWhileReading: our side closes while frames keep arriving.
func TestCloseWhileReading(t *testing.T) {
	router := wsrouter.New(nil)
	router.On("close", func(c *wsrouter.Context) error { return c.Conn().Close(4001, "bye") })
	url := server(t, router)
	for range 50 {
		client, err := wsrouter.Dial(t.Context(), url, nil)
		require.NoError(t, err)
		for range 20 {
			client.Emit("close")
		}
		<-client.Conn().Context().Done()
		require.NoError(t, client.Close())
	}
}
