package socketio

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wsrouter/wsrouter/internal/interop/process"
	"github.com/wsrouter/wsrouter/internal/loopback"
)

// TestCrowd plays node/crowd.mjs: 200 clients at once, and rooms that they share
// with plain WebSocket clients.
func TestCrowd(t *testing.T) {
	process.Need(t, process.NPM("socket.io-client"), process.NPM("ws"))
	binary := buildGateway(t)
	for _, transport := range transports {
		t.Run(transport, func(t *testing.T) {
			gateway := serve(t, binary, loopback.Hold(t))
			report(t, process.Node(t, "play.mjs", "crowd", "socket.io-client", transport, "http://"+gateway.addr, "/events"))
		})
	}
}

// TestRestart kills the server under its client and starts another in its place.
func TestRestart(t *testing.T) {
	binary := buildGateway(t)
	for _, client := range clients {
		process.Need(t, process.NPM(client))
		for _, transport := range transports {
			t.Run(client+" "+transport, func(t *testing.T) {
				t.Parallel()
				gateway := serve(t, binary, loopback.Hold(t))
				node := process.Node(t, "restart.mjs", client, transport, "http://"+gateway.addr)
				expect(t, node, "up")
				gateway.Kill()
				expect(t, node, "down")
				serve(t, binary, gateway.addr)
				report(t, node)
			})
		}
	}
}

// expect reads the word that the script must print at this point, or its failure.
func expect(t *testing.T, p *process.Process, word string) {
	t.Helper()
	var got any
	p.Read(t, &got)
	require.Equal(t, word, got)
}
