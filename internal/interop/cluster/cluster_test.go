package cluster

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wsrouter/wsrouter/internal/interop/process"
	"github.com/wsrouter/wsrouter/internal/loopback"
	"github.com/wsrouter/wsrouter/internal/redistest"
)

// namespaces are those of every node. The last one never has clients.
var namespaces = []string{"/", "/chat", "/quiet"}

// oddRooms are rooms that the first client of each node is also in.
var oddRooms = []string{"1", "1.50", "*", "a#b", "[x]?*\\", "r 1", "房间 😀", "/chat", "room:\"x\"", "__proto__"}

// Kinds of nodes that have clients.
const (
	kindRedis     = "redis"   // npm's socket.io with npm's redis
	kindIORedis   = "ioredis" // with ioredis
	kindNest      = "nest"
	kindEmitter   = "emitter" // only publishes, as the emitter of Go does
	kindGo        = "go"
	kindGoEmitter = "goemitter"
)

// unbounded makes Redis keep what a slow node has not read yet.
var unbounded = []string{"--client-output-buffer-limit", "pubsub", "0", "0", "0"}

// cluster is some nodes on a Redis of their own, and their clients.
type cluster struct {
	home    *testing.T // while the nodes run
	t       *testing.T // the subtest
	redis   *redistest.Server
	npm     *script
	nodes   []*node
	clients []*client
	fences  int
	traffic *traffic // nil if nobody listens

	mu    sync.Mutex // guards byNPM
	byNPM map[string]*client
}

// node is a process that is a node, or that only publishes.
type node struct {
	*script
	kind string
	addr string
}

// isGo reports whether the node is ours.
func (n *node) isGo() bool { return strings.HasPrefix(n.kind, "go") }

// serves reports whether the node has clients.
func (n *node) serves() bool { return n.kind != kindEmitter && n.kind != kindGoEmitter }

func newCluster(t *testing.T) *cluster {
	t.Helper()
	process.Need(t, process.NPM("socket.io"), process.NPM("@socket.io/redis-adapter"), process.NPM("@nestjs/core"))
	c := &cluster{home: t, t: t, redis: redistest.Start(t, unbounded...), byNPM: make(map[string]*client)}
	c.npm = converse(t, "clients", process.Node(t, "clients.mjs"), func(e said) {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.byNPM[e.Client].tell(e.Event, e.Args)
	})
	return c
}

// run runs a subtest.
func (c *cluster) run(name string, test func()) (passed bool) {
	outer := c.t
	return outer.Run(name, func(t *testing.T) {
		c.t = t
		defer func() { c.t = outer }()
		test()
	})
}

// start adds nodes of these kinds.
func (c *cluster) start(kinds ...string) {
	c.t.Helper()
	begun := make([]*node, len(kinds))
	for i, kind := range kinds {
		begun[i] = c.begin(kind, loopback.Hold(c.home))
	}
	for _, n := range begun {
		c.ready(n)
	}
}

// begin starts a node that will serve at an address.
func (c *cluster) begin(kind, addr string) *node {
	c.t.Helper()
	n := &node{kind: kind, addr: addr}
	_, port, _ := strings.Cut(addr, ":")
	args := append([]string{kind, "redis://" + c.redis.Addr, port}, namespaces...)
	var p *process.Process
	if n.isGo() {
		p = startGo(c.home, args...)
	} else {
		p = process.Node(c.home, "server.mjs", args...)
	}
	n.script = &script{Process: p, name: kind}
	return n
}

// ready waits until a node has joined the cluster.
func (c *cluster) ready(n *node) {
	c.t.Helper()
	var word string
	n.Read(c.t, &word)
	require.Equal(c.t, "ready", word)
	same := 0
	for _, other := range c.nodes {
		if other.kind == n.kind {
			same++
		}
	}
	n.script = converse(c.home, fmt.Sprint(n.kind, same+1), n.Process, nil)
	c.nodes = append(c.nodes, n)
}

// eventually waits until look, which also says what it sees, reports true.
func (c *cluster) eventually(look func() (seen any, ok bool), want string, args ...any) {
	c.t.Helper()
	late := time.NewTimer(patience)
	defer late.Stop()
	again := time.NewTicker(5 * time.Millisecond)
	defer again.Stop()
	for {
		seen, ok := look()
		if ok {
			return
		}
		select {
		case <-again.C:
		case <-late.C:
			c.t.Fatalf("%v, want %s", seen, fmt.Sprintf(want, args...))
		}
	}
}

// servers returns the nodes that have clients.
func (c *cluster) servers() (list []*node) {
	for _, n := range c.nodes {
		if n.serves() {
			list = append(list, n)
		}
	}
	return list
}

// first returns the first node for which holds is true.
func (c *cluster) first(holds func(*node) bool) *node {
	c.t.Helper()
	i := slices.IndexFunc(c.nodes, holds)
	require.GreaterOrEqual(c.t, i, 0, "no such node")
	return c.nodes[i]
}

func (c *cluster) ofKind(kind string) *node {
	c.t.Helper()
	return c.first(func(n *node) bool { return n.kind == kind })
}

// populate gives the given nodes, or all, clients from npm: three in "/" and one in
// "/chat". Our nodes get as many clients of our own.
func (c *cluster) populate(nodes ...*node) {
	c.t.Helper()
	if len(nodes) == 0 {
		nodes = c.servers()
	}
	for _, n := range nodes {
		for _, suffix := range []string{"", " plain"} {
			if suffix != "" && !n.isGo() {
				continue
			}
			c.connect(n, "/", "a"+suffix, append([]string{"r1"}, oddRooms...)...)
			c.connect(n, "/", "b"+suffix, "r1", "r2")
			c.connect(n, "/", "c"+suffix)
			c.connect(n, "/chat", "d"+suffix, "r1")
		}
	}
}

// connect adds a client, with rooms and data.
func (c *cluster) connect(n *node, namespace, name string, rooms ...string) *client {
	c.t.Helper()
	cl := &client{name: n.name + "/" + name, node: n, namespace: namespace, rooms: slices.Sorted(slices.Values(rooms)), events: make(chan event, 1<<16)}
	if strings.HasSuffix(name, " plain") {
		cl.connectPlain(c.home)
	} else {
		cl.npm = c.npm
		c.mu.Lock()
		c.byNPM[cl.name] = cl
		c.mu.Unlock()
		c.npm.do(c.t, "connect", order{"client": cl.name, "url": "http://" + n.addr + namespace, "mute": cl.mute()}, nil)
		c.connected(cl)
	}
	c.enter(cl)
	c.clients = append(c.clients, cl)
	return cl
}

// connected waits until a client from npm is connected, and learns its id.
func (c *cluster) connected(cl *client) {
	c.t.Helper()
	for {
		e, err := cl.next()
		require.NoError(c.t, err)
		if id, ok := strings.CutPrefix(string(e), "(connect) "); ok {
			cl.id = parse([]byte(id)).([]any)[0].(string)
			return
		}
	}
}

// enter moves a client that has connected into its rooms.
func (c *cluster) enter(cl *client) {
	c.t.Helper()
	for _, room := range cl.rooms {
		cl.ask(c.t, "join", room)
	}
	cl.data = map[string]any{"name": cl.name, "list": []any{1.5, "数", nil}}
	cl.ask(c.t, "data", cl.data)
}

// target selects clients of a namespace. The room "@own/a" is the id of the
// publisher's client a. "@other/a" is that of a node in the other language if there
// is one, otherwise of any other node.
type target struct {
	namespace     string
	rooms, except []string
}

// from returns the target as a publisher means it.
func (c *cluster) from(publisher *node, to target) target {
	c.t.Helper()
	own, other := publisher, c.other(publisher)
	if !own.serves() {
		own = c.servers()[0]
	}
	resolve := func(rooms []string) []string {
		rooms = append([]string{}, rooms...) // commands have no null
		for i, room := range rooms {
			if name, ok := strings.CutPrefix(room, "@own"); ok {
				rooms[i] = c.client(own.name + name).id
			} else if name, ok := strings.CutPrefix(room, "@other"); ok {
				rooms[i] = c.client(other.name + name).id
			}
		}
		return rooms
	}
	return target{cmp.Or(to.namespace, "/"), resolve(to.rooms), resolve(to.except)}
}

// other returns a node with clients that is not n, in the other language if there
// is one.
func (c *cluster) other(n *node) *node {
	c.t.Helper()
	for _, candidate := range c.servers() {
		if candidate.isGo() != n.isGo() {
			return candidate
		}
	}
	return c.first(func(candidate *node) bool { return candidate != n && candidate.serves() })
}

// order returns the target in the form that commands have.
func (to target) order() order {
	return order{"namespace": to.namespace, "rooms": to.rooms, "except": to.except}
}

func (c *cluster) client(name string) *client {
	c.t.Helper()
	i := slices.IndexFunc(c.clients, func(cl *client) bool { return cl.name == name })
	require.GreaterOrEqual(c.t, i, 0, "no client %s", name)
	return c.clients[i]
}

// selected returns the clients that a target selects.
func (c *cluster) selected(to target) (list []*client) {
	for _, cl := range c.clients {
		in := func(room string) bool { return room == cl.id || slices.Contains(cl.rooms, room) }
		if cl.namespace == to.namespace && (len(to.rooms) == 0 || slices.ContainsFunc(to.rooms, in)) && !slices.ContainsFunc(to.except, in) {
			list = append(list, cl)
		}
	}
	return list
}

// settle waits until everything that a node has published so far has arrived
// everywhere, and returns what each client has received. That something does not
// arrive is known because something later did: the second fence is published when
// everybody has the first, so what Redis sends back to a publisher comes before it.
func (c *cluster) settle(from *node) map[*client][]event {
	c.t.Helper()
	another := c.other(from)
	got := make(map[*client][]event)
	for _, n := range []*node{from, another} {
		c.fences++
		for _, namespace := range []string{"/", "/chat"} {
			n.do(c.t, "emit", order{"namespace": namespace, "event": "fence", "args": []any{c.fences}}, nil)
		}
		for _, cl := range c.clients {
			before, err := cl.until(cl.wants("fence", []any{float64(c.fences)}))
			require.NoError(c.t, err, "after what %s has published", n.name)
			got[cl] = append(got[cl], before...)
		}
	}
	return got
}

// compare fails the test unless each client has received exactly what it should, in
// order. It reports the first client of each kind of node that has not.
func (c *cluster) compare(want, got map[*client][]event) {
	c.t.Helper()
	told := make(map[string]bool)
	for _, cl := range c.clients {
		if kind := cl.node.kind; !slices.Equal(want[cl], got[cl]) && !told[kind] {
			told[kind] = true
			c.t.Errorf("%s received\n%.1000s\nwant\n%.1000s", cl.name, words(got[cl]), words(want[cl]))
		}
	}
}

func words(events []event) string { return fmt.Sprintf("%d events: %q", len(events), events) }

// member is a client as nodes find it.
type member struct {
	ID    string          `json:"id"`
	Rooms []string        `json:"rooms"`
	Data  json.RawMessage `json:"data"`
}

func (m member) String() string {
	return fmt.Sprintf("%s in %q with %s", m.ID, m.Rooms, canonical(parse(m.Data)))
}

// found compares what each node finds with which clients there are.
func (c *cluster) found(to target) {
	c.t.Helper()
	want := make(map[string]string)
	for _, cl := range c.selected(to) {
		data, _ := json.Marshal(cl.data)
		want[cl.id] = member{cl.id, cl.rooms, data}.String()
	}
	for _, n := range c.servers() {
		var members []member
		n.do(c.t, "find", to.order(), &members)
		got := make(map[string]string)
		for _, m := range members {
			got[m.ID] = m.String()
		}
		require.Len(c.t, members, len(got), "%s found somebody twice", n.name)
		for _, id := range slices.Sorted(maps.Keys(want)) {
			if got[id] != want[id] {
				c.t.Errorf("%s found %q, want %q", n.name, got[id], want[id])
			}
			delete(got, id)
		}
		require.Empty(c.t, got, "%s found those beside", n.name)
	}
}

// without returns the elements of a list for which gone is false.
func without[T any](list []T, gone func(T) bool) []T {
	return slices.DeleteFunc(slices.Clone(list), gone)
}
