package cluster

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wsrouter/wsrouter/internal/interop/process"
)

// TestCounts counts nodes that come and go, of Node.js and of Go.
func TestCounts(t *testing.T) {
	for _, kind := range []string{kindIORedis, kindGo} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			newCluster(t).comeAndGo(kind)
		})
	}
}

// comeAndGo makes nodes of a kind come and go beside a node of Node.js that must
// count them: it waits until as many nodes as it counts have answered its question.
func (c *cluster) comeAndGo(kind string) {
	c.t.Helper()
	c.start(kindRedis)
	n := c.nodes[0]
	c.counts(n, 1)
	c.start(kind)
	c.counts(n, 2)
	c.start(kind, kind)
	c.counts(n, 4)
	c.start(kindEmitter, kindGoEmitter)
	c.counts(n, 4)
	c.stop(c.nodes[2])
	c.counts(n, 3)
	c.kill(c.nodes[2])
	c.counts(n, 2)
	c.start(kind)
	c.counts(n, 3)
	c.populate()
	c.found(c.from(n, every))
}

// counts waits until a node counts that many, and checks that they all answer.
func (c *cluster) counts(n *node, want int) {
	c.t.Helper()
	for _, namespace := range namespaces {
		c.eventually(func() (any, bool) {
			var count int
			n.do(c.t, "count", order{"namespace": namespace}, &count)
			return count, count == want
		}, "%d nodes in %s", want, namespace)
		var found []member
		n.do(c.t, "find", order{"namespace": namespace}, &found)
		var rooms []string
		n.do(c.t, "allRooms", order{"namespace": namespace}, &rooms)
	}
}

// stop ends a node as a deployment does.
func (c *cluster) stop(n *node) {
	c.t.Helper()
	n.do(c.t, "stop", nil, nil)
	require.NoError(c.t, n.Wait(), "%s did not end in peace (66 is the race detector's)", n.name)
	c.gone(n)
}

// kill ends a node as a power cut does.
func (c *cluster) kill(n *node) {
	c.t.Helper()
	n.Cmd.Process.Kill()
	<-n.ended
	require.True(c.t, process.Killed(n.Wait()))
	c.gone(n)
}

// gone removes a node and its clients from the test's records.
func (c *cluster) gone(n *node) {
	c.nodes = without(c.nodes, func(other *node) bool { return other == n })
	c.clients = without(c.clients, func(cl *client) bool { return cl.node == n })
}

// allStop ends all nodes, which shows that none has died.
func (c *cluster) allStop() {
	c.t.Helper()
	var err error
	for len(c.nodes) > 0 {
		n := c.nodes[0]
		err = errors.Join(err, n.try("stop", nil, nil), n.Wait())
		c.gone(n)
	}
	require.NoError(c.t, err)
}
