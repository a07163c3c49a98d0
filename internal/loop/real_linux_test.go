package loop

import (
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wsrouter/wsrouter/internal/leak"
)

// dialer makes connections over loopback.
type dialer struct{ net.Listener }

func listen(t *testing.T) dialer {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { l.Close() })
	return dialer{l}
}

func (d dialer) connect(t *testing.T) (server, client *net.TCPConn) {
	t.Helper()
	c, err := net.Dial("tcp", d.Addr().String())
	require.NoError(t, err)
	s, err := d.Accept()
	require.NoError(t, err)
	t.Cleanup(func() { s.Close(); c.Close() }) // not left to the collector, which would do it during another test
	return s.(*net.TCPConn), c.(*net.TCPConn)
}

// echoer sends back what it reads, as the pump of a WebSocket would.
type echoer struct {
	*Conn
	gone chan error
	got  func(p []byte)
}

// take moves a socket to a loop, where an echoer serves it.
func take(server net.Conn, got func(p []byte)) (e *echoer, ok bool) {
	e = &echoer{gone: make(chan error, 1), got: got}
	c, ok := Take(server, func() { e.serve() })
	if !ok {
		return nil, false
	}
	e.Conn = c
	return e, true
}

func (e *echoer) serve() {
	buf := make([]byte, 64)
	for {
		n, err := e.TryRead(buf)
		if err == ErrWait || err == nil && n == 0 {
			if e.Park() {
				return
			}
			continue
		}
		if err == nil {
			e.got(buf[:n])
			_, err = e.Write(buf[:n])
		}
		if err != nil {
			e.Close()
			e.gone <- err
			return
		}
		if n < len(buf) && e.Park() {
			return
		}
	}
}

func mustTake(t *testing.T, server net.Conn) *echoer {
	t.Helper()
	e, ok := take(server, func([]byte) {})
	require.True(t, ok)
	t.Cleanup(func() { e.Close() })
	e.begin()
	return e
}

func (e *echoer) begin() {
	go e.serve()
}

// exchange sends s and reads it back.
func exchange(c net.Conn, s string) (got string, err error) {
	c.SetDeadline(time.Now().Add(time.Minute))
	if _, err := io.WriteString(c, s); err != nil {
		return "", err
	}
	buf := make([]byte, len(s))
	n, err := io.ReadFull(c, buf)
	return string(buf[:n]), err
}

// descriptors returns how many descriptors are open.
func descriptors(t *testing.T) int {
	t.Helper()
	list, err := os.ReadDir("/proc/self/fd")
	require.NoError(t, err)
	return len(list)
}

// allSets returns the sets that there are.
func allSets() []*set {
	everything.mu.Lock()
	defer everything.mu.Unlock()
	return slices.Clone(everything.list)
}

// connCount returns how many connections they have.
func connCount() int {
	everything.mu.Lock()
	defer everything.mu.Unlock()
	return everything.conns
}

// settled returns how many descriptors are open once the connections and the loops of
// other tests have ended.
func settled(t *testing.T) int {
	t.Helper()
	require.Eventually(t, func() bool { return connCount() == 0 && loops() == 0 }, 10*time.Second, time.Millisecond)
	return descriptors(t)
}

// TestNothingLeft: after the last connection there is no goroutine, no set and no
// descriptor.
func TestNothingLeft(t *testing.T) {
	l := listen(t)
	before := settled(t) // includes that of Go's poller
	for range 3 {
		var all []*echoer
		for range 20 {
			server, client := l.connect(t)
			e := mustTake(t, server)
			got, err := exchange(client, "hello")
			require.NoError(t, err)
			require.Equal(t, "hello", got)
			all = append(all, e)
			defer client.Close()
			before++ // the client's
		}
		for i, e := range all {
			if i%2 == 0 {
				e.Close()
			}
			e.CloseWrite()
		}
		for _, e := range all {
			e.Close()
			require.Error(t, <-e.gone)
		}
		require.Eventually(t, func() bool { return descriptors(t) == before && loops() == 0 }, 10*time.Second, time.Millisecond)
		require.Empty(t, allSets())
		require.Zero(t, connCount())
	}
}

// loops returns how many goroutines run a loop.
func loops() int {
	return strings.Count(strings.Join(leak.Stacks(), ""), "(*set).run(")
}

// TestCloseOnExec: a program that is started inherits no descriptor.
func TestCloseOnExec(t *testing.T) {
	server, _ := listen(t).connect(t)
	e := mustTake(t, server)
	for _, fd := range []int{e.fd, e.set.kernel.(*epoll).fd} {
		flags, _, errno := syscall.Syscall(syscall.SYS_FCNTL, uintptr(fd), syscall.F_GETFD, 0)
		require.Zero(t, errno)
		require.EqualValues(t, syscall.FD_CLOEXEC, flags)
	}
}

// TestTakeTCP: only plain sockets are taken, and all others stay usable.
func TestTakeTCP(t *testing.T) {
	server, client := listen(t).connect(t)
	defer client.Close()
	defer server.Close()
	for _, conn := range []net.Conn{struct{ net.Conn }{server}, struct{ *net.TCPConn }{server}, &net.UnixConn{}} {
		_, ok := take(conn, nil)
		require.False(t, ok)
	}
	_, err := io.WriteString(server, "still here")
	require.NoError(t, err)
	server.Close()
	_, ok := take(server, nil)
	require.False(t, ok)
}

// TestNoDescriptor: if no descriptor is left the connection stays as it was.
func TestNoDescriptor(t *testing.T) {
	l := listen(t)
	server, client := l.connect(t)
	defer client.Close()
	var limit syscall.Rlimit
	require.NoError(t, syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit))
	none := limit
	none.Cur = 3
	before := settled(t)
	require.NoError(t, syscall.Setrlimit(syscall.RLIMIT_NOFILE, &none))
	_, ok := take(server, nil)
	require.NoError(t, syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit))
	require.False(t, ok)
	require.Equal(t, before, descriptors(t))
	require.Zero(t, connCount())
	_, err := io.WriteString(server, "still here")
	require.NoError(t, err)
	mustTake(t, server)
	got, err := exchange(client, "")
	require.NoError(t, err)
	require.Empty(t, got)
}

// TestHalfClosed: a peer that has closed its side still receives.
func TestHalfClosed(t *testing.T) {
	server, client := listen(t).connect(t)
	defer client.Close()
	var ended sync.WaitGroup
	c, ok := Take(server, func() { ended.Done() })
	require.True(t, ok)
	defer c.Close()
	for !c.Park() {
		c.TryRead(make([]byte, 1))
	}
	ended.Add(1)
	client.CloseWrite()
	ended.Wait()
	_, err := c.Read(make([]byte, 1))
	require.Equal(t, io.EOF, err)
	go func() {
		c.Write([]byte(strings.Repeat("x", 10<<20)))
		c.CloseWrite()
	}()
	n, err := io.Copy(io.Discard, client)
	require.NoError(t, err)
	require.EqualValues(t, 10<<20, n)
}

// TestShortWrites: a write that ends short continues where it ended, to the last
// byte.
func TestShortWrites(t *testing.T) {
	server, client := listen(t).connect(t)
	defer client.Close()
	require.NoError(t, server.SetWriteBuffer(1)) // the system's minimum, some KB
	e := mustTake(t, server)
	all := strings.Repeat("0123456789abcdef", 1<<16)
	go e.Write([]byte(all))
	got := make([]byte, len(all))
	for n := 0; n < len(got); {
		m, err := client.Read(got[n:min(n+1000, len(got))])
		require.NoError(t, err)
		n += m
	}
	require.True(t, all == string(got))
}

// TestUrgentData: a read ends at an urgent byte, although there is more. The rest
// is still read before the peer sends again.
func TestUrgentData(t *testing.T) {
	server, client := listen(t).connect(t)
	defer client.Close()
	got := make(chan string, 100)
	e, ok := take(server, func(p []byte) { got <- string(p) })
	require.True(t, ok)
	defer e.Close()
	e.begin()
	raw, err := client.SyscallConn()
	require.NoError(t, err)
	for range 50 {
		require.NoError(t, raw.Control(func(fd uintptr) {
			err = syscall.Sendto(int(fd), []byte("before!"), syscall.MSG_OOB, nil)
			if err == nil {
				_, err = syscall.Write(int(fd), []byte("after"))
			}
		}))
		require.NoError(t, err)
		for all := ""; all != "beforeafter"; {
			select {
			case s := <-got:
				all += s
			case <-time.After(10 * time.Second):
				t.Fatalf("only %q has been read", all)
			}
		}
		io.ReadFull(client, make([]byte, len("beforeafter")))
	}
}

// newClient connects.
func newClient(l dialer) (*net.TCPConn, error) {
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		return nil, err
	}
	return c.(*net.TCPConn), nil
}
