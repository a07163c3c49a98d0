package wsrouterotel_test

import (
	"bytes"
	"context"
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/wsrouter/wsrouter"
)

// TestPage: what a page calls over a WebSocket with the browser client is one
// trace, from its handler to the call to another service and the handler there; and
// so is what it calls while the network is down.
func TestPage(t *testing.T) {
	const ws = "../internal/interop/node/node_modules/ws"
	if _, err := os.Stat(ws); err != nil {
		t.Fatalf("%s is missing; to install it run ./test.sh in the repository's root, or: npm ci in internal/interop/node", ws)
	}
	b := newBackend()
	stock := b.service(t, wsrouter.Options{})
	stock.On("stock", func(c *wsrouter.Context) error { return c.Reply(c.Value()) })
	toStock, err := wsrouter.Dial(t.Context(), serve(t, stock).URL, &wsrouter.DialOptions{Router: b.service(t, wsrouter.Options{})})
	require.NoError(t, err)
	t.Cleanup(func() { toStock.Close() })

	shop := b.service(t, wsrouter.Options{Recovery: new(wsrouter.Recovery)})
	server := serve(t, shop)
	wsrouter.Handle(shop, "order", func(c *wsrouter.Context, item string) (string, error) {
		return wsrouter.Call[string](c.Context(), toStock, "stock", item)
	})
	shop.On("cut", func(*wsrouter.Context) error { server.cut(); return nil })

	var page struct {
		Told      []struct{ Trace, Span, Answer string }
		Recovered bool
	}
	require.NoError(t, json.Unmarshal(node(t, "testdata/page.mjs", server.URL), &page))
	require.True(t, page.Recovered)
	require.Len(t, page.Told, 2)
	require.NoError(t, shop.Shutdown(t.Context()))
	require.NoError(t, toStock.Close())
	require.NoError(t, stock.Shutdown(t.Context()))
	for _, telemetry := range b.services {
		require.NoError(t, telemetry.Flush(t.Context()))
	}
	for i, item := range []string{"chair", "table"} {
		told := page.Told[i]
		require.Equal(t, item, told.Answer)
		spans := make(map[string]tracetest.SpanStub)
		for _, span := range b.exporter.GetSpans() {
			if span.SpanContext.TraceID().String() == told.Trace {
				spans[span.SpanKind.String()+" "+span.Name] = span
			}
		}
		require.Len(t, spans, 3)
		require.Equal(t, told.Span, spans["server / order"].Parent.SpanID().String())
		requireChain(t, spans, spans["server / order"].Parent, "server / order", "client / stock", "server / stock")
		require.Equal(t, "websocket", attrs(spans["server / order"])["wsrouter.transport"])
		require.Equal(t, "127.0.0.1", attrs(spans["client / stock"])["server.address"])
		require.Positive(t, attrs(spans["client / stock"])["server.port"])
	}
}

// node runs a program, and returns what it printed.
func node(t *testing.T, args ...string) []byte {
	t.Helper()
	program, err := exec.LookPath("node")
	require.NoError(t, err, "Node.js is missing; install it, version 20 or later, with npm, and run ./test.sh in the repository's root")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	require.NoError(t, err, "%s", &stderr)
	return out
}

// site is a server whose connections can be cut.
type site struct {
	*httptest.Server
	mu    sync.Mutex
	conns []net.Conn
}

func serve(t *testing.T, h http.Handler) *site {
	t.Helper()
	s := &site{Server: httptest.NewUnstartedServer(h)}
	s.Config.ConnState = func(c net.Conn, state http.ConnState) {
		if state == http.StateNew {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.conns = append(s.conns, c)
		}
	}
	s.Start()
	t.Cleanup(s.Close)
	return s
}

// cut ends all connections without a goodbye.
func (s *site) cut() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.conns {
		c.(*net.TCPConn).SetLinger(0)
		c.Close()
	}
	s.conns = nil
}
