package socket_test

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/wsrouter/wsrouter/internal/leak"
	"github.com/wsrouter/wsrouter/internal/socket"
)

func TestMain(m *testing.M) { leak.Main(m) }

// hijackable is the ResponseWriter of a server that gives conn away.
type hijackable struct {
	*httptest.ResponseRecorder
	conn net.Conn
}

func (h hijackable) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return h.conn, bufio.NewReadWriter(bufio.NewReader(h.conn), bufio.NewWriter(h.conn)), nil
}

// accept upgrades one end of a connection, and reads the 101 at the other.
func accept(t testing.TB, server, client net.Conn) *socket.Conn {
	t.Helper()
	return acceptWith(t, server, client, options())
}

func acceptWith(t testing.TB, server, client net.Conn, opts socket.Options) *socket.Conn {
	t.Helper()
	t.Cleanup(func() { client.Close(); server.Close() })
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.Header = http.Header{
		"Connection": {"keep-alive, Upgrade"}, "Upgrade": {"WebSocket"},
		"Sec-Websocket-Version": {"13"}, "Sec-Websocket-Key": {"dGhlIHNhbXBsZSBub25jZQ=="},
	}
	head := make(chan string)
	go func() {
		var b []byte
		for one := make([]byte, 1); !bytes.HasSuffix(b, []byte("\r\n\r\n")); b = append(b, one...) {
			if _, err := client.Read(one); err != nil {
				break
			}
		}
		head <- string(b)
	}()
	conn, err := socket.Accept(hijackable{httptest.NewRecorder(), server}, r, opts)
	require.NoError(t, err)
	require.Contains(t, <-head, "\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n") // RFC 6455 1.3
	return conn
}

// tcp returns the two ends of a connection.
func tcp(t *testing.T) (server, client net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	client, err = net.Dial("tcp", l.Addr().String())
	require.NoError(t, err)
	server, err = l.Accept()
	require.NoError(t, err)
	return server, client
}

// narrow is tcp, but takes few bytes at once on their way to the client.
func narrow(t *testing.T) (server, client net.Conn) {
	t.Helper()
	server, client = tcp(t)
	require.NoError(t, server.(*net.TCPConn).SetWriteBuffer(4<<10))
	require.NoError(t, client.(*net.TCPConn).SetReadBuffer(4<<10))
	return server, client
}

// frame reads a frame from a server.
func frame(t *testing.T, r io.Reader) (opcode byte, payload []byte, err error) {
	t.Helper()
	var head [10]byte
	if _, err := io.ReadFull(r, head[:2]); err != nil {
		return 0, nil, err
	}
	require.Contains(t, []byte{0x81, 0x82, 0x88, 0x89, 0x8a}, head[0], "not where a frame begins")
	n := uint64(head[1])
	switch n {
	case 126:
		io.ReadFull(r, head[2:4])
		n = uint64(binary.BigEndian.Uint16(head[2:]))
	case 127:
		io.ReadFull(r, head[2:10])
		n = binary.BigEndian.Uint64(head[2:])
	}
	require.LessOrEqual(t, n, uint64(1<<24))
	payload = make([]byte, n)
	_, err = io.ReadFull(r, payload)
	return head[0] & 15, payload, err
}

// masked returns a frame from a client.
func masked(first byte, payload string) []byte {
	b := []byte{first, 0x80 | byte(min(len(payload), 126))}
	switch {
	case len(payload) >= 1<<16:
		b[1] = 0xff
		b = binary.BigEndian.AppendUint64(b, uint64(len(payload)))
	case len(payload) >= 126:
		b = binary.BigEndian.AppendUint16(b, uint16(len(payload)))
	}
	mask := []byte{1, 2, 3, 4}
	b = append(b, mask...)
	for i := range len(payload) {
		b = append(b, payload[i]^mask[i&3])
	}
	return b
}

// TestRead cuts what a client sends after every number of bytes.
func TestRead(t *testing.T) {
	long := strings.Repeat("long ", 2000)
	sent := bytes.Join([][]byte{
		masked(0x81, "one"), masked(0x82, ""), masked(0x8a, "unasked"), masked(0x01, "frag"), masked(0x89, "ping"), masked(0x8a, ""),
		masked(0x80, "ments"), masked(0x81, strings.Repeat("x", 125)), masked(0x81, strings.Repeat("y", 126)), masked(0x81, long), masked(0x81, "last"),
	}, nil)
	for _, piece := range []int{1, 2, 3, 7, 16, 41, 1000, 8190, 8200, len(sent)} {
		synctest.Test(t, func(t *testing.T) {
			server, client := net.Pipe()
			conn := accept(t, server, client)
			go func() {
				for rest := sent; len(rest) > 0; {
					n := min(piece, len(rest))
					client.Write(rest[:n])
					rest = rest[n:]
				}
			}()
			go io.Copy(io.Discard, client) // the pong
			for i, want := range []string{"one", "", "fragments", strings.Repeat("x", 125), strings.Repeat("y", 126), long, "last"} {
				data, text, err := conn.Read()
				require.NoError(t, err)
				require.Equal(t, want, string(data))
				require.Equal(t, i != 1, text)
			}
			conn.Abort()
		})
	}
}
