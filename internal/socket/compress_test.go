package socket_test

import (
	"context"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"

	"github.com/coder/websocket"
	"github.com/stretchr/testify/require"
)

// TestSuiteCompression has groups 12 and 13: messages of every size, compressed by
// a client with and without context takeover, in one frame and in many.
func TestSuiteCompression(t *testing.T) {
	opts := options()
	opts.Compression = true
	s := serveEcho(t, opts, nil)
	for _, mode := range []websocket.CompressionMode{websocket.CompressionContextTakeover, websocket.CompressionNoContextTakeover} {
		ws, resp, err := websocket.Dial(t.Context(), s.URL, &websocket.DialOptions{CompressionMode: mode, CompressionThreshold: 1})
		require.NoError(t, err)
		require.Contains(t, resp.Header.Get("Sec-WebSocket-Extensions"), "permessage-deflate; server_no_context_takeover")
		ws.SetReadLimit(1 << 20)
		r := rand.New(rand.NewPCG(1, 2))
		for _, size := range []int{0, 16, 64, 256, 1 << 10, 4 << 10, 8 << 10, 16 << 10, 32 << 10, 64 << 10, 128 << 10} {
			for i := range scale(160) {
				message := words(r, size)
				if i%2 == 1 {
					message = string(noise(r, size))
				}
				kind := websocket.MessageText + websocket.MessageType(i%2)
				go sendInParts(t.Context(), ws, kind, message, 1+r.IntN(size+1))
				got, back, err := ws.Read(t.Context())
				require.NoError(t, err)
				require.Equal(t, kind, got)
				require.True(t, message == string(back), "%d bytes", size)
			}
		}
		require.NoError(t, ws.Close(1000, ""))
	}
}

func words(r *rand.Rand, size int) string {
	var b strings.Builder
	for b.Len() < size {
		b.WriteString([]string{"event ", `{"data":`, "数据 ", "1234567890", "the "}[r.IntN(5)])
	}
	return strings.ToValidUTF8(b.String()[:size], "")
}

func noise(r *rand.Rand, size int) []byte {
	b := make([]byte, size)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

// sendInParts sends each part as a frame.
func sendInParts(ctx context.Context, ws *websocket.Conn, kind websocket.MessageType, message string, part int) {
	w, err := ws.Writer(ctx, kind)
	for err == nil && message != "" {
		n := min(part, len(message))
		_, err = w.Write([]byte(message[:n]))
		message = message[n:]
	}
	w.Close()
}

// TestCompressionRefused: nothing is compressed without the option, or for offers
// that we do not support. A client that compresses anyway is told.
func TestCompressionRefused(t *testing.T) {
	off, on := options(), options()
	on.Compression = true
	for offer, opts := range map[string]bool{"permessage-deflate": false, "permessage-deflate; server_max_window_bits=8": true} {
		s := serveEcho(t, off, nil)
		if opts {
			s = serveEcho(t, on, nil)
		}
		resp, conn, r := ask(t, s, "Sec-WebSocket-Extensions: "+offer+"\r\n", "")
		require.Equal(t, http.StatusSwitchingProtocols, resp.StatusCode)
		require.Empty(t, resp.Header.Get("Sec-WebSocket-Extensions"))
		conn.Write(masked(0xc1, "\xf2\x48\xcd\xc9\xc9\x07\x00"))
		opcode, payload, err := frame(t, r)
		require.NoError(t, err)
		require.EqualValues(t, 8, opcode)
		require.Equal(t, "\x03\xea", string(payload))
	}
}
