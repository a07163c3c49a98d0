package clientjs

import (
	"bytes"
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

// gateway is examples/gateway as a process that can be ended and started again at
// the same address.
type gateway struct {
	t       *testing.T
	binary  string
	addr    string
	running *os.Process // nil if there is none
	stderr  *bytes.Buffer
	exited  chan error // how it exited
}

func newGateway(t *testing.T) *gateway {
	t.Helper()
	g := &gateway{t: t, binary: process.Build(t, filepath.Join(repository, "examples", "gateway")), addr: loopback.Hold(t)}
	t.Cleanup(func() { g.stop() })
	return g
}

// start returns when the gateway listens.
func (g *gateway) start() {
	g.stderr = new(bytes.Buffer)
	cmd := exec.Command(g.binary, "-addr", g.addr)
	cmd.Stderr = g.stderr
	if err := cmd.Start(); err != nil {
		g.t.Errorf("the gateway did not start: %v", err)
		return
	}
	g.running, g.exited = cmd.Process, make(chan error, 1)
	go func() { g.exited <- cmd.Wait() }()
	g.awaitListening()
}

// awaitListening tries to connect until the gateway accepts: it logs its address
// before it listens, so its log cannot tell.
func (g *gateway) awaitListening() {
	knock := time.NewTicker(5 * time.Millisecond)
	defer knock.Stop()
	for {
		if conn, err := net.Dial("tcp", g.addr); err == nil {
			conn.Close()
			return
		}
		select {
		case <-knock.C:
		case err := <-g.exited:
			g.t.Errorf("the gateway ended at once: %v\n%s", err, g.stderr)
			g.exited <- err
			return
		}
	}
}

// stop waits until the gateway has shut down without a failure.
func (g *gateway) stop() {
	if g.running == nil {
		return
	}
	g.running.Signal(syscall.SIGTERM)
	late := time.AfterFunc(process.Limit(g.t), func() { g.running.Kill() })
	defer late.Stop()
	if err := <-g.exited; err != nil {
		g.t.Errorf("the gateway did not shut down in peace: %v (66 is the race detector's)\n%s", err, g.stderr)
	}
	g.running = nil
}

// kill gives the gateway no chance to say goodbye.
func (g *gateway) kill() {
	g.running.Kill()
	<-g.exited
	g.running = nil
}

// gatewayEvents reads the names of the table's events from the gateway's source, so
// that every row must have a client.
func gatewayEvents(t *testing.T) []string {
	t.Helper()
	source, err := os.ReadFile(filepath.Join(repository, "examples", "gateway", "table.go"))
	require.NoError(t, err)
	var events []string
	for _, match := range regexp.MustCompile(`router\.On\("(\w+)"`).FindAllSubmatch(source, -1) {
		events = append(events, string(match[1]))
	}
	require.Contains(t, events, "events", "the table is registered in another way now")
	return events
}
