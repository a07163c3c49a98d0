// Package socket is the WebSocket under wsrouter's adapters: coder/websocket
// with the deadlines, the gathered writes and the signs of life that a server
// of long-lived connections needs.
//
// coder/websocket closes a connection when a context given to Read or Write
// ends, and flushes after each message. So no context ever reaches it: time
// limits are set on the net.Conn beneath, which is ours, and what is written
// there is held back until a whole batch of messages is at hand.
package socket

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math"
	"net/http"
	"net/http/httptrace"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"
)

// Errors of Read that are the peer's fault and not the network's.
var (
	ErrTooBig   = errors.New("message too big")
	ErrProtocol = errors.New("protocol error")
	ErrTimeout  = errors.New("message took too long")
)

// Options are the limits of one socket. All are needed.
type Options struct {
	Subprotocols   []string      // accepted by a server, offered by a client
	MaxMessage     int64         // bytes; beyond Read fails, and the caller closes
	MessageTimeout time.Duration // from a message's first byte to its last
	WriteTimeout   time.Duration // for one batch
	Alive          func()        // called whenever bytes arrive
	Control        func()        // called for every frame that arrives but a message's first
}

// Conn is one WebSocket. Read is called by one goroutine, Write by one other;
// Ping, Close and Abort by any.
type Conn struct {
	server *serverConn // nil on the client's side
	client conn        // nil on the server's side
	opts   *Options
	once   sync.Once                      // makes ws on the server's side
	ws     atomic.Pointer[websocket.Conn] // nil until it is needed
	buf    bytes.Buffer                   // of Read
}

// Accept upgrades a request. On an error it has answered the request. It
// checks no origin.
func Accept(w http.ResponseWriter, r *http.Request, opts Options) (*Conn, error) {
	if !acceptable(r) || !canHijack(w) {
		return nil, refuse(w, r)
	}
	server, err := upgrade(w, r, &opts)
	if err != nil {
		return nil, err
	}
	opts.Subprotocols = nil
	return &Conn{server: server, opts: &opts}, nil
}

// Dial connects to url. The response is not nil where the server answered with
// something else than an upgrade.
func Dial(ctx context.Context, url string, client *http.Client, header http.Header, opts Options) (*Conn, *http.Response, error) {
	var raw conn
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn: func(info httptrace.GotConnInfo) { raw = info.Conn },
	})
	ws, resp, err := websocket.Dial(ctx, url, &websocket.DialOptions{
		HTTPClient:     client,
		HTTPHeader:     header,
		Subprotocols:   opts.Subprotocols,
		OnPingReceived: func(context.Context, []byte) bool { opts.Control(); return true },
		OnPongReceived: func(context.Context, []byte) { opts.Control() },
	})
	if err != nil {
		return nil, resp, err
	}
	if raw == nil {
		raw = noDeadlines{} // a RoundTripper of the user's own, without httptrace
	}
	ws.SetReadLimit(-1) // Read has its own
	c := &Conn{client: raw, opts: &opts}
	c.ws.Store(ws)
	return c, nil, nil
}

// full returns the WebSocket that knows all of the protocol.
func (c *Conn) full() *websocket.Conn {
	if c.server != nil {
		c.once.Do(func() { c.ws.Store(c.server.takeOver()) })
	}
	return c.ws.Load()
}

// conn is what is needed of the connection beneath.
type conn interface {
	SetReadDeadline(time.Time) error
	SetWriteDeadline(time.Time) error
}

type noDeadlines struct{}

func (noDeadlines) SetReadDeadline(time.Time) error  { return nil }
func (noDeadlines) SetWriteDeadline(time.Time) error { return nil }

// Read returns the next message, which is the caller's to keep. Its buffer
// grows with the bytes that arrive, whatever length was announced.
func (c *Conn) Read() (data []byte, text bool, err error) {
	if c.server != nil {
		data, text, ok, err := c.server.message()
		if err != nil {
			return nil, false, c.readError(err)
		}
		if ok {
			return data, text, nil
		}
	}
	typ, r, err := c.full().Reader(context.Background())
	if err != nil {
		return nil, false, c.readError(err)
	}
	if c.client != nil {
		c.opts.Alive()
		c.client.SetReadDeadline(time.Now().Add(c.opts.MessageTimeout))
	}
	c.buf.Reset()
	if _, err = c.buf.ReadFrom(io.LimitReader(r, min(c.opts.MaxMessage, math.MaxInt64-1)+1)); err != nil {
		return nil, false, c.readError(err)
	}
	if int64(c.buf.Len()) > c.opts.MaxMessage {
		return nil, false, ErrTooBig
	}
	if c.client != nil {
		c.client.SetReadDeadline(time.Time{})
	}
	data = bytes.Clone(c.buf.Bytes()) // of the right size: it may wait for long
	if c.buf.Cap() > keepBuffer {
		c.buf = bytes.Buffer{}
	}
	return data, typ == websocket.MessageText, nil
}

// keepBuffer is the size in bytes of a buffer that an idle connection may keep.
const keepBuffer = 1 << 10

// readError sorts an error: a close frame and a broken network pass as they
// are, what the peer did wrong becomes one of this package's errors.
func (c *Conn) readError(err error) error {
	var timeout interface{ Timeout() bool }
	switch {
	case websocket.CloseStatus(err) != -1:
		return err
	case errors.As(err, &timeout) && timeout.Timeout():
		if c.server != nil && !c.server.limited.Load() { // a pong could not be written
			return os.ErrDeadlineExceeded
		}
		return ErrTimeout
	case c.server != nil && !c.server.broken.Load() && !errors.Is(err, io.EOF):
		return errors.Join(ErrProtocol, err)
	}
	return err
}

// CloseStatus returns the code and reason of a close frame that ended a Read.
func CloseStatus(err error) (code int, reason string, ok bool) {
	var ce websocket.CloseError
	if !errors.As(err, &ce) {
		return 0, "", false
	}
	return int(ce.Code), ce.Reason, true
}

// Begin starts a batch of messages, End sends it.
func (c *Conn) Begin() {
	if c.server != nil {
		c.server.begin()
		return
	}
	c.client.SetWriteDeadline(time.Now().Add(c.opts.WriteTimeout))
}

// BeginNow starts a batch that EndNow will send as far as the network takes it at
// once. It reports false, and starts none, where it cannot be known what that is:
// over TLS, on the client's side, or as somebody else is writing.
func (c *Conn) BeginNow() bool { return c.server != nil && c.server.beginNow() }

// Write adds a message to the batch: prefix and data.
func (c *Conn) Write(prefix string, data []byte, text bool) error {
	if c.server != nil {
		if text {
			return c.server.add(opText, prefix, data)
		}
		return c.server.add(opBinary, prefix, data)
	}
	typ := websocket.MessageBinary
	if text {
		typ = websocket.MessageText
	}
	return c.full().Write(context.Background(), typ, data)
}

// End sends the batch, within WriteTimeout.
func (c *Conn) End() error {
	if c.server != nil {
		return c.server.end()
	}
	return c.client.SetWriteDeadline(time.Time{}) // pings and pongs have limits of their own
}

// EndNow does not wait. It reports whether the batch was sent; if not, the rest
// goes with the next batch, which may be empty.
func (c *Conn) EndNow() (all bool, err error) { return c.server.endNow() }

// Ping asks the peer for a pong, which will be heard through Options.Alive. It
// does not wait for it.
func (c *Conn) Ping(timeout time.Duration) {
	if c.server != nil {
		c.server.ping()
		return
	}
	go func() { // ends with the pong, the connection, or the timeout
		ctx, cancel := context.WithTimeout(context.Background(), timeout)
		defer cancel()
		c.full().Ping(ctx)
	}()
}

// Close sends a close frame and waits for the peer's, each at most 5 s. It
// needs somebody in Read, or nobody, meanwhile.
func (c *Conn) Close(code int, reason string) {
	if c.client != nil {
		c.client.SetWriteDeadline(time.Time{}) // coder/websocket has a limit of its own here
	}
	c.full().Close(websocket.StatusCode(code), reason)
}

// Abort cuts the connection.
func (c *Conn) Abort() {
	if c.server != nil {
		c.server.Conn.Close()
	}
	if ws := c.ws.Load(); ws != nil {
		ws.CloseNow()
	}
}
