// Package chat has only tests: two people talk through examples/chat and
// examples/cluster, in pages of headless Chromium.
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
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wsrouter/wsrouter/internal/interop/process"
	"github.com/wsrouter/wsrouter/internal/loopback"
	"github.com/wsrouter/wsrouter/internal/redistest"
)

const (
	repository = "../../.."
	chromium   = "/usr/bin/chromium" // also in drive.mjs
	socketIO   = "../socketio/node/node_modules/socket.io-client"
	npm        = repository + "/examples/chat/page/npm"
)

// TestChat plays steps.mjs. Screenshots go to a temporary folder, unless
// CHAT_SCREENSHOTS names another.
func TestChat(t *testing.T) {
	playChat(t, "./steps.mjs")
}

// TestDetails plays details.mjs.
func TestDetails(t *testing.T) {
	playChat(t, "./details.mjs")
}

func playChat(t *testing.T, steps string) {
	t.Helper()
	node, folder := needs(t)
	ctx, cancel := context.WithTimeout(t.Context(), process.Limit(t))
	defer cancel()

	chat := &server{ctx: ctx, binary: process.Build(t, repository+"/examples/chat")}
	chat.start(t, loopback.Hold(t))
	proxy := redistest.NewProxy(t, chat.addr)
	play(t, ctx, map[string]func(){
		"kill":  func() { chat.kill(t) },
		"start": func() { chat.start(t, chat.addr) },
		"cut":   proxy.Cut,
		"heal":  proxy.Heal,
	}, node, "drive.mjs", steps, folder, "http://"+chat.addr, "http://"+proxy.Addr)
	require.NotContains(t, chat.stop(t), "ERROR")
	names, err := filepath.Glob(filepath.Join(folder, "*.png"))
	require.NoError(t, err)
	require.NotEmpty(t, names, "no screenshots")
}

// TestSocketIOIsAsPublished: the client that the chat serves is that of the package
// that all other tests use.
func TestSocketIOIsAsPublished(t *testing.T) {
	need(t, socketIO)
	published, err := os.ReadFile(filepath.Join(socketIO, "dist/socket.io.esm.min.js"))
	require.NoError(t, err)
	served, err := os.ReadFile(filepath.Join(npm, "socket.io.esm.min.js"))
	require.NoError(t, err)
	require.Equal(t, string(published), string(served))
	license, err := os.ReadFile(filepath.Join(npm, "LICENSE"))
	require.NoError(t, err)
	for _, name := range []string{"socket.io-client", "engine.io-client", "engine.io-parser", "socket.io-parser", "@socket.io/component-emitter"} {
		var info struct{ Version string }
		text, err := os.ReadFile(filepath.Join(socketIO, "..", name, "package.json"))
		require.NoError(t, err)
		require.NoError(t, json.Unmarshal(text, &info))
		require.Contains(t, string(license), "---- "+name+" "+info.Version+"\n")
	}
}

// needs returns Node.js, and the folder for screenshots.
func needs(t *testing.T) (node, folder string) {
	t.Helper()
	need(t, "../node/node_modules/playwright-core")
	need(t, chromium)
	node, err := exec.LookPath("node")
	require.NoError(t, err, "Node.js is missing; run ./test.sh, which says what it needs")
	if folder = os.Getenv("CHAT_SCREENSHOTS"); folder == "" {
		folder = t.TempDir()
	}
	return node, folder
}

// need fails the test if a part is missing: a test that skips itself claims that
// all is well.
func need(t *testing.T, path string) {
	t.Helper()
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("%s is missing; run ./test.sh in the repository's root, which installs it", path)
	}
}

// play runs the script, makes each of its steps a subtest, and carries out what the
// script wants done with the servers.
func play(t *testing.T, ctx context.Context, do map[string]func(), program string, args ...string) {
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
		if line.Server == "" {
			t.Run(line.Title, func(t *testing.T) {
				if line.Error != "" {
					t.Error(line.Error)
				}
			})
			continue
		}
		require.Contains(t, do, line.Server)
		do[line.Server]()
		fmt.Fprintln(stdin, "done")
	}
	require.NoError(t, cmd.Wait(), "%s:\n%s", program, &stderr)
}

// reap leaves no process behind when a test fails half way.
func reap(t *testing.T, cmd *exec.Cmd) {
	t.Cleanup(func() {
		cmd.Process.Kill() // an error means that it has already ended
		cmd.Wait()
	})
}

// server is an example as a process.
type server struct {
	ctx    context.Context
	binary string
	args   []string // except -addr
	addr   string
	cmd    *exec.Cmd
	log    chan string // one value, when it has ended: everything logged after the first line
}

var announcement = regexp.MustCompile(`open http://(\S+)`)

// start returns when the server has said where it listens.
func (s *server) start(t *testing.T, addr string) {
	t.Helper()
	s.cmd = exec.CommandContext(s.ctx, s.binary, append([]string{"-addr", addr}, s.args...)...)
	stderr, err := s.cmd.StderrPipe()
	require.NoError(t, err)
	require.NoError(t, s.cmd.Start())
	reap(t, s.cmd)
	log := bufio.NewReader(stderr)
	line, err := log.ReadString('\n')
	require.NoError(t, err, "the chat said %q and ended", line)
	found := announcement.FindStringSubmatch(line)
	require.NotNil(t, found, "the chat said %q", line)
	s.addr = found[1]
	s.log = make(chan string, 1)
	go func() { // otherwise the server would block when the pipe is full
		var rest strings.Builder
		log.WriteTo(&rest)
		s.log <- rest.String()
	}()
}

// kill ends the server as a power cut would.
func (s *server) kill(t *testing.T) {
	t.Helper()
	require.NoError(t, s.cmd.Process.Kill())
	<-s.log
	s.cmd.Wait()
}

// stop lets the server shut down, and returns what it has logged.
func (s *server) stop(t *testing.T) string {
	t.Helper()
	require.NoError(t, s.cmd.Process.Signal(syscall.SIGTERM))
	rest := <-s.log
	require.NoError(t, s.cmd.Wait(), "the chat did not shut down in peace (66 is the race detector's):\n%s", rest)
	return rest
}
