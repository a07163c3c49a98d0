package socketio

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const (
	repository = "../../.."
	chromium   = "/usr/bin/chromium" // also in node/chromium.mjs

	// processLimit is far above what any process here takes, and below go test's
	// own limit, at which nobody would be left to kill it.
	processLimit = 3 * time.Minute
)

// need fails the test where a part is missing: a test that skips itself says
// that all is well.
func need(t *testing.T, paths ...string) {
	t.Helper()
	for _, path := range paths {
		if _, err := os.Stat(path); err != nil {
			t.Fatalf("%s is missing; run ./test.sh in the repository's root, which installs it", path)
		}
	}
}

// npm is the path of an installed package.
func npm(name string) string { return filepath.Join("node", "node_modules", filepath.FromSlash(name)) }

// startNode starts a script in the folder node. At the test's end it is ended,
// should it still run.
func startNode(t *testing.T, script string, args ...string) *process {
	t.Helper()
	node, err := exec.LookPath("node")
	require.NoError(t, err, "Node.js is missing; run ./test.sh, which says what it needs")
	return start(t, "node", node, append([]string{script}, args...)...)
}

// process is a program that runs beside the test.
type process struct {
	name   string
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	stdout *json.Decoder // a stream of JSON values
	stderr *bytes.Buffer // to be read after wait
	wait   func() error  // until it has ended
}

func start(t *testing.T, dir, program string, args ...string) *process {
	t.Helper()
	ctx, kill := context.WithTimeout(context.Background(), processLimit)
	p := &process{name: filepath.Base(program) + " " + strings.Join(args, " "), stderr: new(bytes.Buffer)}
	p.cmd = exec.CommandContext(ctx, program, args...)
	p.cmd.Dir = dir
	p.cmd.Stderr = p.stderr
	out, err := p.cmd.StdoutPipe()
	require.NoError(t, err)
	p.stdout = json.NewDecoder(out)
	p.stdin, err = p.cmd.StdinPipe()
	require.NoError(t, err)
	require.NoError(t, p.cmd.Start())
	p.wait = sync.OnceValue(func() error {
		defer kill()
		return p.cmd.Wait()
	})
	t.Cleanup(func() {
		p.cmd.Process.Signal(syscall.SIGTERM) // with which it ends its browser, too
		p.wait()
		if t.Failed() && p.stderr.Len() > 0 {
			t.Logf("%s wrote, but for its clients' comings and goings:\n%s", p.name, p.log())
		}
	})
	return p
}

// read stores the next JSON value that the process prints.
func (p *process) read(t *testing.T, v any) {
	t.Helper()
	if err := p.stdout.Decode(v); err != nil {
		p.cmd.Process.Kill()
		p.wait()
		t.Fatalf("%s printed no result: %v\n%s", p.name, err, p.stderr)
	}
}

func (p *process) log() string {
	const longest = 200 // bytes of a line: a panic's stack is one
	var b strings.Builder
	for line := range strings.Lines(p.stderr.String()) {
		if strings.Contains(line, " INFO ") {
			continue
		}
		if len(line) > longest {
			line = line[:longest] + "…\n"
		}
		b.WriteString(line)
	}
	return b.String()
}

// result is that of one row, see node/peer.mjs.
type result struct{ Event, Title, Error string }

// report makes a subtest of each row that the process has played, and returns
// the events that they are about.
func (p *process) report(t *testing.T) (events []string) {
	t.Helper()
	var results []result
	p.read(t, &results)
	require.NotEmpty(t, results)
	for _, r := range results {
		events = append(events, r.Event)
		t.Run(r.Event+" "+r.Title, func(t *testing.T) {
			if r.Error != "" {
				t.Fatal(r.Error)
			}
		})
	}
	return events
}

// build returns the path of a program of the repository. Where the tests look
// for data races, so does the program: it then exits with a status.
func build(t *testing.T, dir string, args ...string) string {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "program")
	args = append([]string{"build", "-buildvcs=false", "-o", binary}, args...)
	if raceEnabled() {
		args = slices.Insert(args, 1, "-race")
	}
	goTool(t, dir, args...)
	return binary
}

func goTool(t *testing.T, dir string, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOWORK=off")
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "go %s:\n%s", strings.Join(args, " "), out)
}

func raceEnabled() bool {
	info, ok := debug.ReadBuildInfo()
	return ok && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"})
}

func buildGateway(t *testing.T) string {
	t.Helper()
	return build(t, repository, "./examples/gateway")
}

// freeAddr returns an address on which nobody listens.
func freeAddr(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer ln.Close()
	return ln.Addr().String()
}

// server is a program of ours that serves at addr.
type server struct {
	*process
	addr string
}

// serve starts a program that takes its address as -addr and returns when it
// listens. At the test's end it must shut down in peace, unless it was killed.
func serve(t *testing.T, binary, addr string) *server {
	t.Helper()
	s := &server{start(t, ".", binary, "-addr", addr), addr}
	t.Cleanup(func() {
		s.cmd.Process.Signal(syscall.SIGTERM)
		if err := s.wait(); err != nil && !killed(err) {
			t.Errorf("the server did not shut down in peace: %v (66 is the race detector's)", err)
		}
	})
	knock := time.NewTicker(5 * time.Millisecond)
	defer knock.Stop()
	late := time.After(processLimit)
	for {
		resp, err := http.Get("http://" + addr + "/socket.io/")
		if err == nil {
			resp.Body.Close()
			return s
		}
		select {
		case <-knock.C:
		case <-late:
			t.Fatalf("nobody listens: %v", err)
		}
	}
}

func killed(err error) bool {
	status, ok := err.(*exec.ExitError)
	return ok && status.Sys().(syscall.WaitStatus).Signal() == syscall.SIGKILL
}

// kill ends the server as a power cut does.
func (s *server) kill() {
	s.cmd.Process.Kill()
	s.wait()
}
