package serve

import (
	"bufio"
	"bytes"
	"crypto/sha1"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/http"
)

// floorServer is what a socket hijacked from net/http costs in a plain goroutine:
// one read and one write for all frames that have arrived, and no buffers besides
// those that net/http has. It does not look at JSON: an echo is a copy of the
// frame, and a broadcast is recognized by its first bytes. Do not use it as a
// server: it trusts its client, and supports neither fragments nor control frames.
type floorServer struct {
	crowd[net.Conn]
}

func newFloor() http.Handler { return &floorServer{} }

func (s *floorServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	conn, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer conn.Close()
	const guid = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11" // RFC 6455 section 1.3
	sum := sha1.Sum([]byte(r.Header.Get("Sec-WebSocket-Key") + guid))
	_, err = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Accept: "+base64.StdEncoding.EncodeToString(sum[:])+"\r\n\r\n")
	if err != nil {
		return
	}
	defer s.join(conn)()
	var out []byte
	for err == nil {
		out, err = s.turn(buffered.Reader, out[:0])
		if err == nil && len(out) > 0 {
			_, err = conn.Write(out)
		}
		if cap(out) > 4<<10 {
			out = nil // a buffer for a large message is not kept
		}
	}
}

// turn waits for a frame, and appends the answers to it and to all frames that have
// arrived with it.
func (s *floorServer) turn(in *bufio.Reader, out []byte) ([]byte, error) {
	for {
		payload, err := readFrame(in)
		if err != nil {
			return out, err
		}
		if data, ok := bytes.CutPrefix(payload, []byte(`{"event":"broadcast"`)); ok {
			frame := appendFrame(nil, append([]byte(`{"event":"news"`), data...))
			s.each(func(conn net.Conn) { conn.Write(frame) })
		} else {
			out = appendFrame(out, payload)
		}
		if in.Buffered() == 0 {
			return out, nil
		}
	}
}

// readFrame reads a client's frame and unmasks its payload. If the payload fits
// into the reader's buffer, it is valid until the next read.
func readFrame(in *bufio.Reader) ([]byte, error) {
	head, err := in.Peek(2)
	if err != nil {
		return nil, err
	}
	size, length := int(head[1]&0x7f), 0 // of the payload, and of its extended length
	switch size {
	case 126:
		length = 2
	case 127:
		length = 8
	}
	if head, err = in.Peek(2 + length + 4); err != nil {
		return nil, err
	}
	switch size {
	case 126:
		size = int(binary.BigEndian.Uint16(head[2:]))
	case 127:
		size = int(binary.BigEndian.Uint64(head[2:]))
	}
	if size < 0 || size > maxMessage {
		return nil, errors.New("frame is too large")
	}
	mask := [4]byte(head[2+length:])
	in.Discard(len(head))
	payload, err := in.Peek(min(size, in.Size()))
	if err != nil {
		return nil, err
	}
	if size > len(payload) {
		payload = make([]byte, size)
		if _, err := io.ReadFull(in, payload); err != nil {
			return nil, err
		}
	} else {
		in.Discard(size)
	}
	for i := range payload {
		payload[i] ^= mask[i&3]
	}
	return payload, nil
}

// appendFrame appends a server's text frame.
func appendFrame(out, payload []byte) []byte {
	const text = 0x81
	switch n := len(payload); {
	case n < 126:
		out = append(out, text, byte(n))
	case n < 1<<16:
		out = binary.BigEndian.AppendUint16(append(out, text, 126), uint16(n))
	default:
		out = binary.BigEndian.AppendUint64(append(out, text, 127), uint64(n))
	}
	return append(out, payload...)
}
