//go:build unix

package redistest_test

import (
	"bufio"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wsrouter/wsrouter/internal/leak"
	"github.com/wsrouter/wsrouter/internal/redistest"
)

func TestMain(m *testing.M) { leak.Main(m) }

// ping sends PING to a server and returns its answer, or "" if there is none in
// time.
func ping(t *testing.T, conn net.Conn, patience time.Duration) string {
	conn.SetDeadline(time.Time{})
	conn.Write([]byte("PING\r\n"))
	conn.SetReadDeadline(time.Now().Add(patience))
	line, _ := bufio.NewReader(conn).ReadString('\n')
	return line
}

func dial(t *testing.T, addr string) net.Conn {
	conn, err := net.Dial("tcp", addr)
	require.NoError(t, err)
	t.Cleanup(func() { conn.Close() })
	return conn
}

func TestServerAndProxy(t *testing.T) {
	server := redistest.Start(t)
	proxy := server.NewProxy(t)
	const pong, long = "+PONG\r\n", 10 * time.Second
	conn := dial(t, proxy.Addr)
	assert.Equal(t, pong, ping(t, conn, long))

	proxy.Hold()
	assert.Empty(t, ping(t, conn, 50*time.Millisecond))
	proxy.Heal()
	conn.SetDeadline(time.Now().Add(long))
	line, err := bufio.NewReader(conn).ReadString('\n')
	require.NoError(t, err)
	assert.Equal(t, pong, line, "what was held arrives")

	proxy.Cut()
	assert.Empty(t, ping(t, conn, long))
	assert.Empty(t, ping(t, dial(t, proxy.Addr), long))
	proxy.Heal()
	assert.Equal(t, pong, ping(t, dial(t, proxy.Addr), long))

	server.Stop()
	assert.Empty(t, ping(t, dial(t, proxy.Addr), long))
	server.Restart()
	assert.Equal(t, pong, ping(t, dial(t, proxy.Addr), long))
}
