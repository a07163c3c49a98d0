package frameworks

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wsrouter/wsrouter"
)

const handshake = "GET /ws HTTP/1.1\r\nHost: test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
	"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"

// TestFirstFrame holds that what a client sends before it has seen the 101 is
// not lost: net/http has read some of it by then, or all.
func TestFirstFrame(t *testing.T) {
	const clients = 300
	tests := []struct {
		name string
		send func(t *testing.T, c *eager, frame []byte)
	}{
		{"one segment", func(t *testing.T, c *eager, frame []byte) {
			c.write(t, handshake, frame)
		}},
		{"two segments", func(t *testing.T, c *eager, frame []byte) {
			cut := rand.IntN(len(frame))
			t.Logf("cut after %d of %d bytes", cut, len(frame))
			c.write(t, handshake, frame[:cut])
			c.write(t, "", frame[cut:])
		}},
		{"two segments, the 101 between them", func(t *testing.T, c *eager, frame []byte) {
			cut := rand.IntN(len(frame))
			t.Logf("cut after %d of %d bytes", cut, len(frame))
			c.write(t, handshake, frame[:cut])
			c.readUpgrade(t)
			c.write(t, "", frame[cut:])
		}},
	}
	router := wsrouter.New(nil)
	router.On("echo", echoRaw)
	mux := http.NewServeMux()
	mux.Handle("/ws", router)
	server := start(t, router, mux)
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			for i := range clients {
				if !t.Run("", func(t *testing.T) { testFirstFrame(t, server, i, test.send) }) {
					return // each loss costs patience
				}
			}
		})
	}
}

func testFirstFrame(t *testing.T, server *server, i int, sendTo func(*testing.T, *eager, []byte)) {
	conn := send(t, server, "")
	c := &eager{conn: conn, r: bufio.NewReader(conn)}
	sendTo(t, c, textFrame(fmt.Sprintf(`{"event":"echo","data":%d,"id":7}`, i)))
	c.readUpgrade(t)
	require.Equal(t, fmt.Sprintf(`{"event":"echo","data":%d,"re":7}`, i), c.readFrame(t))
}

// eager is a client that does not wait for the 101.
type eager struct {
	conn     net.Conn
	r        *bufio.Reader
	upgraded bool
}

// write sends both parts in one segment.
func (c *eager) write(t *testing.T, text string, frame []byte) {
	t.Helper()
	_, err := c.conn.Write(append([]byte(text), frame...))
	require.NoError(t, err)
}

func (c *eager) readUpgrade(t *testing.T) {
	t.Helper()
	if c.upgraded {
		return
	}
	resp, err := http.ReadResponse(c.r, nil)
	require.NoError(t, err)
	require.Equal(t, http.StatusSwitchingProtocols, resp.StatusCode)
	c.upgraded = true
}

// readFrame reads a short text frame.
func (c *eager) readFrame(t *testing.T) string {
	t.Helper()
	head := make([]byte, 2)
	_, err := io.ReadFull(c.r, head)
	require.NoError(t, err)
	require.Equal(t, byte(0x81), head[0], "a whole text frame")
	require.Less(t, head[1], byte(126), "a short one, without a mask")
	payload := make([]byte, head[1])
	_, err = io.ReadFull(c.r, payload)
	require.NoError(t, err)
	return string(payload)
}

// textFrame returns a client's frame with a short text, see RFC 6455, 5.2.
func textFrame(text string) []byte {
	mask := make([]byte, 4)
	binary.BigEndian.PutUint32(mask, rand.Uint32())
	frame := append([]byte{0x81, 0x80 | byte(len(text))}, mask...)
	for i := range len(text) {
		frame = append(frame, text[i]^mask[i%4])
	}
	return frame
}
