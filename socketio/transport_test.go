package socketio_test

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/stretchr/testify/require"

	"github.com/wsrouter/wsrouter/adapter"
	"github.com/wsrouter/wsrouter/internal/memnet"
	"github.com/wsrouter/wsrouter/socketio"
	"github.com/wsrouter/wsrouter/wsroutertest"
)

const eventHead = `42["e",`

// TestTransport checks that both transports keep their promises.
func TestTransport(t *testing.T) {
	for name, connect := range map[string]func(testing.TB, *memnet.Network) *wsroutertest.TransportPeer{
		"websocket": socketPeer, "polling": pollingPeer,
	} {
		t.Run(name, func(t *testing.T) {
			wsroutertest.TestTransport(t, wsroutertest.TransportAdapter{
				Serve: func(tb testing.TB, host adapter.Host) func() *wsroutertest.TransportPeer {
					network := memnet.Serve(tb, socketio.On(host))
					return func() *wsroutertest.TransportPeer { return connect(tb, network) }
				},
				Bubble:      true,
				Parts:       true,
				Overhead:    len(eventHead) + 1,
				TooBigStays: name == "polling", // the request gets 413, like from the reference
			})
		})
	}
}

// partOf parses a packet that was read; a heartbeat is answered with pong.
func partOf(packet []byte, binary bool, pong func()) wsroutertest.TransportPart {
	switch {
	case binary:
		return wsroutertest.TransportPart{Data: packet, Binary: true}
	case packet[0] == '4':
		return wsroutertest.TransportPart{Data: packet[1:]}
	case packet[0] == '2':
		go pong()
	}
	return wsroutertest.TransportPart{Data: packet, Own: true}
}

// socketPeer connects a client over WebSocket.
func socketPeer(tb testing.TB, network *memnet.Network) *wsroutertest.TransportPeer {
	ctx := context.Background()
	var conn *wsroutertest.SlowConn
	transport := &http.Transport{DialContext: func(ctx context.Context, n, addr string) (net.Conn, error) {
		c, err := network.Dial(ctx, n, addr)
		conn = &wsroutertest.SlowConn{Conn: c}
		return conn, err
	}}
	ws, _, err := websocket.Dial(ctx, "ws://memory/socket.io/?EIO=4&transport=websocket",
		&websocket.DialOptions{HTTPClient: &http.Client{Transport: transport}})
	require.NoError(tb, err)
	ws.SetReadLimit(-1)
	send := func(packet string) error { return ws.Write(ctx, websocket.MessageText, []byte(packet)) }
	ws.Read(ctx) // open
	require.NoError(tb, send("40"))
	ws.Read(ctx) // welcome
	begin := func(data string) {
		head := binary.BigEndian.AppendUint16([]byte{0x81, 0x80 | 126}, uint16(len(data)+1))
		conn.Write(append(append(head, 0, 0, 0, 0), data...))
	}
	return &wsroutertest.TransportPeer{
		Send: func(data string) error { return send(eventHead + data + "]") },
		Read: func() (p wsroutertest.TransportPart, err error) {
			kind, packet, err := ws.Read(ctx)
			if err != nil {
				return p, err
			}
			return partOf(packet, kind == websocket.MessageBinary, func() { send("3") }), nil
		},
		Cut: func() {
			conn.Close()
			ws.CloseNow()
		},
		Goodbye: func() { send("1") },
		Garbage: func() { send("9") },
		Half: func(data string) {
			begin(data)
			conn.Close()
		},
		Begin: begin,
		Slow:  conn.Slow,
	}
}

// pollingClient is a client over polling.
type pollingClient struct {
	network *memnet.Network
	http    *http.Client
	ctx     context.Context
	query   string
	packets []string // read, and not yet returned by Read

	mu      sync.Mutex // guards what follows
	polling bool
	slow    bool
	conns   []*wsroutertest.SlowConn
}

// half is a request whose body is longer than what is sent of it.
const half = "POST %s HTTP/1.1\r\nHost: memory\r\nContent-Length: %d\r\n\r\n%s"

func pollingPeer(tb testing.TB, network *memnet.Network) *wsroutertest.TransportPeer {
	ctx, cancel := context.WithCancel(context.Background())
	c := &pollingClient{network: network, ctx: ctx, query: "/socket.io/?EIO=4&transport=polling"}
	transport := &http.Transport{DialContext: c.dial}
	c.http = &http.Client{Transport: transport}
	open, err := c.do("GET", "")
	require.NoError(tb, err)
	var session struct{ SID string }
	require.NoError(tb, json.Unmarshal([]byte(open[1:]), &session))
	c.query += "&sid=" + session.SID
	_, err = c.do("POST", "40")
	require.NoError(tb, err)
	_, err = c.do("GET", "") // welcome
	require.NoError(tb, err)
	return &wsroutertest.TransportPeer{
		Send: func(data string) error { _, err := c.do("POST", eventHead+data+"]"); return err },
		Read: c.read,
		Cut: func() {
			time.Sleep(time.Millisecond) // in a bubble: makes a poll wait that is to wait
			if !c.isPolling() {          // otherwise nobody knows
				c.raw("GET %s HTTP/1.1\r\nHost: memory\r\n\r\n", c.query)
			}
			cancel()
			transport.CloseIdleConnections()
		},
		Goodbye: func() { c.do("POST", "1") },
		Garbage: func() { c.do("POST", "9") },
		Half: func(data string) {
			c.raw(half, c.query, len(data)+1, data)
		},
		Begin: func(data string) {
			conn, err := network.Dial(ctx, "", "")
			require.NoError(tb, err)
			tb.Cleanup(func() { conn.Close() })
			fmt.Fprintf(conn, half, c.query, len(data)+1, data)
		},
		Slow: c.beSlow,
	}
}

func (c *pollingClient) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	conn, err := c.network.Dial(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	slow := &wsroutertest.SlowConn{Conn: conn}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.slow {
		slow.Slow()
	}
	c.conns = append(c.conns, slow)
	return slow, nil
}

func (c *pollingClient) beSlow() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.slow = true
	for _, conn := range c.conns {
		conn.Slow()
	}
}

// raw writes to a separate connection, and closes it.
func (c *pollingClient) raw(format string, args ...any) {
	conn, err := c.network.Dial(c.ctx, "", "")
	if err == nil {
		fmt.Fprintf(conn, format, args...)
		conn.Close()
	}
}

func (c *pollingClient) isPolling() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.polling
}

func (c *pollingClient) poll(yes bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.polling = yes
}

func (c *pollingClient) do(method, body string) (answer string, err error) {
	req, err := http.NewRequestWithContext(c.ctx, method, "http://memory"+c.query, strings.NewReader(body))
	if err != nil {
		return "", err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("status %d: %s", resp.StatusCode, data)
	}
	return string(data), err
}

func (c *pollingClient) read() (p wsroutertest.TransportPart, err error) {
	if len(c.packets) == 0 {
		c.poll(true)
		body, err := c.do("GET", "")
		c.poll(false)
		if err != nil {
			return p, err
		}
		c.packets = strings.Split(body, "\x1e")
	}
	packet := c.packets[0]
	c.packets = c.packets[1:]
	if !strings.HasPrefix(packet, "b") {
		return partOf([]byte(packet), false, func() { c.do("POST", "3") }), nil
	}
	data, err := base64.StdEncoding.DecodeString(packet[1:])
	return partOf(data, true, nil), err
}
