package socket

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync"
	"syscall/js"
	"time"
)

// Dial connects to url with the WebSocket of the page or of Node. That takes
// neither a client nor a header, and does not say why connecting failed.
//
// That WebSocket has messages where a Conn expects a network. So a second Conn
// plays the server at the other end of a pipe, and messages are handed over between
// the two: limits, deadlines and the closing handshake are the same as everywhere
// else.
func Dial(ctx context.Context, url string, client *http.Client, header http.Header, opts Options) (*Conn, *http.Response, error) {
	if client != nil || len(header) > 0 {
		return nil, nil, errors.New("a WebSocket of JavaScript takes neither an http.Client nor a header")
	}
	b := &bridge{alive: opts.Alive, limit: 4 * opts.MaxMessage, opened: make(chan struct{}), closed: make(chan struct{}), came: make(chan struct{}, 1)}
	if err := b.open(url, opts.Subprotocols); err != nil {
		return nil, nil, err
	}
	select {
	case <-b.opened:
	case <-b.closed:
		return nil, nil, errors.New("connection failed")
	case <-ctx.Done():
		b.close(closeNormal, "")
		return nil, nil, ctx.Err()
	}
	near, far := net.Pipe()
	nothing := func() {}
	serving := opts
	serving.Alive, serving.Control = nothing, b.ping
	b.conn = newConn(far, &serving, false)
	opts.Alive, opts.Control = nothing, nothing // what comes over the pipe does not show that the peer is alive
	go b.send()
	go b.receive()
	c := newConn(near, &opts, true)
	c.subprotocol = b.ws.Get("protocol").String()
	return c, nil, nil
}

// bridge hands messages over between a WebSocket of JavaScript and a Conn.
type bridge struct {
	ws     js.Value
	conn   *Conn
	alive  func()
	limit  int64         // of the bytes that wait in queue
	opened chan struct{} // closed when the WebSocket is open
	closed chan struct{} // closed when it is closed
	came   chan struct{} // has an element if there may be something in queue

	mu     sync.Mutex // guards what follows
	queue  []message
	size   int64
	code   int // how it was closed
	reason string
}

type message struct {
	data []byte
	text bool
}

const closeNormal, closeNone, closeAbnormal = 1000, 1005, 1006

// open makes the WebSocket. Its events never block.
func (b *bridge) open(url string, subprotocols []string) (err error) {
	defer recoverJS(&err)
	protocols := make([]any, len(subprotocols))
	for i, p := range subprotocols {
		protocols[i] = p
	}
	b.ws = js.Global().Get("WebSocket").New(url, protocols)
	b.ws.Set("binaryType", "arraybuffer")
	var funcs []js.Func
	on := func(event string, do func(js.Value)) {
		f := js.FuncOf(func(_ js.Value, args []js.Value) any { do(args[0]); return nil })
		funcs = append(funcs, f)
		b.ws.Call("addEventListener", event, f)
	}
	on("open", func(js.Value) { close(b.opened) })
	on("message", func(e js.Value) { b.push(e.Get("data")) })
	on("error", func(js.Value) {}) // a close event follows
	on("close", func(e js.Value) {
		b.mu.Lock()
		b.code, b.reason = e.Get("code").Int(), e.Get("reason").String()
		b.mu.Unlock()
		close(b.closed)
		for _, f := range funcs {
			f.Release()
		}
	})
	return nil
}

// recoverJS turns an exception into an error.
func recoverJS(err *error) {
	switch v := recover().(type) {
	case nil:
	case js.Error:
		*err = v
	default:
		panic(v)
	}
}

// push queues a message. If too much is queued it closes the WebSocket, because
// nothing stops a browser from reading on.
func (b *bridge) push(data js.Value) {
	m := message{text: data.Type() == js.TypeString}
	if m.text {
		m.data = []byte(data.String())
	} else {
		bytes := js.Global().Get("Uint8Array").New(data)
		m.data = make([]byte, bytes.Length())
		js.CopyBytesToGo(m.data, bytes)
	}
	b.mu.Lock()
	full := len(b.queue) > 0 && b.size+int64(len(m.data)) > b.limit
	if !full {
		b.queue = append(b.queue, m)
		b.size += int64(len(m.data))
	}
	b.mu.Unlock()
	if full {
		b.close(closeNormal, "")
		return
	}
	select {
	case b.came <- struct{}{}:
	default:
	}
}

func (b *bridge) take() (m message, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.queue) == 0 {
		return m, false
	}
	m, b.queue = b.queue[0], b.queue[1:]
	b.size -= int64(len(m.data))
	return m, true
}

// receive hands over what arrives, and at the end how the WebSocket was closed.
func (b *bridge) receive() {
	for over := false; !over; {
		select {
		case <-b.came:
		case <-b.closed:
			over = true
		}
		for m, ok := b.take(); ok; m, ok = b.take() {
			b.alive()
			b.conn.Begin()
			b.conn.Write("", m.data, m.text) // if our side has closed this fails, which send sees
			b.conn.End()
		}
	}
	b.mu.Lock()
	code, reason := b.code, b.reason
	b.mu.Unlock()
	switch code {
	case closeAbnormal:
		b.conn.Abort()
	case closeNone:
		b.conn.Close(closeNormal, "")
	default:
		b.conn.Close(code, reason)
	}
}

// maxBuffered is how many bytes the WebSocket may hold that the network has not
// taken. checkEvery is how long until that is checked again: no event reports it.
const (
	maxBuffered = 64 << 10
	checkEvery  = 10 * time.Millisecond
)

// send hands over what goes out, as fast as the network takes it. If that is too
// slow the Conn's WriteTimeout ends the connection.
func (b *bridge) send() {
	for {
		data, text, err := b.conn.Read()
		if code, reason, ok := CloseStatus(err); ok {
			b.close(code, reason)
			return
		}
		if err != nil {
			b.close(closeNormal, "")
			return
		}
		b.write(data, text)
		for b.ws.Get("bufferedAmount").Int() > maxBuffered {
			select {
			case <-time.After(checkEvery):
			case <-b.closed:
				return
			}
		}
	}
}

func (b *bridge) write(data []byte, text bool) {
	var failed error // it is no longer open, and an event will say so
	defer recoverJS(&failed)
	if text {
		b.ws.Call("send", string(data))
		return
	}
	bytes := js.Global().Get("Uint8Array").New(len(data))
	js.CopyBytesToJS(bytes, data)
	b.ws.Call("send", bytes)
}

// ping is called for control frames of ours. JavaScript cannot send a ping, so ping
// sends that of the plain protocol, whose answer shows that the peer is alive.
func (b *bridge) ping() { b.write([]byte(`{"ping":1}`), true) }

// close closes the WebSocket, with 1000 for a code that JavaScript may not send.
func (b *bridge) close(code int, reason string) {
	if code != closeNormal && (code < 3000 || code > 4999) {
		code, reason = closeNormal, ""
	}
	var failed error // it is already closed
	defer recoverJS(&failed)
	b.ws.Call("close", code, reason)
}
