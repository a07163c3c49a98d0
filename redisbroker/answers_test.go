package redisbroker_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wsrouter/wsrouter/internal/redistest"
)

// TestANodeWithoutClientsAnswers asks what a node of Node.js asks: an answer
// without its array would have it wait for its timeout.
func TestANodeWithoutClientsAnswers(t *testing.T) {
	addr := redistest.Start(t).Addr
	r := newNode(t, newBroker(t, addr, nil))
	require.NoError(t, r.To("none").Leave("none")) // it is a node now
	w := listen(t, addr, "socket.io-response#*")
	w.say(requests, `{"uid":"u","requestId":"q0","type":0,"rooms":[]}`)
	w.expect(`{"requestId":"q0","sockets":[]}`, "no id")
	w.say(requests, `{"uid":"u","requestId":"q1","type":1}`)
	w.expect(`{"requestId":"q1","rooms":[]}`, "no id")
	w.say(requests, `{"uid":"u","requestId":"q5","type":5,"opts":{"rooms":[],"except":[]}}`)
	w.expect(`{"requestId":"q5","sockets":[]}`, "no id")
}
