package socketio

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// TestCrowd plays node/crowd.mjs: 200 clients at once, and rooms that plain
// WebSocket clients share.
func TestCrowd(t *testing.T) {
	need(t, npm("socket.io-client"), npm("ws"))
	binary := buildGateway(t)
	for _, transport := range transports {
		t.Run(transport, func(t *testing.T) {
			gateway := serve(t, binary, freeAddr(t))
			startNode(t, "play.mjs", "crowd", "socket.io-client", transport, "http://"+gateway.addr, "/events").report(t)
		})
	}
}

// TestRestart kills the server under its client and starts another in its place.
func TestRestart(t *testing.T) {
	binary := buildGateway(t)
	for _, client := range clients {
		need(t, npm(client))
		for _, transport := range transports {
			t.Run(client+" "+transport, func(t *testing.T) {
				t.Parallel()
				gateway := serve(t, binary, freeAddr(t))
				node := startNode(t, "restart.mjs", client, transport, "http://"+gateway.addr)
				node.expect(t, "up")
				gateway.kill()
				node.expect(t, "down")
				serve(t, binary, gateway.addr)
				node.report(t)
			})
		}
	}
}

// expect reads a word that the script says at this point, or its failure.
func (p *process) expect(t *testing.T, word string) {
	t.Helper()
	var got any
	p.read(t, &got)
	require.Equal(t, word, got)
}
