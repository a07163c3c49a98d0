package socketio_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wsrouter/wsrouter"
)

// aBinary is three bytes in an event that asks for an ack, and what follows it.
const (
	aBinary    = `451-7["echo",{"_placeholder":true,"num":0}]`
	itsAck     = `461-7[{"_placeholder":true,"num":0}]`
	threeBytes = "\x00\x01\x02\x03"
	theirText  = "bAQID"
)

// TestBase64OverWebSocket: bytes may come as text, with binary messages in between, and
// are answered in binary unless the client has asked for text.
func TestBase64OverWebSocket(t *testing.T) {
	ws := serve(t, newRouter(nil), nil).connected()
	for _, sent := range []string{theirText, threeBytes} {
		ws.write(aBinary, sent)
		ws.reads(itsAck, threeBytes)
	}
	ws.write(aBinary, "b")
	ws.reads(itsAck, "\x00")
	ws.write(`452-["echo",[{"_placeholder":true,"num":1},{"_placeholder":true,"num":0}]]`, "bAQ==", "\x00\x02")
	ws.reads(`452-["echo",[{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]]`, "\x00\x02", "\x00\x01")
}

// TestBadBase64: invalid base64, or bytes where none are expected, end the session.
func TestBadBase64(t *testing.T) {
	for _, packets := range [][]string{
		{aBinary, "bAQI"}, {aBinary, "b!!!!"}, {aBinary, "bAQ==AQ=="}, {"bAQID"}, {"b"},
	} {
		ws := serve(t, newRouter(nil), nil).connected()
		ws.write(packets...)
		ws.closed()
	}
}

// TestTextOnly: a client that sends b64 gets no binary message over a WebSocket,
// whether it has opened that at once or upgraded to it. That includes what had been
// waiting for a poll.
func TestTextOnly(t *testing.T) {
	router := newRouter(nil)
	s := serve(t, router, nil)
	direct := s.dial("&b64=1")
	direct.read()
	direct.join("40")
	direct.write(aBinary, theirText)
	direct.reads(itsAck, theirText)

	p := s.open()
	id := p.join("40")
	ws := p.dial("&b64=1&sid=" + p.sid)
	ws.write("2probe")
	ws.reads("3probe")
	require.NoError(t, router.To(id).Emit("waited", []byte{1, 2, 3}))
	ws.write("5")
	ws.reads(`451-["waited",{"_placeholder":true,"num":0}]`, theirText)
	ws.write(aBinary, theirText)
	ws.reads(itsAck, theirText)
}

// TestTextOnlyLimit: MaxMessage limits the text in which bytes arrive.
func TestTextOnlyLimit(t *testing.T) {
	ws := serve(t, newRouter(&wsrouter.Options{MaxMessage: 100}), nil).connected()
	text := "b"
	for range 6 {
		text += "AQIDAQIDAQID"
	}
	ws.write(aBinary, text) // 73 bytes that stand for 54
	require.Equal(t, itsAck, ws.read())
	require.Len(t, ws.read(), 1+54)
	ws.write(aBinary, text+text[1:])
	require.Error(t, (<-ws.received).err)
}
