// Package wasm runs Dial where JavaScript's WebSocket is the only network.
package wasm

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wsrouter/wsrouter"
	"github.com/wsrouter/wsrouter/internal/interop/process"
)

const pingInterval = 300 * time.Millisecond

// TestDialInNode: a Go program built for js/wasm connects from Node, calls, is
// called, pulls, is pinged, and sees codes and reasons of closes in both
// directions.
func TestDialInNode(t *testing.T) {
	ends := make(chan *wsrouter.CloseError, 2)
	var pinged atomic.Bool
	url := serve(t, ends, &wsrouter.Trace{FrameIn: func(_ *http.Request, data []byte) {
		if string(data) == `{"ping":1}` {
			pinged.Store(true)
		}
	}})
	binary := filepath.Join(t.TempDir(), "client.wasm")
	build := exec.Command("go", "build", "-race=false", "-o", binary, "./client")
	build.Env = append(os.Environ(), "GOOS=js", "GOARCH=wasm")
	out, err := build.CombinedOutput()
	require.NoError(t, err, "%s", out)

	ctx, cancel := context.WithTimeout(t.Context(), process.Limit(t))
	defer cancel()
	root, err := exec.Command("go", "env", "GOROOT").Output()
	require.NoError(t, err)
	glue := filepath.Join(strings.TrimSpace(string(root)), "lib", "wasm", "wasm_exec_node.js")
	node := exec.CommandContext(ctx, "node", "--experimental-websocket", "--stack-size=8192", glue, binary, url)
	node.Env = []string{"PATH=" + os.Getenv("PATH")} // Go's glue code has little room for it
	out, err = node.CombinedOutput()
	require.NoError(t, err, "%s\nNode.js 20.10 or later is needed", out)
	require.Equal(t, []string{
		"over websocket",
		`echo {"text":"é😀"}`,
		`ask "who?"`,
		"long 300000",
		"sum 4950",
		"fail no E_NO",
		`silence "over"`,
		"closed 4001 bye peer",
		"refused true",
		"header wsrouter: dial: a WebSocket of JavaScript takes neither an http.Client nor a header",
	}, strings.Split(strings.TrimSpace(string(out)), "\n"))

	require.True(t, pinged.Load(), "the client pings, too")
	first, second := <-ends, <-ends
	require.Equal(t, wsrouter.CauseLocal, first.Cause)
	require.Equal(t, wsrouter.CausePeer, second.Cause)
	require.Equal(t, 4002, second.Code)
	require.Equal(t, "enough", second.Reason)
}

// serve serves the client's script.
func serve(t *testing.T, ends chan<- *wsrouter.CloseError, trace *wsrouter.Trace) (url string) {
	if _, err := exec.LookPath("node"); err != nil {
		t.Fatalf("%v: install Node.js 20.10 or later (%s)", err, runtime.GOOS)
	}
	router := wsrouter.New(&wsrouter.Options{PingInterval: pingInterval, PongTimeout: 20 * time.Second, Trace: trace})
	router.On("echo", func(c *wsrouter.Context) error { return c.Reply(c.Value()) })
	router.On("ask", func(c *wsrouter.Context) error {
		var answer any
		if err := c.Conn().Call(c.Context(), "question", c.Value(), &answer); err != nil {
			return err
		}
		return c.Reply(answer)
	})
	wsrouter.HandleStream(router, "count", func(c *wsrouter.Context, n int) (<-chan int, error) {
		ch := make(chan int, n)
		for i := range n {
			ch <- i
		}
		close(ch)
		return ch, nil
	})
	router.On("fail", func(*wsrouter.Context) error { return wsrouter.NewError("no").WithCode("E_NO") })
	router.On("silence", func(c *wsrouter.Context) error {
		time.Sleep(3 * pingInterval) // the client is pinged meanwhile
		return c.Reply("over")
	})
	router.On("close", func(c *wsrouter.Context) error { return c.Conn().Close(4001, "bye") })
	router.OnDisconnect(func(_ context.Context, _ *wsrouter.Conn, ce *wsrouter.CloseError) { ends <- ce })
	mux := http.NewServeMux()
	mux.Handle("/ws", router)
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return "ws" + strings.TrimPrefix(server.URL, "http") + "/ws"
}
