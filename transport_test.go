package wsrouter_test

import (
	"context"
	"encoding/binary"
	"net"
	"net/http"
	"testing"

	"github.com/coder/websocket"

	"github.com/wsrouter/wsrouter"
	"github.com/wsrouter/wsrouter/adapter"
	"github.com/wsrouter/wsrouter/internal/memnet"
	"github.com/wsrouter/wsrouter/wsroutertest"
)

type dialFunc = func(context.Context, string, string) (net.Conn, error)

// TestTransport checks that plain WebSocket keeps the promises of a transport, in
// memory, where nothing is buffered and every wait is noticed.
func TestTransport(t *testing.T) {
	wsroutertest.TestTransport(t, wsroutertest.TransportAdapter{
		Serve: func(tb testing.TB, host adapter.Host) func() *wsroutertest.TransportPeer {
			dial := memnet.Serve(tb, wsrouter.ServeOn(host)).Dial
			return func() *wsroutertest.TransportPeer { return plainPeer(tb, dial) }
		},
		Bubble:   true,
		Overhead: len(plainHead) + 1,
	})
}

// TestTransportOverTCP is TestTransport where writing goes straight to the network.
func TestTransportOverTCP(t *testing.T) {
	wsroutertest.TestTransport(t, wsroutertest.TransportAdapter{
		Serve: func(tb testing.TB, host adapter.Host) func() *wsroutertest.TransportPeer {
			dial := memnet.Local(tb, wsrouter.ServeOn(host))
			return func() *wsroutertest.TransportPeer { return plainPeer(tb, dial) }
		},
		Overhead: len(plainHead) + 1,
	})
}

const plainHead = `{"event":"e","data":`

// plainPeer connects a client to a plain mount.
func plainPeer(tb testing.TB, dial dialFunc) *wsroutertest.TransportPeer {
	var conn *wsroutertest.SlowConn
	transport := &http.Transport{DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := dial(ctx, network, addr)
		conn = &wsroutertest.SlowConn{Conn: c}
		return conn, err
	}}
	ws, _, err := websocket.Dial(context.Background(), "ws://memory/",
		&websocket.DialOptions{HTTPClient: &http.Client{Transport: transport}})
	if err != nil {
		tb.Fatal(err)
	}
	ws.SetReadLimit(-1)
	begin := func(data string) {
		head := binary.BigEndian.AppendUint16([]byte{0x81, 0x80 | 126}, uint16(len(data)+1))
		conn.Write(append(append(head, 0, 0, 0, 0), data...))
	}
	return &wsroutertest.TransportPeer{
		Send: func(data string) error {
			return ws.Write(context.Background(), websocket.MessageText, []byte(plainHead+data+"}"))
		},
		Read: func() (p wsroutertest.TransportPart, err error) {
			kind, data, err := ws.Read(context.Background())
			return wsroutertest.TransportPart{Data: data, Binary: kind == websocket.MessageBinary}, err
		},
		Cut: func() {
			conn.Close()
			ws.CloseNow()
		},
		Goodbye: func() { conn.Write([]byte{0x88, 0x82, 0, 0, 0, 0, 0x03, 0xe8}) },
		Garbage: func() { conn.Write([]byte{0x83, 0x80, 0, 0, 0, 0}) },
		Half: func(data string) {
			begin(data)
			conn.Close()
		},
		Begin: begin,
		Slow:  conn.Slow,
	}
}
