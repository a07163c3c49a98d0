//go:build unix

// Package redistest starts a real Redis server for tests, and a proxy in front of
// it that can be cut.
package redistest

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"net"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"github.com/wsrouter/wsrouter/internal/loopback"
)

// Server is a Redis server on a free port of this machine, without persistence.
type Server struct {
	Addr string

	tb   testing.TB
	args []string // for redis-server, before those of Restart
	cmd  *exec.Cmd
}

// Start starts a server with further arguments for redis-server. It ends with the
// test. If redis-server is missing the test fails.
func Start(tb testing.TB, args ...string) *Server {
	tb.Helper()
	return start(tb, append([]string{"--dir", tb.TempDir(), "--save", "", "--appendonly", "no"}, args...))
}

// StartSentinel starts a Sentinel with a configuration file, which the Sentinel
// rewrites.
func StartSentinel(tb testing.TB, config string) *Server {
	tb.Helper()
	return start(tb, []string{config, "--sentinel"})
}

func start(tb testing.TB, args []string) *Server {
	tb.Helper()
	if _, err := exec.LookPath("redis-server"); err != nil {
		tb.Fatal("redis-server is missing: install it, on Debian with: apt-get install redis-server")
	}
	s := &Server{Addr: loopback.Hold(tb), tb: tb, args: args}
	tb.Cleanup(s.Stop)
	s.Restart()
	return s
}

// Restart starts the server again, on the same port, and returns when it answers.
func (s *Server) Restart() {
	s.tb.Helper()
	s.Stop()
	_, port, _ := net.SplitHostPort(s.Addr)
	s.cmd = exec.Command("redis-server", append(s.args[:len(s.args):len(s.args)], "--bind", "127.0.0.1", "--port", port)...)
	log := new(bytes.Buffer)
	s.cmd.Stdout = log
	if err := s.cmd.Start(); err != nil {
		s.tb.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for !answers(ctx, s.Addr) {
		if ctx.Err() != nil {
			s.Stop()
			s.tb.Fatalf("redis-server did not answer at %s; it said:\n%s", s.Addr, log)
		}
		time.Sleep(10 * time.Millisecond) // until it listens
	}
}

// Stop kills the server.
func (s *Server) Stop() {
	if s.cmd == nil {
		return
	}
	s.cmd.Process.Kill()
	s.cmd.Wait()
	s.cmd = nil
}

// Pause stops the server's process without closing anything: its connections stay,
// and the kernel accepts new ones.
func (s *Server) Pause() { s.signal(syscall.SIGSTOP) }

// Resume undoes Pause.
func (s *Server) Resume() { s.signal(syscall.SIGCONT) }

func (s *Server) signal(sig syscall.Signal) {
	s.tb.Helper()
	if err := s.cmd.Process.Signal(sig); err != nil {
		s.tb.Fatal(err)
	}
}

// answers reports whether a server answers PING in any way, for example that it
// needs a password.
func answers(ctx context.Context, addr string) bool {
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "tcp", addr)
	if err != nil {
		return false
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(time.Second))
	fmt.Fprint(conn, "PING\r\n")
	_, err = bufio.NewReader(conn).ReadString('\n')
	return err == nil
}
