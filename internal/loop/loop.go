// Package loop waits for many sockets at once, so that an idle one needs no
// goroutine.
//
// A socket that Take has taken leaves Go's poller. It waits in an epoll set of this
// package, and when something happens to it the set starts or wakes a goroutine.
// That is all a loop does: it never reads, writes or closes a socket, and calls no
// user code. So a loop never uses a descriptor after it was closed and its number
// was given to another socket: only holders of the Conn use the descriptor, and the
// set identifies connections by a slot and a generation.
//
// conn.go has one socket, set.go the sets, and kernel_linux.go the system calls.
// While there are connections there is one set for each processor. Each waits in
// Go's poller itself, so it blocks no thread.
package loop

import (
	"errors"
	"net"
)

// ErrWait is the error of TryRead and TryWrite if they would have to wait.
var ErrWait = errors.New("loop: nothing yet")

// Take moves a socket from Go's poller to a loop, and closes conn. It reports false
// and leaves conn as it was if that is not possible: if conn is not a *net.TCPConn,
// on systems other than Linux, and when no descriptor is left. ready is called in a
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
	tcp.Close() // the socket lives on under the other descriptor
	return c, true
}
