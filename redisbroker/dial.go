package redisbroker

import (
	"context"
	"crypto/tls"
	"net"
	"sync"

	"github.com/redis/rueidis"
)

// What waits for the network, and for how long at most:
//
//	Emit, Join, Leave, Disconnect   not at all: they are queued
//	Subscribe                       subscribeWait
//	Find                            its context, RequestTimeout; half of that to count nodes
//	Subscription.Close              RequestTimeout to send, leaveWait to leave
//	Broker.Close                    the same, for all nodes together; then sockets are closed
//	Emitter                         its context, and the client's timeouts
//	dialing, and the handshake      Dialer.Timeout (rueidis: 5 s), Broker.Close
//	PING, SUBSCRIBE, confirmation   RequestTimeout, the node's end
//	PUBLISH                         RequestTimeout, Broker.Close
//	returning a connection          ConnWriteTimeout (RequestTimeout if unset), Broker.Close
//	a connection that falls silent  Dialer.KeepAlive (rueidis: 1 s), then a PING of ConnWriteTimeout
//	asking clients                  RequestTimeout, or the requester's timeout, the node's end
//
// If the caller supplies the client, its sockets are not ours: what it waits for
// ends with its own timeouts, not with Broker.Close. Its BlockingPoolSize (rueidis:
// 1024) must exceed the number of nodes.

// sockets are the connections of a broker's own client. They end with the broker,
// whatever that client is waiting for.
type sockets struct {
	ctx   context.Context // ends dialing
	ofCtx func(context.Context, string, *net.Dialer, *tls.Config) (net.Conn, error)
	of    func(string, *net.Dialer, *tls.Config) (net.Conn, error)
	nagle bool // option.DisableTCPNoDelay, which rueidis only applies to a *net.TCPConn

	mu     sync.Mutex // guards what follows
	open   map[*socket]struct{}
	closed bool
}

// socket is one of them.
type socket struct {
	net.Conn
	all *sockets
}

// track makes the client dial through s, as option says.
func (s *sockets) track(option *rueidis.ClientOption) {
	s.ofCtx, s.of, s.open = option.DialCtxFn, option.DialFn, make(map[*socket]struct{})
	s.nagle = option.DisableTCPNoDelay
	option.DialCtxFn, option.DialFn = s.dial, nil
}

func (s *sockets) dial(ctx context.Context, addr string, dialer *net.Dialer, config *tls.Config) (net.Conn, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(s.ctx, cancel)()
	conn, err := s.connect(ctx, addr, dialer, config)
	if err != nil {
		return nil, err
	}
	if s.nagle {
		disableNoDelay(conn)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		conn.Close()
		return nil, net.ErrClosed
	}
	c := &socket{conn, s}
	s.open[c] = struct{}{}
	return c, nil
}

func disableNoDelay(conn net.Conn) {
	if secure, ok := conn.(*tls.Conn); ok {
		conn = secure.NetConn()
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		tcp.SetNoDelay(false)
	}
}

func (s *sockets) connect(ctx context.Context, addr string, dialer *net.Dialer, config *tls.Config) (net.Conn, error) {
	switch {
	case s.ofCtx != nil:
		return s.ofCtx(ctx, addr, dialer, config)
	case s.of != nil:
		return s.of(addr, dialer, config)
	case config != nil:
		secure := tls.Dialer{NetDialer: dialer, Config: config}
		return secure.DialContext(ctx, "tcp", addr)
	}
	return dialer.DialContext(ctx, "tcp", addr)
}

// Close implements [net.Conn].
func (c *socket) Close() error {
	c.all.mu.Lock()
	delete(c.all.open, c)
	c.all.mu.Unlock()
	return c.Conn.Close()
}

// close ends all sockets and prevents new ones.
func (s *sockets) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	for c := range s.open {
		c.Conn.Close()
	}
}
