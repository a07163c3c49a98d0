package cluster

import (
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestReplace replaces nodes of Node.js: with others of Node.js, and with nodes of
// Go.
func TestReplace(t *testing.T) {
	for _, kind := range []string{kindIORedis, kindGo} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			newCluster(t).replaceBy(kind)
		})
	}
}

// replaceBy replaces the nodes of a cluster one by one, each at its address, while
// one of them continues to talk. Clients reconnect on their own, and those of the
// other nodes miss nothing.
func (c *cluster) replaceBy(kind string) {
	c.t.Helper()
	c.start(kindRedis, kindIORedis, kindNest)
	for _, n := range c.nodes {
		for _, name := range []string{"a", "b"} {
			c.connect(n, "/", name, "r1")
		}
	}
	for _, old := range slices.Clone(c.nodes) {
		c.run("of "+old.name, func() { c.replace(old, kind) })
	}
	c.run("after all", func() {
		for _, n := range c.nodes {
			require.Equal(c.t, kind, n.kind)
			c.play(n, row{to: r1, args: `["hi"]`, times: 10})
		}
		c.found(c.from(c.nodes[0], every))
	})
}

// replace replaces one node.
func (c *cluster) replace(old *node, kind string) {
	c.t.Helper()
	talker := c.first(func(n *node) bool { return n != old })
	said := 0
	talk := func() {
		talker.do(c.t, "emit", order{"namespace": "/", "event": "said", "args": []any{said}, "rooms": []string{"r1"}}, nil)
		said++
	}
	moving := slices.DeleteFunc(slices.Clone(c.clients), func(cl *client) bool { return cl.node != old })
	c.clients = without(c.clients, func(cl *client) bool { return cl.node == old })
	talk()
	stopped := old.begin("stop", nil)
	talk()
	require.NoError(c.t, stopped(nil))
	require.NoError(c.t, old.Wait())
	c.gone(old)
	talk()
	n := c.begin(kind, old.addr)
	talk()
	c.ready(n)
	for _, cl := range moving {
		talk()
		cl.node = n
		c.connected(cl)
		c.enter(cl)
		c.clients = append(c.clients, cl)
	}
	// A client that has reconnected may have received only some of it, but once and
	// in order.
	got := c.settle(talker)
	for _, cl := range c.clients {
		heard := -1
		for _, e := range got[cl] {
			var i int
			_, err := fmt.Sscanf(string(e), "said [%d]", &i)
			require.NoError(c.t, err, "%s: %s", cl.name, e)
			require.Greater(c.t, i, heard, cl.name)
			if !slices.Contains(moving, cl) {
				require.Equal(c.t, heard+1, i, cl.name)
			}
			heard = i
		}
		if !slices.Contains(moving, cl) {
			require.Equal(c.t, said-1, heard, cl.name)
		}
	}
	talk()
	for cl, events := range c.settle(talker) {
		require.Equal(c.t, []event{cl.wants("said", []any{float64(said - 1)})}, events, cl.name)
	}
}
