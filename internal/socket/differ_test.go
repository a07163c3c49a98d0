package socket_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"net"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/coder/websocket"
	"github.com/stretchr/testify/require"
)

// This file plays random connections against an echo. It compares the answers with
// those of an oracle, which knows the frames but not the bytes, and with those of
// an echo on coder/websocket.

// random makes one client's frames, and the oracle's answers to them.
type random struct {
	*rand.Rand
	wire   []byte
	want   []string
	cut    bool   // the network ends after wire
	ended  bool   // nothing more is answered
	apart  bool   // coder/websocket ends differently
	kind   byte   // of the current message
	joined string // its payload so far
}

const randomMax = 100_000 // bytes in a message

// connection makes up to 20 frames, most of which are valid.
func (r *random) connection() {
	for range 1 + r.IntN(20) {
		switch r.IntN(40) {
		case 0:
			r.mistake()
		case 1:
			r.goodbye()
		case 2, 3, 4, 5:
			r.control()
		default:
			r.data()
		}
	}
	if r.IntN(4) == 0 && !r.ended { // the network ends somewhere within another message
		kind, joined, want := r.kind, r.joined, len(r.want)
		before := len(r.wire)
		r.data()
		if part := len(r.wire) - before; !r.ended {
			r.wire = r.wire[:before+r.IntN(part)]
			r.want, r.kind, r.joined = r.want[:want], kind, joined
		}
		r.cut = true
		return
	}
	if !r.ended {
		r.frame(0x88, "\x03\xe8")
		r.answer("close \x03\xe8")
	}
}

func (r *random) frame(first byte, payload string) {
	r.wire = append(r.wire, masked(first, payload)...)
	r.apart = r.apart || r.ended
}

func (r *random) answer(s string) {
	if !r.ended {
		r.want = append(r.want, s)
	}
	r.ended = r.ended || strings.HasPrefix(s, "close ")
}

func (r *random) size() int {
	return []int{0, 1, 2, r.IntN(125), 124 + r.IntN(4), r.IntN(9000), 65533 + r.IntN(6)}[r.IntN(7)]
}

// payload returns a payload, mostly text.
func (r *random) payload() string {
	alphabet := []string{"a", "é", "數", "😀", "\x00"}
	if r.IntN(30) == 0 {
		alphabet = append(alphabet, "\xff")
	}
	var b strings.Builder
	for size := r.size(); b.Len() < size; {
		b.WriteString(alphabet[r.IntN(len(alphabet))])
	}
	return b.String()
}

// data makes one frame of a message. Messages are cut anywhere, even within a rune.
func (r *random) data() {
	payload, first := r.payload(), byte(0)
	if r.kind == 0 {
		r.kind = byte(1 + r.IntN(2))
		first = r.kind
	}
	if last := r.IntN(3) > 0; last {
		first |= 0x80
	} else if len(payload) > 0 && r.IntN(2) == 0 {
		payload = payload[:r.IntN(len(payload))]
	}
	r.frame(first, payload)
	if r.ended {
		return
	}
	if len(r.joined)+len(payload) > randomMax {
		r.apart = true
		r.answer("close \x03\xf1")
		return
	}
	r.joined += payload
	whole := first&0x80 != 0
	switch {
	case r.kind == 1 && !(whole && utf8.ValidString(r.joined) || !whole && startsText(r.joined)):
		r.answer("close \x03\xef")
	case whole:
		r.answer([]string{"", "text ", "binary "}[r.kind] + r.joined)
		r.kind, r.joined = 0, ""
	}
}

// startsText reports whether s is the beginning of some text.
func startsText(s string) bool {
	for _, more := range []string{"", "\x80", "\xbf", "\x80\x80", "\xbf\xbf", "\x80\x80\x80", "\xbf\xbf\xbf"} {
		if utf8.ValidString(s + more) {
			return true
		}
	}
	return false
}

func (r *random) control() {
	payload := strings.Repeat("p", r.IntN(126))
	if r.IntN(3) == 0 {
		r.frame(0x8a, payload)
		return
	}
	r.frame(0x89, payload)
	r.answer("pong " + payload)
}

func (r *random) goodbye() {
	code := []int{1000, 1001, 3000, 4999, 1005, 999, 1100, 5000}[r.IntN(8)]
	payload := string(binary.BigEndian.AppendUint16(nil, uint16(code))) + []string{"", "bye", "\xff"}[r.IntN(3)]
	if r.IntN(4) == 0 {
		payload = payload[:r.IntN(2)]
	}
	r.frame(0x88, payload)
	valid := code >= 1000 && code <= 1001 || code >= 3000 && code < 5000
	switch {
	case payload == "":
		r.answer("close ")
	case len(payload) == 1 || !valid:
		r.answer("close \x03\xea")
	case !utf8.ValidString(payload[2:]):
		r.answer("close \x03\xef")
	default:
		r.answer("close " + payload[:2])
	}
}

// mistake makes an invalid frame.
func (r *random) mistake() {
	r.apart = true
	first := byte(0x81)
	if r.kind != 0 {
		first = 0x80
	}
	switch r.IntN(7) {
	case 0:
		r.wire = append(r.wire, first, 5, 'h', 'e', 'l', 'l', 'o') // no mask
	case 1:
		r.frame(first|0x10<<r.IntN(3), "x")
	case 2:
		r.frame(0x80|byte(3+r.IntN(5)), "x")
	case 3:
		r.frame(0x09, "")
	case 4:
		r.frame(0x89, strings.Repeat("x", 126))
	case 5:
		r.frame(0x81-first&1, "x") // a continuation without a message, or a message within a message
	case 6:
		r.wire = append(r.wire, first, 0xff, 0x80|byte(r.IntN(128)), 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4)
	}
	r.answer("close \x03\xea")
}

// transcript sends the wire in random pieces and returns the frames that come back.
func (r *random) transcript(t *testing.T, client net.Conn) []string {
	var pieces [][]byte
	for rest := r.wire; len(rest) > 0; {
		n := min(len(rest), 1+r.IntN(1+r.IntN(9000)))
		pieces = append(pieces, rest[:n])
		rest = rest[n:]
	}
	go func() {
		for _, p := range pieces {
			if _, err := client.Write(p); err != nil {
				return
			}
		}
		if r.cut {
			client.(interface{ CloseWrite() error }).CloseWrite()
		}
	}()
	return receive(t, client)
}

// settled returns the part that must be equal: only the code of a close frame, and
// not the pongs at the end, which may be lost when the network ends.
func (r *random) settled(frames []string) []string {
	frames = append([]string{}, frames...)
	for r.cut && len(frames) > 0 && strings.HasPrefix(frames[len(frames)-1], "pong ") {
		frames = frames[:len(frames)-1]
	}
	for i, f := range frames {
		if len(f) > 200 { // otherwise nobody could read the difference
			frames[i] = fmt.Sprintf("%s… %d bytes, %x", f[:20], len(f), crc32.ChecksumIEEE([]byte(f)))
		}
		if code, ok := strings.CutPrefix(f, "close "); ok {
			frames[i] = "close " + code[:min(2, len(code))]
		}
	}
	return frames
}

// TestRandom compares with the oracle.
func TestRandom(t *testing.T) {
	overEach(t, func(t *testing.T, connect connector) {
		for seed := range uint64(scale(16 * 100)) {
			r := &random{Rand: rand.New(rand.NewPCG(seed, 1))}
			r.connection()
			client, ended := echoingUpTo(t, connect, randomMax)
			require.Equal(t, r.settled(r.want), r.settled(r.transcript(t, client)), "seed %d", seed)
			if err := <-ended; r.cut && !r.ended {
				require.True(t, errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF), err)
			}
		}
	})
}

// TestRandomReference compares with coder/websocket, as far as that follows RFC
// 6455: it accepts any bytes as text, and resets a connection with unread bytes.
func TestRandomReference(t *testing.T) {
	compared := 0
	for seed := range uint64(scale(16 * 100)) {
		r := &random{Rand: rand.New(rand.NewPCG(seed, 2))}
		r.connection()
		if r.cut || r.apart || slices.ContainsFunc(r.want, func(s string) bool { return s == "close \x03\xef" }) {
			continue
		}
		compared++
		ours, ended := echoingUpTo(t, tcp, randomMax)
		got := r.transcript(t, ours)
		<-ended
		require.Equal(t, r.settled(referenceEcho(t, r)), r.settled(got), "seed %d", seed)
	}
	require.Greater(t, compared, 20)
}

// referenceEcho plays the connection against coder/websocket.
func referenceEcho(t *testing.T, r *random) []string {
	server, client := tcp(t)
	req := httptest.NewRequest("GET", "/", nil)
	req.Header.Set("Connection", "Upgrade")
	req.Header.Set("Upgrade", "websocket")
	req.Header.Set("Sec-Websocket-Version", "13")
	req.Header.Set("Sec-Websocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")
	ws, err := websocket.Accept(hijackable{httptest.NewRecorder(), server}, req, nil)
	require.NoError(t, err)
	ws.SetReadLimit(randomMax)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			kind, data, err := ws.Read(context.Background())
			if err != nil {
				server.(*net.TCPConn).CloseWrite() // its own close would wait 5 s for the peer's
				return
			}
			ws.Write(context.Background(), kind, data)
		}
	}()
	frames := r.transcript(t, client)
	<-done
	ws.CloseNow()
	return frames
}
