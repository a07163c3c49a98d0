package interop

import (
	"bytes"
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wsrouter/wsrouter/internal/interop/process"
	"github.com/wsrouter/wsrouter/internal/loopback"
)

const gatewayDir = "../../examples/gateway"

// gateway is examples/gateway as a process that runs until the test ends.
type gateway struct {
	addr   string
	stderr bytes.Buffer // read only after exited
	exited chan struct{}
	err    error // how it exited, after exited
}

// startGateway returns when the gateway listens. At the end of the test the gateway
// must shut down without a failure.
func startGateway(t *testing.T, binary string, flags ...string) *gateway {
	t.Helper()
	ctx, kill := context.WithTimeout(context.Background(), process.Limit(t))
	g := &gateway{addr: loopback.Hold(t), exited: make(chan struct{})}
	cmd := exec.CommandContext(ctx, binary, append([]string{"-addr", g.addr}, flags...)...)
	cmd.Stderr = &g.stderr
	if err := cmd.Start(); err != nil {
		kill()
		t.Fatal(err)
	}
	go func() {
		g.err = cmd.Wait()
		close(g.exited)
	}()
	t.Cleanup(func() {
		defer kill()
		g.stop(t, cmd.Process)
	})
	g.awaitListening(t)
	return g
}

// awaitListening tries to connect until the gateway accepts: it logs its address
// before it listens, so its log cannot tell.
func (g *gateway) awaitListening(t *testing.T) {
	t.Helper()
	knock := time.NewTicker(5 * time.Millisecond)
	defer knock.Stop()
	for {
		if conn, err := net.Dial("tcp", g.addr); err == nil {
			conn.Close()
			return
		}
		select {
		case <-knock.C:
		case <-g.exited:
			t.Fatalf("the gateway ended at once: %v", g.err)
		}
	}
}

func (g *gateway) stop(t *testing.T, p *os.Process) {
	if err := p.Signal(syscall.SIGTERM); err != nil {
		t.Errorf("the gateway was gone before the end: %v", err)
	}
	<-g.exited // or it is killed at process.Limit
	if g.err != nil {
		t.Errorf("the gateway did not shut down in peace: %v (66 is the race detector's)", g.err)
	}
	if t.Failed() {
		t.Logf("the gateway's log, but for its clients' comings and goings:\n%s", process.Notable(g.stderr.String()))
	}
}

// gatewayEvents reads the names of the table's events from the gateway's source, so
// that every row must have a client.
func gatewayEvents(t *testing.T) []string {
	t.Helper()
	source, err := os.ReadFile(filepath.Join(gatewayDir, "table.go"))
	require.NoError(t, err)
	var events []string
	for _, match := range regexp.MustCompile(`router\.On\("(\w+)"`).FindAllSubmatch(source, -1) {
		events = append(events, string(match[1]))
	}
	require.Contains(t, events, "events", "the table is registered in another way now")
	return events
}
