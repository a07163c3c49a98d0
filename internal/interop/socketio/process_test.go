package socketio

import (
	"net/http"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wsrouter/wsrouter/internal/interop/process"
)

const (
	repository = "../../.."
	chromium   = "/usr/bin/chromium" // also in node/chromium.mjs
)

// result is the result of one row, see node/peer.mjs.
type result struct{ Event, Title, Error string }

// report makes a subtest of each row that the process has played, and returns the
// events that the rows cover.
func report(t *testing.T, p *process.Process) (events []string) {
	t.Helper()
	var results []result
	p.Read(t, &results)
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

func buildGateway(t *testing.T) string {
	t.Helper()
	return process.Build(t, filepath.Join(repository, "examples", "gateway"))
}

// server is a program of ours that serves at addr.
type server struct {
	*process.Process
	addr string
}

// serve starts a program that takes its address as -addr, and returns when it
// listens. At the end of the test it must shut down without a failure, unless it
// was killed.
func serve(t *testing.T, binary, addr string) *server {
	t.Helper()
	s := &server{process.Start(t, ".", binary, "-addr", addr), addr}
	t.Cleanup(func() {
		s.Cmd.Process.Signal(syscall.SIGTERM)
		if err := s.Wait(); err != nil && !process.Killed(err) {
			t.Errorf("the server did not shut down in peace: %v (66 is the race detector's)", err)
		}
	})
	knock := time.NewTicker(5 * time.Millisecond)
	defer knock.Stop()
	late := time.After(process.Limit(t))
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
