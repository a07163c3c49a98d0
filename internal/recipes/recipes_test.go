package recipes

import (
	"context"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wsrouter/wsrouter"
	"github.com/wsrouter/wsrouter/internal/leak"
	"github.com/wsrouter/wsrouter/internal/page"
	"github.com/wsrouter/wsrouter/wsroutertest"
)

// TestMain fails the run if it leaves goroutines behind.
func TestMain(m *testing.M) { leak.Main(m) }

// sources are the files whose text docs/recipes.md shows.
var sources = []string{"*.go", "../frameworks/*_test.go"}

// TestPage: each block of code in the page is in a tested file, and the page shows
// each file here.
func TestPage(t *testing.T) {
	shown := map[string]bool{}
	texts := map[string]string{}
	for _, pattern := range sources {
		names, err := filepath.Glob(pattern)
		require.NoError(t, err)
		for _, name := range names {
			text, err := os.ReadFile(name)
			require.NoError(t, err)
			texts[name] = string(text)
		}
	}
	for _, block := range page.Blocks(t, "../../docs/recipes.md", "go") {
		found := ""
		for name, text := range texts {
			if strings.Contains(text, block) {
				found = name
			}
		}
		require.NotEmpty(t, found, "no source has:\n%s", block)
		shown[found] = true
	}
	for name := range texts {
		if filepath.Dir(name) == "." && name != "doc.go" && !strings.HasSuffix(name, "_test.go") {
			require.True(t, shown[name], "the page shows nothing of %s", name)
		}
	}
}

// TestReadme runs the README's server and its test exactly as they are, as the two
// files of a module that requires this one.
func TestReadme(t *testing.T) {
	root, err := filepath.Abs("../..")
	require.NoError(t, err)
	read := func(name string) string {
		text, err := os.ReadFile(filepath.Join(root, name))
		require.NoError(t, err)
		return string(text)
	}
	const ours = "github.com/wsrouter/wsrouter"
	blocks := page.Blocks(t, filepath.Join(root, "README.md"), "go")
	dir := t.TempDir()
	for name, text := range map[string]string{
		"main.go":      blocks[0],
		"main_test.go": blocks[1],
		"go.sum":       read("go.sum"), // as go mod tidy would write it, without a network
		"go.mod": strings.Replace(read("go.mod"), "module "+ours, "module example.com/app", 1) +
			"\nrequire " + ours + " v0.1.0\nreplace " + ours + " => " + strconv.Quote(root) + "\n",
	} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	cmd := exec.CommandContext(t.Context(), "go", "test", "-mod=mod", "-v", ".")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOWORK=off", "GOPROXY=off")
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	require.Contains(t, string(out), "--- PASS: TestEcho")
}

// byName is a guard for tests: the connect payload is the user's name.
func byName(c *wsrouter.Conn) error {
	var user string
	if err := c.Auth(&user); err != nil {
		return err
	}
	if user == "" {
		return wsrouter.NewError("who are you?")
	}
	userKey.Set(c, user)
	return nil
}

// auth returns options that send a connect payload.
func auth(payload any) *wsrouter.DialOptions {
	return &wsrouter.DialOptions{Auth: func(context.Context) (any, error) { return payload, nil }}
}

func connectAs(t *testing.T, router *wsrouter.Router, user string) *wsroutertest.Client {
	t.Helper()
	return wsroutertest.Connect(t, router, auth(user))
}

// dial connects over a network.
func dial(t *testing.T, transport *http.Transport, url string, header http.Header) (*wsrouter.Client, error) {
	t.Helper()
	t.Cleanup(transport.CloseIdleConnections)
	client, err := wsrouter.Dial(t.Context(), url, &wsrouter.DialOptions{
		Header: header, HTTPClient: &http.Client{Transport: transport},
		Router: wsrouter.New(&wsrouter.Options{PingInterval: 24 * time.Hour}), // like browsers, which do not ping
	})
	if err == nil {
		t.Cleanup(func() { client.Close() })
	}
	return client, err
}

// refused returns the status that a handshake was answered with.
func refused(t *testing.T, err error) int {
	t.Helper()
	var status *wsrouter.StatusError
	require.ErrorAs(t, err, &status)
	return status.StatusCode
}
