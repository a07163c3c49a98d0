package suite_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"
	"github.com/stretchr/testify/require"

	"github.com/wsrouter/wsrouter"
	"github.com/wsrouter/wsrouter/wsroutertest"
)

// countingListener counts the connections that it has accepted and that have not been
// closed.
type countingListener struct {
	net.Listener
	open *atomic.Int64
}

type countedConn struct {
	net.Conn
	open   *atomic.Int64
	closed atomic.Bool
}

func (l countingListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	l.open.Add(1)
	return &countedConn{Conn: conn, open: l.open}, nil
}

func (c *countedConn) Close() error {
	if !c.closed.Swap(true) {
		c.open.Add(-1)
	}
	return c.Conn.Close()
}

// TestSocketsAreClosed: however a client goes, the server closes its socket.
func TestSocketsAreClosed(t *testing.T) {
	for name, leave := range map[string]func(*websocket.Conn, net.Conn){
		"close frame": func(ws *websocket.Conn, _ net.Conn) { ws.Close(websocket.StatusNormalClosure, "") },
		"FIN":         func(_ *websocket.Conn, conn net.Conn) { conn.Close() },
		"RST": func(_ *websocket.Conn, conn net.Conn) {
			conn.(*net.TCPConn).SetLinger(0)
			conn.Close()
		},
		"mistake": func(ws *websocket.Conn, conn net.Conn) {
			conn.Write([]byte{0x83, 0x80, 0, 0, 0, 0})
			ws.Read(t.Context())
			conn.Close()
		},
	} {
		for _, detach := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				var open atomic.Int64
				s := httptest.NewUnstartedServer(wireRouter(nil).Handler(&wsrouter.WSOptions{Detach: detach}))
				s.Listener = countingListener{s.Listener, &open}
				s.Start()
				defer s.Close()
				var conn net.Conn
				transport := &http.Transport{Dial: func(network, addr string) (_ net.Conn, err error) {
					conn, err = net.Dial(network, addr)
					return conn, err
				}}
				ws, _, err := websocket.Dial(t.Context(), s.URL, &websocket.DialOptions{HTTPClient: &http.Client{Transport: transport}})
				require.NoError(t, err)
				leave(ws, conn)
				require.Eventually(t, func() bool { return open.Load() == 0 }, 10*time.Second, time.Millisecond)
				ws.CloseNow()
			})
		}
	}
}

// TestOneByteASecond: a client that reads that slowly is closed as slow after
// WriteTimeout, and does not hold up others until then.
func TestOneByteASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		router := wsrouter.New(nil)
		gone := make(chan error, 2)
		router.OnDisconnect(func(_ context.Context, _ *wsrouter.Conn, err *wsrouter.CloseError) { gone <- err })
		slow, quick := upgrade(t, router), upgrade(t, router)
		done := make(chan struct{})
		go func() {
			defer close(done)
			time.Sleep(time.Second / 2)
			for one := make([]byte, 1); ; time.Sleep(time.Second) {
				if _, err := slow.Read(one); err != nil {
					return
				}
			}
		}()
		synctest.Wait()
		begin := time.Now()
		text := strings.Repeat("x", 198)
		news := `{"event":"news","data":"` + text + `"}`
		buf := make([]byte, 4+len(news))
		for range 3 {
			require.NoError(t, router.Emit("news", text))
			_, err := io.ReadFull(quick, buf)
			require.NoError(t, err)
			require.Equal(t, "\x81\x7e\x00\xe0"+news, string(buf))
			require.Zero(t, time.Since(begin))
		}
		var ce *wsrouter.CloseError
		require.ErrorAs(t, <-gone, &ce)
		require.Equal(t, wsrouter.CauseSlow, ce.Cause)
		require.Equal(t, 10*time.Second, time.Since(begin))
		require.EqualValues(t, 1, router.Stats().Slow)
		<-done
	})
}

// TestCloseTransportPlain: with a single namespace it is the same as Close.
func TestCloseTransportPlain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		router := newRouter()
		client := wsroutertest.Connect(t, router, nil)
		synctest.Wait()
		for c := range router.Conns() {
			require.Error(t, c.CloseTransport(wsrouter.CloseAbnormal, ""))
			require.NoError(t, c.Emit("last", 1))
			require.NoError(t, c.CloseTransport(4001, "out"))
		}
		client.Expect("last", 1)
		require.Equal(t, "out", client.ExpectClose(4001).Reason)
		require.Error(t, router.All().DisconnectTransport(wsrouter.CloseAbnormal, ""))
		require.NoError(t, router.All().DisconnectTransport(4001, ""))
	})
}
