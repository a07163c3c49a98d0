package wsroutertest

import (
	"net"
	"sync/atomic"
)

// SlowConn is a client's connection that can be slowed down, for
// [TransportPeer.Slow]. Slow may be called at any time, from any goroutine.
type SlowConn struct {
	net.Conn
	slow atomic.Bool
}

// Slow makes every further Read and Write transfer a single byte at a time.
func (c *SlowConn) Slow() { c.slow.Store(true) }

// Read implements [net.Conn].
func (c *SlowConn) Read(p []byte) (int, error) {
	if c.slow.Load() && len(p) > 1 {
		p = p[:1]
	}
	return c.Conn.Read(p)
}

// Write implements [net.Conn].
func (c *SlowConn) Write(p []byte) (n int, err error) {
	if !c.slow.Load() {
		return c.Conn.Write(p)
	}
	for n < len(p) && err == nil {
		var k int
		k, err = c.Conn.Write(p[n : n+1])
		n += k
	}
	return n, err
}
