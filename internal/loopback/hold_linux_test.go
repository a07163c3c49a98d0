package loopback_test

import (
	"net"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wsrouter/wsrouter/internal/loopback"
)

// TestHold checks that nobody answers at the address and nobody else gets the port,
// but that servers can listen there, one after another, until the test has ended.
func TestHold(t *testing.T) {
	var unused string
	t.Run("held", func(t *testing.T) {
		unused = loopback.Hold(t)
		require.ErrorIs(t, connectFrom(t, unused), syscall.EADDRINUSE)
		addr := loopback.Hold(t)
		for range 2 {
			_, err := net.Dial("tcp", addr)
			require.ErrorIs(t, err, syscall.ECONNREFUSED)
			require.ErrorIs(t, connectFrom(t, addr), syscall.EADDRINUSE)
			serveOnce(t, addr)
		}
	})
	require.NoError(t, connectFrom(t, unused), "it is free when the test has ended")
}

// connectFrom connects as a client with that address. Clients do not set
// SO_REUSEADDR.
func connectFrom(t *testing.T, addr string) error {
	t.Helper()
	server, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer server.Close()
	from, err := net.ResolveTCPAddr("tcp", addr)
	require.NoError(t, err)
	conn, err := (&net.Dialer{LocalAddr: from}).Dial("tcp", server.Addr().String())
	if err == nil {
		conn.Close()
	}
	return err
}

// serveOnce serves one client there, and ends.
func serveOnce(t *testing.T, addr string) {
	t.Helper()
	server, err := net.Listen("tcp", addr)
	require.NoError(t, err)
	defer server.Close()
	client, err := net.Dial("tcp", addr)
	require.NoError(t, err)
	defer client.Close()
	conn, err := server.Accept()
	require.NoError(t, err)
	require.NoError(t, conn.Close())
}
