package socket

import (
	"bufio"
	"bytes"
	"crypto/sha1"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/coder/websocket"
)

// RFC 6455 section 4.2: the server's side of the handshake.

// Accept upgrades a request. If it returns an error it has answered the request. It
// does not check the origin.
func Accept(w http.ResponseWriter, r *http.Request, opts Options) (*Conn, error) {
	if !acceptable(r) {
		return nil, refuse(w, r)
	}
	if bare, ok := canHijack(w); !ok {
		refuse(w, r)
		return nil, fmt.Errorf("%T hides Hijack, which a WebSocket needs: leave it out in front of this handler, or give it Unwrap", bare)
	}
	if r.ContentLength != 0 { // the body would be read as frames
		http.Error(w, "a WebSocket handshake has no body", http.StatusBadRequest)
		return nil, errors.New("handshake with a body")
	}
	return upgrade(w, r, &opts)
}

// canHijack reports whether the server's own ResponseWriter, beneath all wrappers
// that offer Unwrap, can give its connection away, and returns that ResponseWriter.
// Wrappers such as gin's always have a Hijack method, which panics if the one
// beneath has none.
func canHijack(w http.ResponseWriter) (bare http.ResponseWriter, ok bool) {
	for {
		wrapper, wraps := w.(interface{ Unwrap() http.ResponseWriter })
		if !wraps {
			_, ok = w.(http.Hijacker)
			return w, ok
		}
		w = wrapper.Unwrap()
	}
}

// acceptable reports whether a request asks for a WebSocket as RFC 6455 section
// 4.2.1 requires.
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

// offers reports whether the list in a header has the token.
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

// subprotocol returns the first of ours that the client offers, as the client
// spells it.
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

// upgrade takes the connection from the server, which it finds beneath any number
// of wrappers that offer Unwrap, and writes the 101 itself: wrappers that compress
// hold a header back until there is a body. What the server has already read are
// the first bytes of a client that did not wait for the 101; they come first.
func upgrade(w http.ResponseWriter, r *http.Request, opts *Options) (*Conn, error) {
	conn, brw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		http.Error(w, http.StatusText(http.StatusInternalServerError), http.StatusInternalServerError)
		return nil, err
	}
	early, _ := brw.Reader.Peek(brw.Reader.Buffered())
	c := newConn(conn, opts, false)
	if len(early) > 0 {
		early = bytes.Clone(early)
		c.buf, c.to = &early, int32(len(early))
	}
	freeBuffer(conn, brw.Reader)
	var few [512]byte
	head := bytes.NewBuffer(few[:0])
	head.WriteString("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ")
	head.WriteString(acceptKey(strings.TrimSpace(r.Header.Get("Sec-Websocket-Key"))))
	if name := subprotocol(r, opts.Subprotocols); name != "" {
		c.subprotocol = name
		head.WriteString("\r\nSec-WebSocket-Protocol: ")
		head.WriteString(name)
	}
	if opts.Compression {
		if answer := negotiate(r.Header["Sec-Websocket-Extensions"]); answer != "" {
			c.in.deflate, c.out.deflate = true, true
			head.WriteString("\r\nSec-WebSocket-Extensions: ")
			head.WriteString(answer)
		}
	}
	head.WriteString("\r\n")
	if others := w.Header(); len(others) > 0 { // set by middleware
		others.WriteSubset(head, ours)
	}
	head.WriteString("\r\n")
	conn.SetWriteDeadline(time.Now().Add(opts.WriteTimeout))
	conn.Write(head.Bytes()) // if the client has gone, Read returns an error
	conn.SetWriteDeadline(time.Time{})
	if opts.EventLoops || alwaysLoop {
		c.moveToLoop(conn)
	}
	return c, nil
}

// freeBuffer frees the buffer that net/http would keep until the handler returns. A conn that
// some middleware has made may still read through it.
func freeBuffer(conn net.Conn, r *bufio.Reader) {
	switch conn.(type) {
	case *net.TCPConn, *net.UnixConn, *tls.Conn:
		*r = bufio.Reader{}
	}
}

// ours are the headers that only the handshake may set.
var ours = map[string]bool{
	"Upgrade": true, "Connection": true, "Sec-Websocket-Accept": true,
	"Sec-Websocket-Protocol": true, "Sec-Websocket-Extensions": true,
	"Content-Length": true, "Transfer-Encoding": true, // there is no body
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
