package soak

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"
)

// raw is a client with a connection and no manners.
type raw struct {
	*net.TCPConn
}

// The paths of the WebSocket mounts.
const (
	plainPath  = "/ws"
	socketPath = "/socket.io/?EIO=4&transport=websocket"
	pollPath   = "/socket.io/?EIO=4&transport=polling"
)

// connect returns a connection on which nothing has been sent. ok is false if the
// server is about to go.
func (m *member) connect(srv *server) (c raw, ok bool) {
	conn, err := net.Dial("tcp", srv.addr)
	if err != nil {
		if !srv.closing.Load() {
			m.fault("%s: connect: %v", srv.name, err)
		}
		return raw{}, false
	}
	return raw{conn.(*net.TCPConn)}, true
}

// upgrade returns a connection after the WebSocket handshake.
func (m *member) upgrade(srv *server, path string) (c raw, ok bool) {
	if c, ok = m.connect(srv); !ok {
		return c, false
	}
	c.SetReadBuffer(4 << 10) // what it does not read shows soon
	err := c.handshake(path)
	if err != nil {
		c.Close()
		if !srv.closing.Load() {
			m.fault("%s: handshake at %s: %v", srv.name, path, err)
		}
	}
	return c, err == nil
}

func (c raw) handshake(path string) error {
	c.SetDeadline(time.Now().Add(patience))
	defer c.SetDeadline(time.Time{})
	fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n", path, c.RemoteAddr())
	resp, err := http.ReadResponse(bufio.NewReaderSize(oneByte{c}, 16), nil)
	if err == nil && resp.StatusCode != http.StatusSwitchingProtocols {
		err = fmt.Errorf("status %s", resp.Status)
	}
	return err
}

// oneByte keeps a bufio.Reader from reading beyond the response's head.
type oneByte struct{ net.Conn }

func (c oneByte) Read(p []byte) (int, error) { return c.Conn.Read(p[:1]) }

// The opcodes of RFC 6455 section 5.2.
const (
	opContinue = 0
	opText     = 1
	opBinary   = 2
	opClose    = 8
	opPing     = 9
	fin        = 0x80
)

// frame returns a client's frame with a mask of zeros.
func frame(first byte, payload string) string {
	b := []byte{first}
	switch n := len(payload); {
	case n < 126:
		b = append(b, 0x80|byte(n))
	case n < 1<<16:
		b = binary.BigEndian.AppendUint16(append(b, 0x80|126), uint16(n))
	default:
		b = binary.BigEndian.AppendUint64(append(b, 0x80|127), uint64(n))
	}
	return string(append(b, 0, 0, 0, 0)) + payload
}

// text returns the frames of some messages.
func text(messages ...string) string {
	var b strings.Builder
	for _, m := range messages {
		b.WriteString(frame(fin|opText, m))
	}
	return b.String()
}

// say sends bytes unchanged, and does not care what happens to them.
func (c raw) say(bytes string) { io.WriteString(c, bytes) }

// listen reads for some time, or to the end, and discards what arrives.
func (c raw) listen(d time.Duration) {
	c.SetReadDeadline(time.Now().Add(d))
	io.Copy(io.Discard, struct{ io.Reader }{c})
}

// reset ends the connection like a crash.
func (c raw) reset() {
	c.SetLinger(0)
	c.Close()
}

// part ends it in one of several ways.
func (m *member) part(c raw) {
	if m.IntN(2) == 0 {
		c.reset()
	}
	c.Close()
}

// one picks one of a list.
func one[T any](m *member, of ...T) T { return of[m.IntN(len(of))] }
