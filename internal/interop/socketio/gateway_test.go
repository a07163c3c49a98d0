package socketio

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wsrouter/wsrouter/internal/interop/process"
	"github.com/wsrouter/wsrouter/internal/loopback"
)

// clients are packages of npm, see node/package.json.
var clients = []string{"socket.io-client", "socket.io-client-4.1"}

// transports are "default" for the client's own choice: polling first, then a
// WebSocket.
var transports = []string{"default", "polling", "websocket"}

// TestGateway plays the gateway's whole table with clients of several versions,
// over every transport, on both namespaces.
func TestGateway(t *testing.T) {
	binary := buildGateway(t)
	for _, client := range clients {
		process.Need(t, process.NPM(client))
		for _, transport := range transports {
			for _, namespace := range []string{"/", "/events"} {
				t.Run(client+" "+transport+" "+namespace, func(t *testing.T) {
					t.Parallel()
					gateway := serve(t, binary, loopback.Hold(t)) // one for itself, because cast reaches everybody
					node := process.Node(t, "play.mjs", "table", client, transport, "http://"+gateway.addr, namespace)
					played := report(t, node)
					if !t.Failed() { // otherwise it stopped early
						require.Subset(t, played, gatewayEvents(t), "events without a row")
					}
				})
			}
		}
	}
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
