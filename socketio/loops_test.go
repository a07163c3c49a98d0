package socketio_test

import (
	"bytes"
	"fmt"
	"net"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wsrouter/wsrouter"
)

// text returns a short frame of a client, with a mask of zeros.
func text(packet string) []byte {
	return append([]byte{0x81, 0x80 | byte(len(packet)), 0, 0, 0, 0}, packet...)
}

// TestLoopsUpgrade: a polling session continues at an event loop. What a client
// sends in one piece with the end of the upgrade, or with the handshake, is handled
// at once.
func TestLoopsUpgrade(t *testing.T) {
	s := serve(t, newRouter(&wsrouter.Options{EventLoops: true}), nil)
	at, err := url.Parse(s.url)
	require.NoError(t, err)
	for early := range 4 {
		p := s.open()
		p.join("40")
		conn, err := net.Dial("tcp", at.Host)
		require.NoError(t, err)
		defer conn.Close()
		pieces := [][]byte{
			fmt.Appendf(nil, "GET %s?EIO=4&transport=websocket&sid=%s HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
				"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n", at.Path, p.sid, at.Host),
			text("2probe"), text("5"), append(text(`421["echo",1]`), text(`422["echo",2]`)...),
		}
		conn.Write(bytes.Join(pieces[:early+1], nil)) // the whole of it in the last round
		var got string
		readTo := func(want string) {
			buf := make([]byte, 1000)
			for !strings.Contains(got, want) {
				n, err := conn.Read(buf)
				require.NoError(t, err)
				got += string(buf[:n])
			}
		}
		readTo("\r\n\r\n")
		conn.Write(bytes.Join(pieces[early+1:], nil))
		readTo("3probe")
		readTo("431[1]")
		readTo("432[2]")
	}
}

// TestLoopsMany: clients at event loops talk, with attachments and in several
// namespaces, and leave.
func TestLoopsMany(t *testing.T) {
	router := newRouter(&wsrouter.Options{EventLoops: true})
	router.Namespace("/n").On("echo", func(c *wsrouter.Context) error { return c.Reply(c.Raw()) })
	s := serve(t, router, nil)
	var clients sync.WaitGroup
	for range 20 {
		ws := s.connected()
		ws.join("40/n,")
		clients.Go(func() {
			for i := range 50 {
				ws.write(fmt.Sprintf(`42%d["echo",%d]`, i, i), fmt.Sprintf(`42/n,%d["echo",%d]`, i, i),
					fmt.Sprintf(`451-%d["echo",{"_placeholder":true,"num":0}]`, 1000+i), "\x00bytes")
				left := map[string]bool{fmt.Sprintf(`43%d[%d]`, i, i): true, fmt.Sprintf(`43/n,%d[%d]`, i, i): true}
				for len(left) > 0 {
					p := <-ws.received
					if p.err != nil {
						t.Error(p.err)
						return
					}
					delete(left, p.text)
				}
			}
			ws.Conn.CloseNow()
		})
	}
	clients.Wait()
	require.NoError(t, router.Shutdown(t.Context()))
	require.Zero(t, router.Stats().Connections)
}
