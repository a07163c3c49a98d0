// Package loop waits for many sockets at once, so that an idle one needs no goroutine.
//
// A socket that Take has taken leaves Go's poller. It waits in an epoll set of this
// package, and when something happens to it the set starts a goroutine, or wakes one.
// That is all a loop does: it never reads, writes or closes a socket, and it runs
// nobody's code. So no descriptor is ever used by a loop after it was closed and its
// number given to somebody else: only those who hold the Conn use it, and the set
// knows connections by a slot and a generation.
//
// conn.go is one socket, set.go the sets, and kernel_linux.go the system calls. Sets
// exist while there are connections, one for each processor. Each waits in Go's poller
// by itself, so no thread is blocked by one.
package loop

import (
	"errors"
	"net"
)

// ErrWait is the error of TryRead and TryWrite where they would have to wait.
var ErrWait = errors.New("loop: nothing yet")

// Take moves a socket from Go's poller to a loop, and closes conn. It reports false,
// and conn is as it was, where that cannot be: for anything but a *net.TCPConn, on
// systems other than Linux, and where no descriptor is left. ready is called on a
// goroutine of its own, once after each Park.
func Take(conn net.Conn, ready func()) (*Conn, bool) {
	tcp, ok := conn.(*net.TCPConn)
	if !ok {
		return nil, false
	}
	fd, ok := duplicate(tcp)
	if !ok {
		return nil, false
	}
	c, err := everything.add(fd, ready)
	if err != nil {
		closeDescriptor(fd)
		return nil, false
	}
	tcp.Close() // the socket lives on: it has the other descriptor
	return c, true
}
