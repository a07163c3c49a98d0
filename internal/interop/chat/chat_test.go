// Package chat holds a test only: two people talk through examples/chat, in pages
// of headless Chromium.
package chat

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const (
	repository = "../../.."
	chromium   = "/usr/bin/chromium" // also in drive.mjs
	socketIO   = "../socketio/node/node_modules/socket.io-client/dist/socket.io.esm.min.js"
	timeLimit  = 4 * time.Minute // far above what it takes
)

// TestChat plays steps.mjs. Screenshots go to a folder that is removed, unless
// CHAT_SCREENSHOTS names another.
func TestChat(t *testing.T) {
	need(t, "../node/node_modules/playwright-core")
	need(t, chromium)
	need(t, socketIO)
	node, err := exec.LookPath("node")
	require.NoError(t, err, "Node.js is missing; run ./test.sh, which says what it needs")
	folder := os.Getenv("CHAT_SCREENSHOTS")
	if folder == "" {
		folder = t.TempDir()
	}
	ctx, cancel := context.WithTimeout(t.Context(), timeLimit)
	defer cancel()

	chat := &server{ctx: ctx, binary: build(t)}
	chat.start(t, "127.0.0.1:0")
	play(t, ctx, chat, node, "drive.mjs", "http://"+chat.addr, folder)
	chat.stop(t)
	names, err := filepath.Glob(filepath.Join(folder, "*.png"))
	require.NoError(t, err)
	require.NotEmpty(t, names, "no screenshots")
}

// need fails the test where a part is missing: a test that skips itself says
// that all is well.
func need(t *testing.T, path string) {
	t.Helper()
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("%s is missing; run ./test.sh in the repository's root, which installs it", path)
	}
}

// build returns the path of the program. Where the test looks for data races, so
// does the program: it then exits with a status.
func build(t *testing.T) string {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "chat")
	args := []string{"build", "-buildvcs=false", "-o", binary}
	if info, ok := debug.ReadBuildInfo(); ok && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"}) {
		args = append(args, "-race")
	}
	cmd := exec.CommandContext(t.Context(), "go", append(args, "./examples/chat")...)
	cmd.Dir = repository
	cmd.Env = append(os.Environ(), "GOWORK=off")
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "go build ./examples/chat:\n%s", out)
	return binary
}

// play runs the script, makes each of its steps a subtest, and does with the
// server what it wants.
func play(t *testing.T, ctx context.Context, chat *server, program string, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) } // it ends its browser first
	cmd.WaitDelay = 10 * time.Second
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	stdin, err := cmd.StdinPipe()
	require.NoError(t, err)
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	reap(t, cmd)
	for lines := bufio.NewScanner(stdout); lines.Scan(); {
		var line struct{ Title, Error, Server string }
		require.NoError(t, json.Unmarshal(lines.Bytes(), &line), "the script printed %s", lines.Bytes())
		switch line.Server {
		case "kill":
			chat.kill(t)
		case "start":
			chat.start(t, chat.addr)
		default:
			t.Run(line.Title, func(t *testing.T) {
				if line.Error != "" {
					t.Error(line.Error)
				}
			})
			continue
		}
		fmt.Fprintln(stdin, "done")
	}
	require.NoError(t, cmd.Wait(), "%s:\n%s", program, &stderr)
}

// reap leaves no process behind when a test fails half way.
func reap(t *testing.T, cmd *exec.Cmd) {
	t.Cleanup(func() {
		cmd.Process.Kill() // an error says that it has ended already
		cmd.Wait()
	})
}

// server is examples/chat as a process.
type server struct {
	ctx    context.Context
	binary string
	addr   string
	cmd    *exec.Cmd
	log    *bufio.Reader
}

var announcement = regexp.MustCompile(`open http://(\S+)`)

// start returns when it has said where it listens.
func (s *server) start(t *testing.T, addr string) {
	t.Helper()
	s.cmd = exec.CommandContext(s.ctx, s.binary, "-addr", addr, "-client", socketIO)
	stderr, err := s.cmd.StderrPipe()
	require.NoError(t, err)
	require.NoError(t, s.cmd.Start())
	reap(t, s.cmd)
	s.log = bufio.NewReader(stderr)
	line, err := s.log.ReadString('\n')
	require.NoError(t, err, "the chat said %q and ended", line)
	found := announcement.FindStringSubmatch(line)
	require.NotNil(t, found, "the chat said %q", line)
	s.addr = found[1]
	// What it logs further is not read: a pipe holds far more than these pages
	// make it write.
}

// kill ends it as a power cut would.
func (s *server) kill(t *testing.T) {
	t.Helper()
	require.NoError(t, s.cmd.Process.Kill())
	s.cmd.Wait()
}

// stop lets it shut down, in peace.
func (s *server) stop(t *testing.T) {
	t.Helper()
	require.NoError(t, s.cmd.Process.Signal(syscall.SIGTERM))
	var rest strings.Builder
	s.log.WriteTo(&rest)
	require.NoError(t, s.cmd.Wait(), "the chat did not shut down in peace (66 is the race detector's):\n%s", &rest)
	require.NotContains(t, rest.String(), "ERROR")
}
