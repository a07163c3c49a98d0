package socket_test

import (
	"bufio"
	"context"
	"crypto/sha1"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wsrouter/wsrouter/internal/socket"
)

func switching(r *http.Request) string {
	sum := sha1.Sum([]byte(r.Header.Get("Sec-Websocket-Key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	return "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: " +
		base64.StdEncoding.EncodeToString(sum[:]) + "\r\n\r\n"
}

// hostile serves connections over TCP or TLS, and hands each over after the head of
// the request.
func hostile(t *testing.T, encrypted bool, serve func(*http.Request, net.Conn)) (url string, client *http.Client) {
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err == nil {
			defer conn.Close()
			serve(r, conn)
		}
	}))
	if encrypted {
		s.StartTLS()
	} else {
		s.Start()
	}
	t.Cleanup(s.Close)
	return strings.Replace(s.URL, "http", "ws", 1), s.Client()
}

func dialed(t *testing.T, url string, client *http.Client, opts socket.Options) *socket.Conn {
	t.Helper()
	conn, _, err := socket.Dial(t.Context(), url, client, nil, opts)
	require.NoError(t, err)
	t.Cleanup(conn.Abort)
	return conn
}

// TestDialHostile: a server that breaks the rules is told so, and nothing that it
// sent after that is delivered; nor is a message that is cut off.
func TestDialHostile(t *testing.T) {
	for name, test := range map[string]struct {
		sent string
		want error
		told string // the payload of the close frame
	}{
		"mask":             {string(masked(0x81, "hello")), socket.ErrProtocol, "\x03\xea"},
		"length of 2^63":   {"\x82\x7f\x80\x00\x00\x00\x00\x00\x00\x00", socket.ErrProtocol, "\x03\xea"},
		"too big":          {"\x82\x7f\x00\x00\x00\x00\x00\x10\x00\x01", socket.ErrTooBig, "\x03\xf1"},
		"no text":          {"\x81\x01\xff", socket.ErrUTF8, "\x03\xef"},
		"reason":           {"\x88\x03\x03\xe8\xff", socket.ErrUTF8, "\x03\xef"},
		"compressed":       {"\xc1\x01x", socket.ErrProtocol, "\x03\xea"},
		"cut payload":      {"\x81\x05hell", io.ErrUnexpectedEOF, ""},
		"cut in fragments": {"\x01\x04hell", io.ErrUnexpectedEOF, ""},
		"cut header":       {"\x81", io.ErrUnexpectedEOF, ""},
		"cut":              {"", io.EOF, ""},
	} {
		for _, encrypted := range []bool{false, true} {
			t.Run(fmt.Sprint(name, encrypted), func(t *testing.T) {
				told := make(chan string, 1)
				url, client := hostile(t, encrypted, func(r *http.Request, conn net.Conn) {
					io.WriteString(conn, switching(r)+test.sent)
					if test.told == "" {
						return
					}
					told <- closeFrame(conn)
				})
				conn := dialed(t, url, client, options())
				data, _, err := conn.Read()
				require.Nil(t, data)
				require.ErrorIs(t, err, test.want)
				if test.told != "" {
					conn.Close(closeCode(err), "")
					require.Equal(t, test.told, <-told)
				}
			})
		}
	}
}

// closeFrame reads a client's close frame and returns its payload.
func closeFrame(conn io.Reader) string {
	head := make([]byte, 6)
	if _, err := io.ReadFull(conn, head); err != nil || head[0] != 0x88 {
		return fmt.Sprint(head, err)
	}
	payload := make([]byte, head[1]&0x7f)
	io.ReadFull(conn, payload)
	for i := range payload {
		payload[i] ^= head[2+i&3]
	}
	return string(payload)
}

// TestDialEcho: messages of every length and kind go both ways, with pings and a
// closing handshake.
func TestDialEcho(t *testing.T) {
	s := serveEcho(t, options(), nil)
	alive := make(chan struct{}, 100)
	opts := options()
	opts.Control = func() { alive <- struct{}{} }
	conn := dialed(t, s.URL, nil, opts)
	require.False(t, conn.BeginNow())
	for _, size := range []int{0, 1, 125, 126, 5000, 65535, 65536, 1 << 20} {
		message := strings.Repeat("m", size)
		go func() {
			conn.Begin()
			conn.Write("", []byte(message), size%2 == 0)
			conn.End()
		}()
		data, text, err := conn.Read()
		require.NoError(t, err)
		require.Equal(t, size%2 == 0, text)
		require.Equal(t, message, string(data))
	}
	conn.Ping()
	conn.Begin()
	conn.Write("", []byte("last"), true)
	conn.End()
	data, _, err := conn.Read()
	require.NoError(t, err)
	require.Equal(t, "last", string(data))
	<-alive // the pong arrived before
	conn.Close(4000, "")
	_, _, err = conn.Read()
	code, _, _ := socket.CloseStatus(err)
	require.Equal(t, 4000, code)
}

// TestDialFails: no server can keep a Dial beyond its context, or redirect it in a
// circle.
func TestDialFails(t *testing.T) {
	failing := func(limit time.Duration, serve func(*http.Request, net.Conn)) error {
		url, client := hostile(t, false, serve)
		ctx, cancel := context.WithTimeout(t.Context(), limit)
		defer cancel()
		begin := time.Now()
		_, _, err := socket.Dial(ctx, url, client, nil, options())
		require.Less(t, time.Since(begin), limit+30*time.Second, "the servers would wait forever")
		return err
	}
	silent := func(_ *http.Request, conn net.Conn) { io.Copy(io.Discard, conn) }
	require.ErrorIs(t, failing(200*time.Millisecond, silent), context.DeadlineExceeded)
	wrongKey := func(r *http.Request, conn net.Conn) {
		io.WriteString(conn, strings.Replace(switching(r), "Accept: ", "Accept: x", 1))
		io.Copy(io.Discard, conn)
	}
	require.ErrorContains(t, failing(time.Minute, wrongKey), "Sec-WebSocket-Accept")
	extension := func(r *http.Request, conn net.Conn) {
		io.WriteString(conn, strings.Replace(switching(r), "\r\n\r\n", "\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n", 1))
		io.Copy(io.Discard, conn)
	}
	require.ErrorContains(t, failing(time.Minute, extension), "extension")
	refused := func(_ *http.Request, conn net.Conn) {
		io.WriteString(conn, "HTTP/1.1 403 Forbidden\r\nContent-Length: 100\r\n\r\nno")
		io.Copy(io.Discard, conn)
	}
	require.ErrorContains(t, failing(2*time.Second, refused), "403")
	hops := 0
	circle := func(_ *http.Request, conn net.Conn) {
		hops++
		io.WriteString(conn, "HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
	}
	require.ErrorContains(t, failing(time.Minute, circle), "10 redirects")
	require.Equal(t, 10, hops)
}

// TestDialDeadlines: limits also hold on a stream without deadlines.
func TestDialDeadlines(t *testing.T) {
	for name, test := range map[string]struct {
		want time.Duration
		sent string
		use  func(*socket.Conn) error
	}{
		"a batch": {10 * time.Second, "", func(conn *socket.Conn) error {
			conn.Begin()
			return errors.Join(conn.Write("", []byte("stuck"), true), conn.End())
		}},
		"a message": {time.Minute, "\x81\x05hell", func(conn *socket.Conn) error {
			_, _, err := conn.Read()
			return err
		}},
		"a goodbye": {5 * time.Second, "", func(conn *socket.Conn) error {
			conn.Close(1000, "")
			return net.ErrClosed
		}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server, client := net.Pipe()
				defer server.Close()
				conn := dialed(t, "ws://memory", &http.Client{Transport: upgrader{struct{ io.ReadWriteCloser }{client}}}, options())
				go io.WriteString(server, test.sent)
				begin := time.Now()
				require.Error(t, test.use(conn))
				require.Equal(t, test.want, time.Since(begin))
			})
		})
	}
}

// upgrader is a RoundTripper that does not support httptrace.
type upgrader struct{ body io.ReadWriteCloser }

func (u upgrader) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := http.ReadResponse(bufio.NewReader(strings.NewReader(switching(r))), r)
	resp.Body = u.body
	return resp, err
}
