package clientjs

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wsrouter/wsrouter/internal/interop/process"
)

const (
	repository = "../../.."
	chromium   = "/usr/bin/chromium" // also in chromium.mjs
)

func TestNode(t *testing.T) {
	need(t, "../node/node_modules/ws", "npm ci in internal/interop/node")
	s := newStage(t)
	playScript(t, "node.mjs", s.addr, s.line.addr)
}

func TestChromium(t *testing.T) {
	need(t, "../node/node_modules/playwright-core", "npm ci in internal/interop/node")
	need(t, chromium, "apt-get install chromium")
	s := newStage(t)
	playScript(t, "chromium.mjs", s.addr, s.line.addr)
}

// TestTypes compiles a file that uses everything wsrouter.d.ts declares.
func TestTypes(t *testing.T) {
	need(t, "node_modules/typescript", "npm ci in internal/interop/clientjs")
	out, err := runNode(t, filepath.Join("node_modules", "typescript", "bin", "tsc"), "--project", "tsconfig.json")
	require.NoError(t, err, "%s", out)
}

// need fails the test if a part is missing: a test that skips itself claims that
// all is well.
func need(t *testing.T, path, install string) {
	t.Helper()
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("%s is missing; to install it run ./test.sh in the repository's root, or: %s", path, install)
	}
}

// playScript runs a Node program that prints results, and makes each a subtest.
// Together they must cover every event of the gateway, in both namespaces.
func playScript(t *testing.T, script string, args ...string) {
	t.Helper()
	out, err := runNode(t, append([]string{script}, args...)...)
	require.NoError(t, err, "node %s", script)
	var results []struct{ Subject, Title, Error string }
	require.NoError(t, json.Unmarshal(out, &results), "node %s printed:\n%s", script, out)
	played := make(map[string]bool)
	for _, result := range results {
		played[result.Subject] = true
		t.Run(result.Subject+" "+result.Title, func(t *testing.T) {
			if result.Error != "" {
				t.Fatal(result.Error)
			}
		})
	}
	for _, event := range gatewayEvents(t) {
		require.True(t, played["/ws "+event], "no row plays %s", event)
		require.True(t, played["/ws/events "+event], "no row plays %s in /events", event)
	}
}

// runNode returns what the program printed. It only ends if the client leaves no
// timer or socket behind.
func runNode(t *testing.T, args ...string) ([]byte, error) {
	t.Helper()
	node, err := exec.LookPath("node")
	require.NoError(t, err, "Node.js is missing; install it, version 20 or later, with npm, and run ./test.sh in the repository's root")
	ctx, cancel := context.WithTimeout(t.Context(), process.Limit(t))
	defer cancel()
	var stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, node, args...)
	cmd.Stderr = &stderr
	// On SIGTERM it ends its browser first.
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	out, err := cmd.Output()
	if stderr.Len() > 0 {
		t.Logf("node %s:\n%s", args[0], &stderr)
	}
	return out, err
}
