package cluster

import (
	"fmt"
	"slices"

	"github.com/stretchr/testify/require"
)

// allTalk makes all nodes emit at once. Nobody misses anything or receives it
// twice, and what one node emits arrives in order.
func (c *cluster) allTalk() {
	c.t.Helper()
	const each = 200
	var waits []func(any) error
	for i := range each {
		for who, n := range c.nodes {
			waits = append(waits, n.begin("emit", order{"namespace": "/", "rooms": []string{"r1"}, "event": "said", "args": []any{who, i}}))
		}
	}
	for _, wait := range waits {
		require.NoError(c.t, wait(nil))
	}
	heard := make(map[*client][]int) // how much from each node
	for _, cl := range c.clients {
		heard[cl] = make([]int, len(c.nodes))
	}
	for _, n := range c.nodes {
		for cl, events := range c.settle(n) {
			for _, e := range events {
				var who, i int
				_, err := fmt.Sscanf(string(e), "said [%d,%d]", &who, &i)
				require.NoError(c.t, err, "%s: %s", cl.name, e)
				require.Equal(c.t, heard[cl][who], i, "%s of what %s said", cl.name, c.nodes[who].name)
				heard[cl][who]++
			}
		}
	}
	inRoom := c.selected(target{namespace: "/", rooms: []string{"r1"}})
	for _, cl := range c.clients {
		want := 0
		if slices.Contains(inRoom, cl) {
			want = each
		}
		require.Equal(c.t, slices.Repeat([]int{want}, len(c.nodes)), heard[cl], cl.name)
	}
}
