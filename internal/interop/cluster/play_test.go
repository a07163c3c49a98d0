package cluster

import (
	"cmp"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestNodeAlone lets nodes of Node.js play among themselves, which proves that the
// table is right.
func TestNodeAlone(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	c.start(kindRedis, kindIORedis, kindEmitter)
	c.playAll(kindRedis, kindIORedis, kindEmitter)
	c.populate()
	c.run("all talk", c.allTalk)
	c.askAll(kindRedis, kindIORedis)
	c.tellAll(kindRedis, kindIORedis, kindEmitter)
	c.allStop()
}

// TestMixed lets all kinds of nodes play in one cluster.
func TestMixed(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	c.start(kindRedis, kindIORedis, kindNest, kindEmitter, kindGo, kindGo, kindGoEmitter)
	c.listen()
	c.playAll(kindRedis, kindIORedis, kindNest, kindEmitter, kindGo, kindGoEmitter)
	c.sameBytes(kindRedis, kindGo)
	c.populate()
	c.run("all talk", c.allTalk)
	c.askAll(kindRedis, kindIORedis, kindNest)
	c.tellAll(kindRedis, kindIORedis, kindNest, kindEmitter)
	c.allStop()
}

// playAll plays the table from a node of each kind, with clients of its own.
func (c *cluster) playAll(kinds ...string) {
	c.t.Helper()
	for _, kind := range kinds {
		n := c.ofKind(kind)
		c.run("from "+kind, func() {
			c.populate()
			for _, r := range table {
				if n.plays(r) && !c.run(r.name, func() { c.play(n, r) }) {
					break
				}
			}
		})
		if c.t.Failed() {
			return // the test no longer knows who is where
		}
	}
}

// plays reports whether a row is for such a node.
func (n *node) plays(r row) bool {
	switch r.option {
	case "node":
		return !n.isGo()
	case "go":
		return n.isGo()
	case "large":
		return n.kind == kindRedis || n.kind == kindGo
	}
	return r.by == "" || n.serves()
}

// play makes a node do what a row says, and checks every client.
func (c *cluster) play(publisher *node, r row) {
	c.t.Helper()
	to := c.from(publisher, r.to)
	selected := c.selected(to)
	if c.traffic != nil {
		c.traffic.since(c.t)
		defer func(clients []*client) { c.keep(publisher, r.name, clients) }(c.clients)
	}
	want := make(map[*client][]event)
	if r.change == "" {
		for i := range max(r.times, 1) {
			c.emit(publisher, r, to, i)
			for _, cl := range selected {
				want[cl] = append(want[cl], cl.wants(cmp.Or(r.event, "event"), r.arguments(i)))
			}
		}
	} else {
		command := to.order()
		command["to"], command["close"] = r.rooms, r.option == "close"
		publisher.do(c.t, r.change, command, nil)
		c.changed(r, selected)
	}
	c.compare(want, c.settle(publisher))
	if r.change != "" {
		c.found(c.from(publisher, target{namespace: to.namespace}))
	}
}

// arguments returns those of repetition i, counted from 0.
func (r row) arguments(i int) []any {
	args := parse([]byte(r.args)).([]any)
	if r.times > 0 {
		args = append(args, float64(i))
	}
	return args
}

func (c *cluster) emit(publisher *node, r row, to target, i int) {
	c.t.Helper()
	name, args := cmp.Or(r.event, "event"), r.arguments(i)
	if r.by == "" {
		command := to.order()
		command["event"], command["args"], command["volatile"] = name, args, r.option == "volatile"
		publisher.do(c.t, "emit", command, nil)
		return
	}
	data := append([]any{name}, args...)
	request := "others"
	if len(to.rooms) > 0 {
		request, data = "neighbours", append([]any{to.rooms[0]}, data...)
	}
	c.client(publisher.name+"/"+r.by).ask(c.t, request, data)
}

// changed records where a row has moved the selected clients.
func (c *cluster) changed(r row, selected []*client) {
	c.t.Helper()
	for _, cl := range selected {
		switch r.change {
		case "join":
			cl.rooms = append(cl.rooms, r.rooms...)
			slices.Sort(cl.rooms)
			cl.rooms = slices.Compact(cl.rooms)
		case "leave":
			cl.rooms = without(cl.rooms, func(room string) bool { return slices.Contains(r.rooms, room) })
		case "disconnect":
			before, err := cl.until(cl.end("io server disconnect"))
			require.NoError(c.t, err)
			require.Empty(c.t, before, cl.name)
			c.clients = without(c.clients, func(other *client) bool { return other == cl })
		}
	}
}
