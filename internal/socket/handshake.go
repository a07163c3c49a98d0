package socket

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha1"
	"encoding/base64"
	"errors"
	"net"
	"net/http"
	"strings"

	"github.com/coder/websocket"
)

// A connection that is idle, or sends and receives whole messages only, needs no
// websocket.Conn, which is most of its memory. So the handshake is made here, and
// coder/websocket is given the connection when it is needed; a handshake that is
// not quite right it answers from the start.

// acceptable reports whether a request asks for a WebSocket as RFC 6455 4.2.1
// wants it.
func acceptable(r *http.Request) bool {
	keys := r.Header["Sec-Websocket-Key"]
	if len(keys) != 1 {
		return false
	}
	key, err := base64.StdEncoding.DecodeString(strings.TrimSpace(keys[0]))
	return err == nil && len(key) == 16 && r.ProtoAtLeast(1, 1) && r.Method == http.MethodGet &&
		r.Header.Get("Sec-Websocket-Version") == "13" &&
		offers(r, "Connection", "Upgrade") && offers(r, "Upgrade", "websocket")
}

// offers reports whether a header's list has the token.
func offers(r *http.Request, header, token string) bool {
	for _, list := range r.Header[header] {
		for item := range strings.SplitSeq(list, ",") {
			if strings.EqualFold(strings.TrimSpace(item), token) {
				return true
			}
		}
	}
	return false
}

// subprotocol chooses the first of ours that the client offers, as it spells it.
func subprotocol(r *http.Request, ours []string) string {
	for _, name := range ours {
		for _, list := range r.Header["Sec-Websocket-Protocol"] {
			for item := range strings.SplitSeq(list, ",") {
				if item = strings.TrimSpace(item); strings.EqualFold(item, name) {
					return item
				}
			}
		}
	}
	return ""
}

// upgrade takes the connection from the server, which it finds through any number
// of wrappers that offer Unwrap, and writes the 101 by itself: wrappers that
// compress keep a header back until there is a body. What the server has read
// may be the first bytes of a client that did not wait for the 101; they come
// first.
func upgrade(w http.ResponseWriter, r *http.Request, opts *Options) (*serverConn, error) {
	conn, brw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		http.Error(w, http.StatusText(http.StatusInternalServerError), http.StatusInternalServerError)
		return nil, err
	}
	early, _ := brw.Reader.Peek(brw.Reader.Buffered())
	c := newServerConn(conn, opts, early)
	var few [512]byte
	head := bytes.NewBuffer(few[:0])
	head.WriteString("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ")
	head.WriteString(acceptKey(strings.TrimSpace(r.Header.Get("Sec-Websocket-Key"))))
	if name := subprotocol(r, opts.Subprotocols); name != "" {
		head.WriteString("\r\nSec-WebSocket-Protocol: ")
		head.WriteString(name)
	}
	head.WriteString("\r\n")
	if others := w.Header(); len(others) > 0 { // of middleware
		others.WriteSubset(head, ours)
	}
	head.WriteString("\r\n")
	conn.Write(head.Bytes()) // if the client has gone, Read will tell
	return c, nil
}

// ours are the headers that only the handshake may set.
var ours = map[string]bool{
	"Upgrade": true, "Connection": true, "Sec-Websocket-Accept": true,
	"Sec-Websocket-Protocol": true, "Sec-Websocket-Extensions": true,
}

func acceptKey(key string) string {
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	return base64.StdEncoding.EncodeToString(sum[:])
}

// refuse lets coder/websocket answer a handshake, without a connection to take.
func refuse(w http.ResponseWriter, r *http.Request) error {
	_, err := websocket.Accept(struct{ http.ResponseWriter }{w}, r, nil)
	return err
}

// upgraded is a ResponseWriter whose connection has been upgraded already.
type upgraded struct {
	header http.Header
	conn   *serverConn
}

func (u upgraded) Header() http.Header         { return u.header }
func (u upgraded) Write(p []byte) (int, error) { return len(p), nil }
func (u upgraded) WriteHeader(int)             {}

// maxControl is the size in bytes of a server's largest control frame. With a
// smaller buffer coder/websocket would write those in pieces.
const maxControl = 2 + 125

func (u upgraded) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return u.conn, bufio.NewReadWriter(bufio.NewReaderSize(u.conn, 16), bufio.NewWriterSize(u.conn, maxControl)), nil
}

// takeOver gives the connection to coder/websocket.
func (c *serverConn) takeOver() *websocket.Conn {
	r := &http.Request{Method: http.MethodGet, ProtoMajor: 1, ProtoMinor: 1, Header: http.Header{
		"Connection": {"Upgrade"}, "Upgrade": {"websocket"},
		"Sec-Websocket-Version": {"13"}, "Sec-Websocket-Key": {"AAAAAAAAAAAAAAAAAAAAAA=="},
	}}
	ws, err := websocket.Accept(upgraded{make(http.Header), c}, r, &websocket.AcceptOptions{
		OnPingReceived: func(context.Context, []byte) bool { c.opts.Control(); return true },
		OnPongReceived: func(context.Context, []byte) { c.opts.Control() },
	})
	if err != nil {
		panic(errors.Join(errors.New("socket: coder/websocket has new wishes for a handshake"), err))
	}
	ws.SetReadLimit(-1) // Conn.Read has its own
	return ws
}
