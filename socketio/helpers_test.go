package socketio_test

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/stretchr/testify/require"

	"github.com/wsrouter/wsrouter"
	"github.com/wsrouter/wsrouter/internal/memnet"
	"github.com/wsrouter/wsrouter/socketio"
)

// site is a Socket.IO mount for the clients of tests.
type site struct {
	t       *testing.T
	router  *wsrouter.Router
	handler http.Handler
	url     string // http://host/socket.io/
	client  *http.Client
	opened  func() // called for each session of open and direct; nil means nothing
}

// serve serves a router on a loopback port.
func serve(t *testing.T, router *wsrouter.Router, opts *socketio.Options) *site {
	t.Helper()
	h := socketio.New(router, opts)
	server := httptest.NewServer(h)
	s := &site{t: t, router: router, handler: h, url: server.URL + "/socket.io/", client: server.Client()}
	t.Cleanup(func() {
		router.Close()
		server.Close()
	})
	return s
}

// serveInBubble serves a router over in-memory connections, in fake time.
func serveInBubble(t *testing.T, router *wsrouter.Router, opts *socketio.Options) *site {
	t.Helper()
	return serveWith(t, &http.Server{}, router, opts)
}

func serveWith(t *testing.T, server *http.Server, router *wsrouter.Router, opts *socketio.Options) *site {
	t.Helper()
	h := socketio.New(router, opts)
	server.Handler = h
	transport := &http.Transport{DialContext: memnet.ServeBy(t, server).Dial}
	t.Cleanup(func() {
		router.Close()
		transport.CloseIdleConnections()
	})
	return &site{t: t, router: router, handler: h, url: "http://memory/socket.io/", client: &http.Client{Transport: transport}}
}

// answer is a response that has been read.
type answer struct {
	status int
	header http.Header
	body   string
}

// do sends a request; query is what follows the question mark.
func (s *site) do(method, query, body string, header ...string) answer {
	s.t.Helper()
	a, err := s.try(method, query, body, header...)
	require.NoError(s.t, err)
	return a
}

func (s *site) try(method, query, body string, header ...string) (answer, error) {
	req, err := http.NewRequestWithContext(s.t.Context(), method, s.url+"?"+query, strings.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := s.client.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	return answer{resp.StatusCode, resp.Header, string(data)}, err
}

const polling = "EIO=4&transport=polling"

// poller is a client over polling.
type poller struct {
	*site
	sid string
}

// open does the polling handshake.
func (s *site) open() *poller {
	s.t.Helper()
	a := s.do("GET", polling, "")
	require.Equal(s.t, 200, a.status, a.body)
	var open struct{ SID string }
	require.NoError(s.t, json.Unmarshal([]byte(a.body[1:]), &open))
	s.tell()
	return &poller{s, open.SID}
}

func (p *poller) query() string { return polling + "&sid=" + p.sid }

// get polls once; post sends a payload.
func (p *poller) get() string {
	p.t.Helper()
	a := p.do("GET", p.query(), "")
	require.Equal(p.t, 200, a.status, a.body)
	return a.body
}

func (p *poller) post(payload string) {
	p.t.Helper()
	a := p.do("POST", p.query(), payload, "Content-Type", "text/plain;charset=UTF-8")
	require.Equal(p.t, "ok", a.body)
}

// waiting starts a poll, whose body is sent to the channel; "" stands for any failure.
func (p *poller) waiting() <-chan string {
	body := make(chan string, 1)
	go func() {
		a, err := p.try("GET", p.query(), "")
		if err != nil || a.status != 200 {
			a.body = ""
		}
		body <- a.body
	}()
	return body
}

// gone requires that the session is not known any longer.
func (p *poller) gone() {
	p.t.Helper()
	a := p.do("GET", p.query(), "")
	require.Equal(p.t, `{"code":1,"message":"Session ID unknown"}`, a.body)
}

// join connects to a namespace and returns the id there.
func (p *poller) join(packet string) string {
	p.t.Helper()
	p.post(packet)
	return joined(p.t, packet, p.get())
}

// joined takes the id from the answer to a CONNECT.
func joined(t *testing.T, packet, got string) string {
	t.Helper()
	packet, _, _ = strings.Cut(packet, "{")
	require.Regexp(t, "^"+packet+`\{"sid":"~[A-Za-z0-9_-]{19}"\}$`, got)
	return got[len(got)-22 : len(got)-2]
}

// socket is a client over WebSocket. It always reads, because in-memory connections
// have no buffer.
type socket struct {
	*websocket.Conn
	t        *testing.T
	received chan packet
}

// packet is what was read; a binary packet has a NUL in front.
type packet struct {
	text string
	err  error
}

func (ws *socket) receive() {
	for {
		typ, data, err := ws.Conn.Read(context.Background())
		p := packet{string(data), err}
		if err == nil && typ == websocket.MessageBinary {
			p.text = "\x00" + p.text
		}
		ws.received <- p
		if err != nil {
			return
		}
	}
}

// dial opens a WebSocket, for a new session or with &sid= for an existing one.
func (s *site) dial(extra string) *socket {
	s.t.Helper()
	ctx := s.t.Context()
	conn, _, err := websocket.Dial(ctx, "ws"+s.url[len("http"):]+"?EIO=4&transport=websocket"+extra,
		&websocket.DialOptions{HTTPClient: s.client})
	require.NoError(s.t, err)
	conn.SetReadLimit(-1)
	s.t.Cleanup(func() { conn.CloseNow() })
	ws := &socket{conn, s.t, make(chan packet, 10_000)}
	go ws.receive()
	return ws
}

// direct opens a session over WebSocket only.
func (s *site) direct() *socket {
	s.t.Helper()
	ws := s.dial("")
	require.Regexp(s.t, `^0\{"sid":".{20}","upgrades":\[\],`, ws.read())
	s.tell()
	return ws
}

func (s *site) tell() {
	if s.opened != nil {
		s.opened()
	}
}

// connected opens a session and joins the root namespace.
func (s *site) connected() *socket {
	s.t.Helper()
	ws := s.direct()
	ws.join("40")
	return ws
}

func (ws *socket) join(packet string) string {
	ws.t.Helper()
	ws.write(packet)
	return joined(ws.t, packet, ws.read())
}

// write sends packets; those that begin with a NUL are binary.
func (ws *socket) write(packets ...string) {
	ws.t.Helper()
	for _, p := range packets {
		typ := websocket.MessageText
		if strings.HasPrefix(p, "\x00") {
			typ, p = websocket.MessageBinary, p[1:]
		}
		require.NoError(ws.t, ws.Conn.Write(ws.t.Context(), typ, []byte(p)))
	}
}

// read returns the next packet; a binary packet has a NUL in front.
func (ws *socket) read() string {
	ws.t.Helper()
	p := <-ws.received
	require.NoError(ws.t, p.err)
	return p.text
}

// reads requires the next packets.
func (ws *socket) reads(packets ...string) {
	ws.t.Helper()
	for _, p := range packets {
		require.Equal(ws.t, p, ws.read())
	}
}

// closed requires a close frame without a code, and nothing before it.
func (ws *socket) closed() {
	ws.t.Helper()
	p := <-ws.received
	require.Error(ws.t, p.err, "got %q", p.text)
	require.Equal(ws.t, websocket.StatusNoStatusRcvd, websocket.CloseStatus(p.err), "%v", p.err)
}

// raw sends one request unchanged, and returns the response's head and the connection.
func (s *site) raw(request string) (*http.Response, net.Conn) {
	s.t.Helper()
	host, _, _ := strings.Cut(strings.TrimPrefix(s.url, "http://"), "/")
	dial := (&net.Dialer{}).DialContext
	if t, ok := s.client.Transport.(*http.Transport); ok && t.DialContext != nil {
		dial = t.DialContext
	}
	conn, err := dial(s.t.Context(), "tcp", host)
	require.NoError(s.t, err)
	s.t.Cleanup(func() { conn.Close() })
	_, err = io.WriteString(conn, request)
	require.NoError(s.t, err)
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	require.NoError(s.t, err)
	return resp, conn
}

// newRouter returns a router that answers what most tests ask for.
func newRouter(opts *wsrouter.Options) *wsrouter.Router {
	router := wsrouter.New(opts)
	router.On("echo", func(c *wsrouter.Context) error {
		var v any
		if err := c.Bind(&v); err != nil {
			return err
		}
		return c.Reply(v)
	})
	router.On("fail", func(c *wsrouter.Context) error { return wsrouter.NewError("no") })
	router.On("1", func(c *wsrouter.Context) error { return c.Reply("number") })
	return router
}

// waitLong and waitStep are for things that another goroutine is about to do.
const (
	waitLong = 10 * time.Second
	waitStep = time.Millisecond
)

// newConn returns a plain connection to the site.
func newConn(s *site) (net.Conn, error) {
	return s.client.Transport.(*http.Transport).DialContext(s.t.Context(), "tcp", "")
}

func newGet(ctx context.Context, url string) (*http.Request, error) {
	return http.NewRequestWithContext(ctx, "GET", url, nil)
}
