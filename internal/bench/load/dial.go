package load

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	dialers          = 8
	handshakeTimeout = 20 // seconds

	// localAddresses is how many addresses to connect from, 127.0.0.1 and up: each
	// has ports of its own.
	localAddresses = 8

	// soNoPort is IP_BIND_ADDRESS_NO_PORT: the port is chosen by connect, so that
	// all ports of an address can be used, not only those that bind would choose.
	soNoPort = 24
)

// conn is one client. It reads and writes its socket with system calls, because the
// load must cost less than the server.
type conn struct {
	fd     int
	in     []byte // the beginning of an incomplete frame
	out    []byte // what the socket has not taken
	sent   uint32 // messages
	got    uint32 // answers to them, or deliveries
	pings  uint32 // answered
	closed bool   // by the server, with a close frame
	times  [ring]int64
}

// ring bounds the messages on their way over one connection.
const ring = 64

// dial opens n connections to the server on port, several at a time, and does what
// the dialect needs before events.
func dial(port, n int, d *dialect) ([]*conn, error) {
	conns := make([]*conn, n)
	errs := make([]error, dialers)
	var next atomic.Int64
	var wg sync.WaitGroup
	for worker := range dialers {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < n && errs[worker] == nil; i = int(next.Add(1)) - 1 {
				conns[i], errs[worker] = dialOne(port, i, d)
			}
		})
	}
	wg.Wait()
	return conns, errors.Join(errs...)
}

func dialOne(port, i int, d *dialect) (*conn, error) {
	fd, err := connect(port, i)
	if err != nil {
		return nil, err
	}
	c := &conn{fd: fd}
	if err := c.handshake(port, d); err != nil {
		syscall.Close(fd)
		return nil, fmt.Errorf("connection %d: %w", i, err)
	}
	return c, syscall.SetNonblock(fd, true)
}

func connect(port, i int) (fd int, err error) {
	fd, err = syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, fmt.Errorf("socket: %w", err)
	}
	timeout := syscall.Timeval{Sec: handshakeTimeout}
	from := &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, byte(1 + i%localAddresses)}}
	to := &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}, Port: port}
	err = errors.Join(
		syscall.SetsockoptInt(fd, syscall.IPPROTO_TCP, syscall.TCP_NODELAY, 1),
		syscall.SetsockoptInt(fd, syscall.IPPROTO_IP, soNoPort, 1),
		// Closing resets the connection, so no port is left waiting.
		syscall.SetsockoptLinger(fd, syscall.SOL_SOCKET, syscall.SO_LINGER, &syscall.Linger{Onoff: 1}),
		syscall.SetsockoptTimeval(fd, syscall.SOL_SOCKET, syscall.SO_RCVTIMEO, &timeout),
		syscall.Bind(fd, from),
		syscall.Connect(fd, to),
	)
	if err != nil {
		syscall.Close(fd)
		return 0, fmt.Errorf("connect: %w", err)
	}
	return fd, nil
}

// handshake upgrades the connection and sends the dialect's hello.
func (c *conn) handshake(port int, d *dialect) error {
	request := fmt.Sprintf("GET %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n", d.path, port)
	if err := writeAll(c.fd, []byte(request)); err != nil {
		return err
	}
	for !bytes.Contains(c.in, []byte("\r\n\r\n")) {
		if err := c.fill(); err != nil {
			return fmt.Errorf("upgrade: %w", err)
		}
	}
	header, rest, _ := bytes.Cut(c.in, []byte("\r\n\r\n"))
	if !bytes.HasPrefix(header, []byte("HTTP/1.1 101")) {
		return fmt.Errorf("upgrade: got %.100q", c.in)
	}
	c.in = rest
	for _, step := range d.hello {
		if step.send != "" {
			if err := writeAll(c.fd, appendFrame(nil, opText, []byte(step.send))); err != nil {
				return err
			}
		}
		payload, err := c.next()
		if err != nil {
			return fmt.Errorf("waiting for %s: %w", step.want, err)
		}
		if !strings.Contains(string(payload), step.want) {
			return fmt.Errorf("got %.100q, want %s", payload, step.want)
		}
	}
	return nil
}

// next waits for a text message on a blocking socket.
func (c *conn) next() ([]byte, error) {
	for {
		opcode, payload, rest, err := readFrame(c.in)
		if err == errShort {
			if err := c.fill(); err != nil {
				return nil, err
			}
			continue
		}
		if err != nil {
			return nil, err
		}
		payload = bytes.Clone(payload)
		c.in = rest
		switch opcode {
		case opText:
			return payload, nil
		case opClose:
			return nil, fmt.Errorf("closed: %.100q", payload)
		}
	}
}

// fill reads more from a blocking socket.
func (c *conn) fill() error {
	var b [4096]byte
	n, err := syscall.Read(c.fd, b[:])
	if err == syscall.EINTR {
		return nil
	}
	if err == syscall.EAGAIN {
		return fmt.Errorf("nothing came for %d s", handshakeTimeout)
	}
	if err != nil {
		return err
	}
	if n == 0 {
		return errors.New("the server hung up")
	}
	c.in = append(c.in, b[:n]...)
	return nil
}

func writeAll(fd int, b []byte) error {
	for len(b) > 0 {
		n, err := syscall.Write(fd, b)
		if err == syscall.EINTR {
			continue
		}
		if err != nil {
			return err
		}
		b = b[n:]
	}
	return nil
}

var start = time.Now()

// now returns a monotonic time in nanoseconds.
func now() int64 { return int64(time.Since(start)) }
