// Package process runs the programs that the interop tests need: scripts in
// Node.js, and servers of ours.
package process

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
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

// Limit returns how long a process may take: until shortly before go test's own
// limit, at which nothing would be left to end the process.
func Limit(t *testing.T) time.Duration {
	deadline, ok := t.Deadline()
	if !ok {
		return time.Hour
	}
	return time.Until(deadline) - 20*time.Second
}

// Need fails the test if a file is missing: a test that skips itself claims that
// all is well.
func Need(t *testing.T, paths ...string) {
	t.Helper()
	for _, path := range paths {
		if _, err := os.Stat(path); err != nil {
			t.Fatalf("%s is missing; run ./test.sh in the repository's root, which installs it", path)
		}
	}
}

// Build builds the program in a folder and returns its path. If the tests look for
// data races, so does the program: it then exits with status 66.
func Build(t *testing.T, dir string) (binary string) {
	t.Helper()
	binary = filepath.Join(t.TempDir(), filepath.Base(dir))
	args := []string{"build", "-buildvcs=false", "-o", binary}
	if RaceEnabled() {
		args = append(args, "-race")
	}
	cmd := exec.CommandContext(t.Context(), "go", append(args, ".")...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOWORK=off")
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "go build %s:\n%s", dir, out)
	return binary
}

// RaceEnabled reports whether the tests look for data races.
func RaceEnabled() bool {
	info, ok := debug.ReadBuildInfo()
	return ok && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"})
}

// NPM returns the path of a package installed in the folder node.
func NPM(name string) string { return filepath.Join("node", "node_modules", filepath.FromSlash(name)) }

// Process is a program that runs beside the test.
type Process struct {
	Cmd    *exec.Cmd
	Stdin  io.WriteCloser
	Stdout *json.Decoder // a stream of JSON values
	Stderr *bytes.Buffer // read only after Wait
	Wait   func() error  // returns when it has ended; printed values that were not read are lost

	name string
}

// Node starts a script in the folder node. It is ended with the test, if it still
// runs.
func Node(t *testing.T, script string, args ...string) *Process {
	t.Helper()
	node, err := exec.LookPath("node")
	require.NoError(t, err, "Node.js is missing; run ./test.sh, which says what it needs")
	return Start(t, "node", node, append([]string{script}, args...)...)
}

// Start starts a program in a folder. It is ended with the test, if it still runs.
func Start(t *testing.T, dir, program string, args ...string) *Process {
	t.Helper()
	ctx, kill := context.WithTimeout(context.Background(), Limit(t))
	p := &Process{name: filepath.Base(program) + " " + strings.Join(args, " "), Stderr: new(bytes.Buffer)}
	p.Cmd = exec.CommandContext(ctx, program, args...)
	p.Cmd.Dir = dir
	p.Cmd.Stderr = p.Stderr
	out, err := p.Cmd.StdoutPipe()
	require.NoError(t, err)
	p.Stdout = json.NewDecoder(out)
	p.Stdin, err = p.Cmd.StdinPipe()
	require.NoError(t, err)
	require.NoError(t, p.Cmd.Start())
	p.Wait = sync.OnceValue(func() error {
		defer kill()
		return p.Cmd.Wait()
	})
	t.Cleanup(func() {
		p.Cmd.Process.Signal(syscall.SIGTERM) // on SIGTERM it also ends its browser
		p.Wait()
		if t.Failed() && p.Stderr.Len() > 0 {
			t.Logf("%s wrote, but for its clients' comings and goings:\n%s", p.name, Notable(p.Stderr.String()))
		}
	})
	return p
}

// Read stores the next JSON value that the process prints.
func (p *Process) Read(t *testing.T, v any) {
	t.Helper()
	if err := p.Stdout.Decode(v); err != nil {
		p.Kill()
		t.Fatalf("%s printed no result: %v\n%s", p.name, err, p.Stderr)
	}
}

// Kill ends the process as a power cut does.
func (p *Process) Kill() {
	p.Cmd.Process.Kill()
	p.Wait()
}

// Notable returns a log of ours without the lines about clients that connect and
// disconnect.
func Notable(log string) string {
	const longest = 200 // bytes of a line: the stack of a panic is one line
	var b strings.Builder
	for line := range strings.Lines(log) {
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

// Killed reports whether the error of Wait is that of Kill.
func Killed(err error) bool {
	status, ok := err.(*exec.ExitError)
	return ok && status.Sys().(syscall.WaitStatus).Signal() == syscall.SIGKILL
}
