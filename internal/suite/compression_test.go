package suite_test

import (
	"bufio"
	"bytes"
	"compress/flate"
	"encoding/binary"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/coder/websocket"
	"github.com/stretchr/testify/require"

	"github.com/wsrouter/wsrouter"
)

// compressing upgrades a raw connection whose frames may be compressed.
func compressing(t *testing.T, url string) *bufio.Reader {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(url, "ws://"))
	require.NoError(t, err)
	t.Cleanup(func() { conn.Close() })
	io.WriteString(conn, "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"+
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\r\n")
	r := bufio.NewReader(conn)
	resp, err := http.ReadResponse(r, nil)
	require.NoError(t, err)
	require.Contains(t, resp.Header.Get("Sec-Websocket-Extensions"), "permessage-deflate")
	return r
}

// anyFrame reads a server's frame of less than 64 KB.
func anyFrame(t *testing.T, r io.Reader) (first byte, payload []byte) {
	t.Helper()
	head := make([]byte, 2, 4)
	_, err := io.ReadFull(r, head)
	require.NoError(t, err)
	size := int(head[1])
	if size == 126 {
		_, err = io.ReadFull(r, head[2:4])
		require.NoError(t, err)
		size = int(binary.BigEndian.Uint16(head[2:4]))
	}
	payload = make([]byte, size)
	_, err = io.ReadFull(r, payload)
	require.NoError(t, err)
	return head[0], payload
}

// TestCompression: long messages are compressed for clients that offer it, and a
// broadcast has the same bytes for all of them. Short messages, and those for other
// clients, are not compressed.
func TestCompression(t *testing.T) {
	connected := make(chan *wsrouter.Conn, 4)
	router := newRouterWith(&wsrouter.Options{Trace: &wsrouter.Trace{Connect: func(c *wsrouter.Conn) { connected <- c }}})
	router.On("big", func(c *wsrouter.Context) error { return c.Reply(strings.Repeat("data ", 1000)) })
	url := server(t, router.Handler(&wsrouter.WSOptions{Compression: true}))
	raws := []*bufio.Reader{compressing(t, url), compressing(t, url)}
	plain := dial(t, url)
	packed, _, err := websocket.Dial(t.Context(), url, &websocket.DialOptions{CompressionMode: websocket.CompressionNoContextTakeover, CompressionThreshold: 1})
	require.NoError(t, err)
	defer packed.CloseNow()

	write(t, packed, websocket.MessageText, `{"event":"big","data":"`+strings.Repeat("ask ", 1000)+`"}`)
	require.Equal(t, `{"event":"big","data":"`+strings.Repeat("data ", 1000)+`"}`, read(t, packed))

	for range 4 {
		<-connected
	}
	long := strings.Repeat("everyone ", 1000)
	want := `{"event":"news","data":"` + long + `"}`
	require.NoError(t, router.Emit("news", long))
	require.NoError(t, router.Emit("news", "short"))
	require.Equal(t, want, read(t, plain))
	require.Equal(t, want, read(t, packed))
	var before []byte
	for _, r := range raws {
		first, payload := anyFrame(t, r)
		require.EqualValues(t, 0xc1, first)
		require.Less(t, len(payload), len(long)/10)
		if before != nil {
			require.Equal(t, before, payload)
		}
		before = payload
		got, _ := io.ReadAll(flate.NewReader(bytes.NewReader(payload)))
		require.Equal(t, want, string(got))
		first, payload = anyFrame(t, r)
		require.EqualValues(t, 0x81, first)
		require.Equal(t, `{"event":"news","data":"short"}`, string(payload))
	}
}
