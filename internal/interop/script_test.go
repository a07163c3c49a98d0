package interop

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

const chromium = "/usr/bin/chromium" // also in node/chromium.mjs

// playWS plays the transcripts with the npm client ws, and returns the events that
// they cover.
func playWS(t *testing.T, url, extensions string) (events []string) {
	t.Helper()
	need(t, filepath.Join("node", "node_modules", "ws"), "npm ci in internal/interop/node")
	return playScript(t, "ws.mjs", url, extensions)
}

// playChromium plays them in a page from the server at page. The gateway accepts
// its WebSocket to path there, but not the one to foreignURL.
func playChromium(t *testing.T, page, path, foreignURL, extensions string) (events []string) {
	t.Helper()
	need(t, filepath.Join("node", "node_modules", "playwright-core"), "npm ci in internal/interop/node")
	need(t, chromium, "apt-get install chromium")
	return playScript(t, "chromium.mjs", "http://"+page+"/page.html", "ws://"+page+path, foreignURL, extensions)
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
func playScript(t *testing.T, script string, args ...string) (events []string) {
	t.Helper()
	node, err := exec.LookPath("node")
	require.NoError(t, err, "Node.js is missing; install version 20 or later, with npm")
	ctx, cancel := context.WithTimeout(t.Context(), process.Limit(t))
	defer cancel()
	var stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, node, append([]string{script}, args...)...)
	cmd.Dir = "node"
	cmd.Stderr = &stderr
	// On SIGTERM it ends its browser first.
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	out, err := cmd.Output()
	require.NoError(t, err, "node %s:\n%s", script, &stderr)

	var results []struct{ Event, Title, Error string }
	require.NoError(t, json.Unmarshal(out, &results), "node %s printed:\n%s", script, out)
	for _, result := range results {
		events = append(events, result.Event)
		t.Run(result.Event+" "+result.Title, func(t *testing.T) {
			if result.Error != "" {
				t.Fatalf("the row of node/table.mjs failed:\n%s", result.Error)
			}
		})
	}
	return events
}
