package socket_test

import (
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wsrouter/wsrouter/internal/socket"
)

// overEach runs a test over plain TCP and over TLS. connect makes a connection.
func overEach(t *testing.T, test func(t *testing.T, connect connector)) {
	for name, connect := range map[string]connector{"tcp": tcp, "tls": encrypted} {
		t.Run(name, func(t *testing.T) { test(t, connect) })
	}
}

type connector func(t *testing.T) (server, client net.Conn)

// certified returns the configurations of a server with a certificate and of a
// client that trusts it.
var certified = sync.OnceValues(func() (server, client *tls.Config) {
	s := httptest.NewTLSServer(http.NotFoundHandler())
	defer s.Close()
	client = s.Client().Transport.(*http.Transport).TLSClientConfig.Clone()
	client.ServerName = "example.com"
	client.ClientSessionCache = tls.NewLRUClientSessionCache(1) // many handshakes are slow under the race detector
	client.CurvePreferences = []tls.CurveID{tls.X25519}
	return s.TLS.Clone(), client
})

// encrypted returns the two ends of a TLS connection, after its handshake.
func encrypted(t *testing.T) (server, client net.Conn) {
	t.Helper()
	rawServer, rawClient := tcp(t)
	serverConfig, clientConfig := certified()
	tlsServer, tlsClient := tls.Server(rawServer, serverConfig), tls.Client(rawClient, clientConfig)
	done := make(chan error)
	go func() { done <- tlsServer.Handshake() }()
	require.NoError(t, tlsClient.Handshake())
	require.NoError(t, <-done)
	return tlsServer, tlsClient
}

// echo sends back what arrives, to the end, as an adapter does.
func echo(conn *socket.Conn) error {
	for {
		data, text, err := conn.Read()
		if err != nil {
			if code := closeCode(err); code != 0 {
				conn.Close(code, "")
			} else if code, _, ok := socket.CloseStatus(err); ok {
				conn.Close(code, "") // answers the close frame
			}
			conn.Abort()
			return err
		}
		conn.Begin()
		failed := conn.Write("", data, text)
		if err := errors.Join(failed, conn.End()); err != nil {
			conn.Abort()
		}
	}
}

func closeCode(err error) int {
	for kind, code := range map[error]int{socket.ErrTooBig: 1009, socket.ErrUTF8: 1007, socket.ErrProtocol: 1002, socket.ErrTimeout: 1008} {
		if errors.Is(err, kind) {
			return code
		}
	}
	return 0
}

// echoing starts an echo over a new connection. It returns the client's end, and
// how the echo ended.
func echoing(t *testing.T, connect connector) (client net.Conn, ended <-chan error) {
	t.Helper()
	return echoingUpTo(t, connect, 1<<20)
}

func echoingUpTo(t *testing.T, connect connector, size int64) (client net.Conn, ended <-chan error) {
	t.Helper()
	server, client := connect(t)
	opts := options()
	opts.MaxMessage = size
	conn := acceptWith(t, server, client, opts)
	done := make(chan error, 1)
	go func() { done <- echo(conn) }()
	return client, done
}
