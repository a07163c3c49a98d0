package cluster

import (
	"fmt"
	"slices"

	"github.com/stretchr/testify/require"
)

// tellAll makes a node of each kind, of Node.js, send events to the servers
// themselves.
func (c *cluster) tellAll(kinds ...string) {
	c.t.Helper()
	told := 0
	for _, kind := range kinds {
		for _, namespace := range namespaces {
			told++
			c.run(fmt.Sprintf("serverSideEmit/from %s in %s", kind, namespace), func() { c.tell(c.ofKind(kind), namespace, told) })
		}
	}
}

// tell makes a node emit to the servers, then ask them. Every other node receives
// both, once.
func (c *cluster) tell(n *node, namespace string, i int) {
	c.t.Helper()
	emitted := []any{i, "数据", map[string]any{"a": []any{nil, 1.5}}}
	n.do(c.t, "serverSideEmit", order{"namespace": namespace, "args": emitted}, nil)
	want := []string{canonical(append([]any{namespace}, emitted...))}
	if n.serves() { // an emitter cannot ask
		var answers, wanted []string
		n.do(c.t, "serverSideAsk", order{"namespace": namespace, "args": []any{-i}}, &answers)
		for _, other := range c.servers() {
			if other != n {
				wanted = append(wanted, fmt.Sprintf("%s %d", other.kind, -i))
			}
		}
		slices.Sort(answers)
		slices.Sort(wanted)
		require.Equal(c.t, wanted, answers)
		want = append(want, canonical([]any{namespace, -i}))
	}
	for _, other := range c.servers() {
		var heard []string
		c.eventually(func() (any, bool) {
			heard = c.heard(other, i)
			return heard, len(heard) >= len(want) || other == n
		}, "%s to hear %s", other.name, want)
		if other == n {
			require.Empty(c.t, heard, "%s heard itself", n.name)
			continue
		}
		slices.Sort(heard)
		slices.Sort(want)
		require.Equal(c.t, want, heard, other.name)
	}
}

// heard returns what a node has received of what the i-th node sent.
func (c *cluster) heard(n *node, i int) (heard []string) {
	c.t.Helper()
	var list [][]any
	n.do(c.t, "heard", nil, &list)
	for _, h := range list {
		if first := canonical(h[1]); first == fmt.Sprint(i) || first == fmt.Sprint(-i) {
			heard = append(heard, canonical(h))
		}
	}
	return heard
}
