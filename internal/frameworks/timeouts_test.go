package frameworks

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wsrouter/wsrouter"
)

// TestServerTimeouts holds that a WebSocket outlives the ReadTimeout and the
// WriteTimeout of its http.Server, which end an idle connection and a slow
// response that began after it. It is the one test that takes real time.
func TestServerTimeouts(t *testing.T) {
	for _, mode := range modes {
		t.Run(mode.name, func(t *testing.T) {
			t.Parallel()
			testServerTimeouts(t, mode.detach)
		})
	}
}

func testServerTimeouts(t *testing.T, detach bool) {
	router := wsrouter.New(nil)
	router.On("echo", echoRaw)
	writeFailed := make(chan error, 1)
	mux := http.NewServeMux()
	mux.Handle("/ws", router.Handler(&wsrouter.WSOptions{Detach: detach}))
	mux.HandleFunc("/endless", func(w http.ResponseWriter, r *http.Request) { writeFailed <- writeForEver(w) })
	server := start(t, router, mux, func(s *httptest.Server) {
		s.Config.ReadTimeout = time.Second // for the handshake, too
		s.Config.WriteTimeout = time.Second
	})

	client := server.dial(t, "/ws")
	idle := send(t, server, "")
	unread := send(t, server, "GET /endless HTTP/1.1\r\nHost: test\r\n\r\n")
	_, err := io.ReadAll(idle)
	require.NoError(t, err, "the server ends it without a word")
	require.ErrorContains(t, receive(t, writeFailed), "timeout")
	unread.Close()

	require.Equal(t, "still here", call[string](t, client, "echo", "still here"))
}

func writeForEver(w io.Writer) error {
	for {
		if _, err := w.Write(make([]byte, 64<<10)); err != nil {
			return err
		}
	}
}

// send opens a connection of its own and sends text.
func send(t *testing.T, server *server, text string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", server.Listener.Addr().String())
	require.NoError(t, err)
	t.Cleanup(func() { conn.Close() })
	require.NoError(t, conn.SetDeadline(time.Now().Add(patience)))
	_, err = io.WriteString(conn, text)
	require.NoError(t, err)
	return conn
}
