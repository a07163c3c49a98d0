package socket_test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wsrouter/wsrouter/internal/socket"
)

func options() socket.Options {
	return socket.Options{
		MaxMessage: 1 << 20, MessageTimeout: time.Minute, WriteTimeout: 10 * time.Second,
		Alive: func() {}, Control: func() {},
	}
}

// serveEcho serves echoes on a loopback port. first runs before the upgrade.
func serveEcho(t *testing.T, opts socket.Options, first func(http.Header)) *httptest.Server {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if first != nil {
			first(w.Header())
		}
		if conn, err := socket.Accept(w, r, opts); err == nil {
			echo(conn)
		}
	}))
	t.Cleanup(s.Close)
	return s
}

// ask sends the beginning of a handshake, and more, and returns the answer.
func ask(t *testing.T, s *httptest.Server, head, more string) (*http.Response, net.Conn, *bufio.Reader) {
	t.Helper()
	conn, err := net.Dial("tcp", s.Listener.Addr().String())
	require.NoError(t, err)
	t.Cleanup(func() { conn.Close() })
	_, err = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"+head+"\r\n"+more)
	require.NoError(t, err)
	r := bufio.NewReader(conn)
	resp, err := http.ReadResponse(r, nil)
	require.NoError(t, err)
	return resp, conn, r
}

// TestEarlyFrames: a client may send frames before it has received the 101.
func TestEarlyFrames(t *testing.T) {
	s := serveEcho(t, options(), nil)
	resp, _, r := ask(t, s, "", string(masked(0x81, "early"))+string(masked(0x81, "bird")))
	require.Equal(t, http.StatusSwitchingProtocols, resp.StatusCode)
	for _, want := range []string{"early", "bird"} {
		_, payload, err := frame(t, r)
		require.NoError(t, err)
		require.Equal(t, want, string(payload))
	}
}

// TestBodyHeaders: headers that middleware sets about a body are left out of the
// 101, which has no body; its other headers are sent.
func TestBodyHeaders(t *testing.T) {
	s := serveEcho(t, options(), func(h http.Header) {
		h.Set("Content-Length", "100")
		h.Set("Transfer-Encoding", "chunked")
		h.Set("X-Other", "there")
	})
	resp, conn, r := ask(t, s, "", "")
	require.Equal(t, http.StatusSwitchingProtocols, resp.StatusCode)
	require.Empty(t, resp.Header["Content-Length"])
	require.Empty(t, resp.TransferEncoding)
	require.Equal(t, "there", resp.Header.Get("X-Other"))
	conn.Write(masked(0x81, "frame"))
	_, payload, err := frame(t, r)
	require.NoError(t, err)
	require.Equal(t, "frame", string(payload))
}

// TestRequestBody: a handshake with a body is refused, because the body could be
// read as frames.
func TestRequestBody(t *testing.T) {
	s := serveEcho(t, options(), nil)
	body := string(masked(0x81, "smuggled"))
	for _, head := range []string{"Content-Length: 14\r\n", "Transfer-Encoding: chunked\r\n"} {
		if strings.HasPrefix(head, "T") {
			body = "e\r\n" + body + "\r\n0\r\n\r\n"
		}
		resp, _, _ := ask(t, s, head, body)
		require.Equal(t, http.StatusBadRequest, resp.StatusCode)
	}
}

// TestConnThatReadsThroughTheBuffer: middleware may count or log what a client sends in
// a net.Conn that reads from the bufio.Reader of Hijack, which also has the early bytes.
func TestConnThatReadsThroughTheBuffer(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if conn, err := socket.Accept(buffered{w}, r, options()); err == nil {
			echo(conn)
		}
	}))
	t.Cleanup(s.Close)
	_, conn, r := ask(t, s, "", "")
	require.NoError(t, conn.SetDeadline(time.Now().Add(10*time.Second))) // a panic would leave it open
	conn.Write(masked(0x81, "frame"))
	_, payload, err := frame(t, r)
	require.NoError(t, err)
	require.Equal(t, "frame", string(payload))
}

type buffered struct{ http.ResponseWriter }

func (b buffered) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, brw, err := http.NewResponseController(b.ResponseWriter).Hijack()
	return bufferedConn{conn, brw.Reader}, brw, err
}

type bufferedConn struct {
	net.Conn
	r *bufio.Reader
}

func (c bufferedConn) Read(p []byte) (int, error) { return c.r.Read(p) }
