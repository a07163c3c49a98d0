// Package memnet is an in-memory network for tests: an HTTP server whose
// connections have no buffer and work in a testing/synctest bubble.
package memnet

import (
	"context"
	"net"
	"net/http"
	"sync"
	"testing"
)

// Network is a listener that connects to itself.
type Network struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

// Serve serves h until tb's cleanup.
func Serve(tb testing.TB, h http.Handler) *Network {
	return ServeBy(tb, &http.Server{Handler: h})
}

// ServeBy serves with the given server until tb's cleanup, which closes the server.
func ServeBy(tb testing.TB, server *http.Server) *Network {
	n := &Network{conns: make(chan net.Conn), closed: make(chan struct{})}
	go server.Serve(n)
	tb.Cleanup(func() { server.Close() })
	return n
}

// Dial connects to the server. It has the signature of [http.Transport.DialContext].
func (n *Network) Dial(context.Context, string, string) (net.Conn, error) {
	client, server := net.Pipe()
	select {
	case n.conns <- server:
		return client, nil
	case <-n.closed:
		return nil, net.ErrClosed
	}
}

// Accept implements [net.Listener].
func (n *Network) Accept() (net.Conn, error) {
	select {
	case c := <-n.conns:
		return c, nil
	case <-n.closed:
		return nil, net.ErrClosed
	}
}

// Close implements [net.Listener].
func (n *Network) Close() error {
	n.once.Do(func() { close(n.closed) })
	return nil
}

// Addr implements [net.Listener].
func (n *Network) Addr() net.Addr { return &net.UnixAddr{Name: "memory", Net: "memory"} }

// Local serves h over TCP on a loopback port until tb's cleanup, and returns a
// function that dials it.
func Local(tb testing.TB, h http.Handler) (dial func(context.Context, string, string) (net.Conn, error)) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	server := &http.Server{Handler: h}
	go server.Serve(l)
	tb.Cleanup(func() { server.Close() })
	return func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "tcp", l.Addr().String())
	}
}
