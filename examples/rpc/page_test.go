package main

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/wsrouter/wsrouter"
	"github.com/wsrouter/wsrouter/wsroutertest"
)

// inFront runs a test with a front in memory, and a client in the role of the page.
func inFront(t *testing.T, fn func(t *testing.T, w *worker, client *wsroutertest.Client)) {
	inMemory(t, func(t *testing.T, w *worker, _ *bytes.Buffer) {
		f := newFront(untraced, w.Connect)
		fn(t, w, wsroutertest.Connect(t, f.Router, nil))
		require.NoError(t, f.Shutdown(context.Background()))
	})
}

// TestPageSeesEachWord: the page is sent the words one by one, and told when a
// worker disconnects.
func TestPageSeesEachWord(t *testing.T) {
	inFront(t, func(t *testing.T, w *worker, client *wsroutertest.Client) {
		var seen []progress
		for p, err := range wsrouter.Pull[progress](t.Context(), client, "engrave", "Call me") {
			require.NoError(t, err)
			seen = append(seen, p)
		}
		require.Equal(t, []progress{{Word: "CALL", Done: 1, Words: 2}, {Word: "ME", Done: 2, Words: 2}}, seen)

		for p, err := range wsrouter.Pull[progress](t.Context(), client, "engrave", "Call me Ishmael") {
			if err != nil || p.Waiting {
				require.NoError(t, err)
				require.Equal(t, progress{Done: 1, Words: 3, Waiting: true}, p)
				break
			}
			onlyConn(t, w.Router).Close(wsrouter.CloseServiceRestart, "")
		}
		w.jobs.Wait()
	})
}

func onlyConn(t *testing.T, router *wsrouter.Router) (conn *wsrouter.Conn) {
	t.Helper()
	for conn = range router.Conns() {
	}
	require.NotNil(t, conn)
	return conn
}

// TestPageStops: a page that wants no more words stops the worker.
func TestPageStops(t *testing.T) {
	inFront(t, func(t *testing.T, w *worker, client *wsroutertest.Client) {
		for _, err := range wsrouter.Pull[progress](t.Context(), client, "engrave", strings.Repeat("word ", 1000)) {
			require.NoError(t, err)
			break
		}
		w.jobs.Wait()
		synctest.Wait()
		require.Zero(t, w.Stats().Connections)
	})
}

// TestPageIsWary: a text must have words, but not too many.
func TestPageIsWary(t *testing.T) {
	inFront(t, func(t *testing.T, _ *worker, client *wsroutertest.Client) {
		for _, text := range []any{" ", strings.Repeat("x ", 1001), 7} {
			require.Error(t, client.Call(t.Context(), "engrave", text, nil))
		}
	})
}

// TestFiles: all files of the page are served, and without a collector its spans
// are refused.
func TestFiles(t *testing.T) {
	h, err := newFront(untraced, nil).handler("")
	require.NoError(t, err)
	for _, path := range []string{"/", "/page.js", "/trace.js", "/style.css", "/icon.svg", "/wsrouter/wsrouter.js"} {
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, httptest.NewRequest(http.MethodGet, path, nil))
		require.Equal(t, http.StatusOK, rec.Code, path)
		require.Contains(t, rec.Header().Get("Content-Security-Policy"), "default-src 'self'")
	}
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, httptest.NewRequest(http.MethodPost, tracesPath, strings.NewReader("{}")))
	require.Equal(t, http.StatusNoContent, rec.Code)
}

// span is a span that the collector received.
type span struct {
	service, name, id, parent string
}

// collected are the spans of all traces.
type collected struct {
	mu     sync.Mutex
	traces map[string][]span
}

func (c *collected) add(trace string, s span) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.traces[trace] = append(c.traces[trace], s)
}

// of returns the spans of one trace.
func (c *collected) of(trace string) []span {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.traces[trace]
}

// ServeHTTP takes OTLP, as protobuf from services and as JSON from the page.
func (c *collected) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	switch {
	case err != nil || r.URL.Path != tracesPath:
	case r.Header.Get("Content-Type") == "application/json":
		err = c.readJSON(body)
	default:
		err = c.read(body)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
	}
}

func (c *collected) read(body []byte) error {
	var request collector.ExportTraceServiceRequest
	if err := proto.Unmarshal(body, &request); err != nil {
		return err
	}
	for _, rs := range request.ResourceSpans {
		for _, ss := range rs.ScopeSpans {
			for _, s := range ss.Spans {
				service := rs.Resource.Attributes[0].Value.GetStringValue()
				c.add(hex.EncodeToString(s.TraceId), span{service, s.Name, hex.EncodeToString(s.SpanId), hex.EncodeToString(s.ParentSpanId)})
			}
		}
	}
	return nil
}

func (c *collected) readJSON(body []byte) error {
	var request struct {
		ResourceSpans []struct {
			Resource struct {
				Attributes []struct{ Value struct{ StringValue string } }
			}
			ScopeSpans []struct {
				Spans []struct {
					TraceID, SpanID, Name              string
					Kind                               int
					StartTimeUnixNano, EndTimeUnixNano string
				}
			}
		}
	}
	if err := json.Unmarshal(body, &request); err != nil {
		return err
	}
	rs := request.ResourceSpans[0]
	s := rs.ScopeSpans[0].Spans[0]
	c.add(s.TraceID, span{rs.Resource.Attributes[0].Value.StringValue, s.Name, s.SpanID, ""})
	return nil
}

// TestOneTrace is the tour of the package comment with a page: what the page, the
// asker and the worker do for a text is one trace.
func TestOneTrace(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("os.Process.Signal cannot send an interrupt on Windows")
	}
	for path, install := range map[string]string{
		"../../internal/interop/node/node_modules/playwright-core": "npm ci in internal/interop/node",
		"/usr/bin/chromium": "apt-get install chromium",
	} {
		_, err := os.Stat(path)
		require.NoError(t, err, "it is missing; to install it run ./test.sh in the repository's root, or: %s", install)
	}
	got := &collected{traces: make(map[string][]span)}
	server := httptest.NewServer(got)
	defer server.Close()
	program := filepath.Join(t.TempDir(), "rpc")
	output, err := exec.Command("go", "build", "-buildvcs=false", "-o", program, ".").CombinedOutput()
	require.NoError(t, err, "%s", output)

	worker := start(t, program, "-otlp", server.URL, "-serve", "127.0.0.1:0")
	asker := start(t, program, "-otlp", server.URL, "-page", "127.0.0.1:0", worker.expect("listening on "))
	url := asker.expect("open ")
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	var stderr bytes.Buffer
	drive := exec.CommandContext(ctx, "node", "testdata/drive.mjs", url)
	drive.Stderr = &stderr
	output, err = drive.Output()
	require.NoError(t, err, "%s", &stderr)
	var page struct {
		Plate, Trace string
		Status       int
		Problems     []string
	}
	require.NoError(t, json.Unmarshal(output, &page), "%s", output)
	require.Empty(t, page.Problems)
	require.Equal(t, "CALL ME ISHMAEL ", page.Plate)
	require.Equal(t, http.StatusOK, page.Status)
	for _, p := range []*process{asker, worker} { // on the way out they send what they have
		p.interrupt()
		require.NoError(t, p.cmd.Wait())
	}

	byID, services := make(map[string]span), make(map[string]int)
	for _, s := range got.of(page.Trace) {
		byID[s.id] = s
		services[s.service]++
	}
	// The page's pull; at the asker that pull, its own pull, and the answers to
	// three calls; at the worker the asker's pull, and a call for each word.
	require.Equal(t, map[string]int{"rpc-page": 1, "rpc-asker": 2 + 3, "rpc-worker": 1 + 3}, services)
	for id, s := range byID {
		if s.service == "rpc-page" {
			require.Empty(t, s.parent)
			continue
		}
		require.Contains(t, byID, s.parent, "parent of %s %s (%s)", s.service, s.name, id)
	}
	paths := make(map[string]int)
	for _, s := range byID {
		path := s.service
		for s.parent != "" {
			s = byID[s.parent]
			path = s.service + " " + path
		}
		paths[strings.ReplaceAll(path, "rpc-", "")]++
	}
	require.Equal(t, map[string]int{
		"page": 1, "page asker": 1, "page asker asker": 1, "page asker asker worker": 1,
		"page asker asker worker worker": 3, "page asker asker worker worker asker": 3,
	}, paths)
}
