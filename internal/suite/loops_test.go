package suite_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/stretchr/testify/require"

	"github.com/wsrouter/wsrouter"
)

// loopOptions turn event loops on. On systems without them the tests must pass too.
func loopOptions() *wsrouter.Options { return &wsrouter.Options{EventLoops: true} }

const handshake = "GET / HTTP/1.1\r\nHost: loops\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
	"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"

// rawClient is a WebSocket client over TCP that writes frames.
type rawClient struct {
	*net.TCPConn
	t *testing.T
	r *bufio.Reader
}

// rawDial connects, and writes early in one piece with the handshake.
func rawDial(t *testing.T, url, early string) *rawClient {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(url, "ws://"))
	require.NoError(t, err)
	t.Cleanup(func() { conn.Close() })
	c := &rawClient{conn.(*net.TCPConn), t, bufio.NewReader(conn)}
	c.SetDeadline(time.Now().Add(time.Minute))
	_, err = io.WriteString(c, handshake+early)
	require.NoError(t, err)
	resp, err := http.ReadResponse(c.r, nil)
	require.NoError(t, err)
	require.Equal(t, http.StatusSwitchingProtocols, resp.StatusCode)
	return c
}

func (c *rawClient) send(frames ...string) {
	c.t.Helper()
	var all []byte
	for _, f := range frames {
		all = append(all, wsFrame(1, true, f)...)
	}
	_, err := c.Write(all)
	require.NoError(c.t, err)
}

// next returns the opcode and payload of the next frame.
func (c *rawClient) next() (opcode byte, payload string) {
	c.t.Helper()
	var head [4]byte
	_, err := io.ReadFull(c.r, head[:2])
	require.NoError(c.t, err)
	n := int(head[1])
	if n == 126 {
		io.ReadFull(c.r, head[2:])
		n = int(binary.BigEndian.Uint16(head[2:]))
	}
	p := make([]byte, n)
	_, err = io.ReadFull(c.r, p)
	require.NoError(c.t, err)
	return head[0] & 15, string(p)
}

func (c *rawClient) reads(want ...string) {
	c.t.Helper()
	for _, w := range want {
		opcode, payload := c.next()
		require.EqualValues(c.t, 1, opcode)
		require.Equal(c.t, w, payload)
	}
}

// TestLoopsHandlersThatStay: handlers that never return, one on every connection,
// do not keep pings, cancels and answers from being read.
func TestLoopsHandlersThatStay(t *testing.T) {
	router := wsrouter.New(loopOptions())
	started := make(chan struct{}, 1000)
	router.On("stay", func(c *wsrouter.Context) error {
		started <- struct{}{}
		<-c.Context().Done()
		return c.Context().Err()
	})
	router.On("ask", func(c *wsrouter.Context) error {
		var answer int
		if err := c.Conn().Call(c.Context(), "double", 21, &answer); err != nil {
			return err
		}
		return c.Reply(answer)
	})
	url := server(t, router.Handler(&wsrouter.WSOptions{Detach: true}))
	var clients []*rawClient
	for range 100 {
		c := rawDial(t, url, "")
		c.send(`{"event":"ask","id":1}`)
		clients = append(clients, c)
	}
	for _, c := range clients {
		c.reads(`{"event":"double","data":21,"id":1}`)
		c.Write(wsFrame(9, true, "ping"))
		opcode, payload := c.next()
		require.EqualValues(t, 10, opcode)
		require.Equal(t, "ping", payload)
		c.send(`{"event":"double","data":42,"re":1}`, `{"event":"stay","id":2}`, `{"event":"stay","id":3}`)
		c.reads(`{"event":"ask","data":42,"re":1}`)
	}
	for range clients {
		<-started
	}
	for _, c := range clients {
		c.Write(wsFrame(9, true, "still"))
		opcode, _ := c.next()
		require.EqualValues(t, 10, opcode)
		c.send(`{"id":2,"cancel":true}`)
		_, payload := c.next()
		require.Contains(t, payload, `"code":"canceled"`)
		require.Contains(t, payload, `"re":2`)
		<-started // the one behind it has its turn
		c.send(`{"id":3,"cancel":true}`)
		_, payload = c.next()
		require.Contains(t, payload, `"re":3`)
		c.Write(wsFrame(8, true, "\x03\xe8"))
		for opcode := byte(0); opcode != 8; {
			opcode, _ = c.next()
		}
	}
	require.NoError(t, router.Shutdown(t.Context()))
}

// TestLoopsPause: a client that fills the inbox is not read until there is space,
// and then everything it has sent is handled in order.
func TestLoopsPause(t *testing.T) {
	opts := loopOptions()
	opts.InboxBytes = 2000
	router := wsrouter.New(opts)
	free := make(chan struct{})
	router.On("n", func(c *wsrouter.Context) error {
		<-free
		return c.Reply(c.Raw())
	})
	const sent = 3000
	for _, detach := range []bool{false, true} {
		c := rawDial(t, server(t, router.Handler(&wsrouter.WSOptions{Detach: detach})), "")
		written := make(chan struct{})
		go func() {
			defer close(written)
			for i := range sent {
				c.Write(wsFrame(1, true, fmt.Sprintf(`{"event":"n","data":[%d,%q]}`, i, large[:i%1000])))
			}
		}()
		for i := range sent {
			free <- struct{}{}
			c.reads(fmt.Sprintf(`{"event":"n","data":[%d,%q]}`, i, large[:i%1000]))
		}
		<-written
		c.Close()
	}
	close(free)
	require.NoError(t, router.Shutdown(t.Context()))
}

// TestLoopsEnd: Shutdown and Close may come at any moment. What was read is
// handled, every client is told, and nothing is left.
func TestLoopsEnd(t *testing.T) {
	for round := range 20 {
		router := wsrouter.New(loopOptions())
		var mu sync.Mutex
		connected, gone := 0, 0
		router.OnConnect(func(*wsrouter.Conn) error { mu.Lock(); connected++; mu.Unlock(); return nil })
		router.OnDisconnect(func(context.Context, *wsrouter.Conn, *wsrouter.CloseError) { mu.Lock(); gone++; mu.Unlock() })
		router.On("echo", func(c *wsrouter.Context) error { return c.Reply(c.Raw()) })
		router.On("close", func(c *wsrouter.Context) error { return c.Conn().Close(4001, "") })
		url := server(t, router.Handler(&wsrouter.WSOptions{Detach: round%2 == 0}))
		var clients sync.WaitGroup
		answered := make(chan struct{}, 10_000)
		for n := range 20 {
			clients.Go(func() { talk(url, n, answered) })
		}
		for range 10 * round {
			<-answered
		}
		if round%5 == 4 {
			router.Close()
		} else {
			require.NoError(t, router.Shutdown(t.Context()))
		}
		clients.Wait()
		require.NoError(t, router.Shutdown(t.Context()))
		require.Zero(t, router.Stats().Connections)
		require.Equal(t, connected, gone)
	}
}

// talk is a client that talks until the connection ends; some clients close it
// themselves.
func talk(url string, n int, answered chan<- struct{}) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	c, err := wsrouter.Dial(ctx, url, nil)
	if err != nil {
		return // it came after Shutdown
	}
	defer c.Close()
	for i := range 300 {
		var got int
		if err := c.Call(ctx, "echo", i, &got); err != nil || got != i {
			return
		}
		select {
		case answered <- struct{}{}:
		default:
		}
		if n < 3 && i == 200 {
			c.Emit("close")
		}
	}
	<-c.Conn().Context().Done()
}

// TestLoopsFlood: a flood of small frames, and of pings between them, is handled in
// order, while neighbors are served.
func TestLoopsFlood(t *testing.T) {
	router := wireRouter(loopOptions())
	url := server(t, router)
	neighbor := rawDial(t, url, "")
	var floods sync.WaitGroup
	for range 4 {
		c := rawDial(t, url, "")
		floods.Go(func() {
			var frames []byte
			for i := range 5000 {
				frames = append(frames, wsFrame(1, true, `{"event":"echo","data":`+strconv.Itoa(i)+`}`)...)
				frames = append(frames, wsFrame(9, true, "")...)
			}
			c.Write(frames)
		})
		floods.Go(func() {
			for i := 0; i < 5000; {
				opcode, payload := c.next()
				if opcode == 10 {
					continue
				}
				if payload != `{"event":"echo","data":`+strconv.Itoa(i)+`}` {
					t.Errorf("answer %d is %s", i, payload)
					return
				}
				i++
			}
		})
	}
	for i := range 100 {
		neighbor.send(`{"event":"echo","data":` + strconv.Itoa(i) + `}`)
		neighbor.reads(`{"event":"echo","data":` + strconv.Itoa(i) + `}`)
	}
	floods.Wait()
}

// TestLoopsGiants: messages of the maximum length, in one frame and in many, are
// handled.
func TestLoopsGiants(t *testing.T) {
	opts := loopOptions()
	opts.MaxMessage = 1 << 20
	url := server(t, wireRouter(opts))
	frame := `{"event":"echo","data":"` + strings.Repeat("x", 1<<20-len(`{"event":"echo","data":""}`)) + `"}`
	conn := dial(t, url)
	for range 5 {
		write(t, conn, websocket.MessageText, frame)
		require.Equal(t, frame, read(t, conn))
	}
	w, err := conn.Writer(t.Context(), websocket.MessageText)
	require.NoError(t, err)
	for rest := frame; rest != ""; {
		n := min(len(rest), 3001)
		_, err := io.WriteString(w, rest[:n])
		require.NoError(t, err)
		rest = rest[n:]
	}
	require.NoError(t, w.Close())
	require.Equal(t, frame, read(t, conn))
	write(t, conn, websocket.MessageText, frame+" ")
	_, _, err = conn.Read(t.Context())
	require.Equal(t, websocket.StatusMessageTooBig, websocket.CloseStatus(err))
}

// TestLoopsSlowloris: clients that begin messages and do not end them are gone
// after MessageTimeout, whether they go on sending or not; others are served.
func TestLoopsSlowloris(t *testing.T) {
	opts := loopOptions()
	opts.MessageTimeout = 200 * time.Millisecond
	router := wireRouter(opts)
	url := server(t, router)
	good := rawDial(t, url, "")
	var slow []*rawClient
	for i := range 100 {
		c := rawDial(t, url, "")
		c.Write(wsFrame(1, true, large[:200])[:1+i%20])
		slow = append(slow, c)
	}
	for i, c := range slow {
		good.send(`{"event":"echo","data":1}`)
		good.reads(`{"event":"echo","data":1}`)
		if i%20 > 8 { // the header is complete
			c.Write([]byte("x"))
		}
	}
	for _, c := range slow {
		opcode, payload := c.next()
		require.EqualValues(t, 8, opcode)
		require.Equal(t, "\x03\xf0message took too long", payload)
		c.Close()
	}
	good.send(`{"event":"echo","data":2}`)
	good.reads(`{"event":"echo","data":2}`)
}

// TestLoopsEarly: events that come in one piece with the handshake are handled.
func TestLoopsEarly(t *testing.T) {
	url := server(t, wireRouter(loopOptions()))
	event := string(wsFrame(1, true, `{"event":"echo","data":1}`))
	for _, early := range []string{event, event + event, event + event[:5], event[:1]} {
		c := rawDial(t, url, early)
		sent := strings.Repeat(event, 3)
		_, err := io.WriteString(c, strings.TrimPrefix(sent, early))
		require.NoError(t, err)
		for range 3 {
			c.reads(`{"event":"echo","data":1}`)
		}
	}
}

// disguised is a listener whose connections are not plain sockets.
type disguised struct{ net.Listener }

func (w disguised) Accept() (net.Conn, error) {
	c, err := w.Listener.Accept()
	return struct{ net.Conn }{c}, err
}

// TestLoopsFallBack: what cannot wait at a loop is served without one.
func TestLoopsFallBack(t *testing.T) {
	router := wireRouter(loopOptions())
	secure := httptest.NewTLSServer(router)
	defer secure.Close()
	plain := httptest.NewUnstartedServer(router)
	plain.Listener = disguised{plain.Listener}
	plain.Start()
	defer plain.Close()
	for _, url := range []string{secure.URL, plain.URL} {
		conn, _, err := websocket.Dial(t.Context(), url, &websocket.DialOptions{HTTPClient: &http.Client{
			Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}},
		}})
		require.NoError(t, err)
		for range 10 {
			write(t, conn, websocket.MessageText, `{"event":"echo","data":1}`)
			require.Equal(t, `{"event":"echo","data":1}`, read(t, conn))
		}
		require.NoError(t, conn.Close(websocket.StatusNormalClosure, ""))
	}
	require.NoError(t, router.Shutdown(t.Context()))
}
