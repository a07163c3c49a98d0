package wsroutertest_test

import (
	"bytes"
	"cmp"
	"context"
	"encoding/gob"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/wsrouter/wsrouter"
	"github.com/wsrouter/wsrouter/broker"
	"github.com/wsrouter/wsrouter/wsroutertest"
)

// wire is a network of brokers that can be cut and can have one of the faults in
// TestFaultsAreFound.
type wire struct {
	fault string

	mu     sync.Mutex // guards what follows, and the state of the nodes
	nodes  []*wireNode
	lastID int
	away   bool
	since  time.Time
}

// wireBroker is the broker of one process.
type wireBroker struct {
	*wire
	done  chan struct{} // closed at the end of the test
	stats broker.Stats
	queue []wireMessage // waits for the network
}

// wireNode handles what arrives, in one goroutine.
type wireNode struct {
	*wireBroker
	id       int
	node     broker.Node
	incoming [][]byte
	wake     chan struct{}
	closed   bool
	stop     chan struct{}
	ended    chan struct{}
	held     *broker.Operation // by a fault
	turn     int               // of a fault that occurs now and then
}

type wireMessage struct {
	From      int
	Namespace string
	Op        *broker.Operation
}

const wireQueue = 8 << 20

func newWire(fault string) *wsroutertest.BrokerCluster {
	w := &wire{fault: fault}
	return &wsroutertest.BrokerCluster{
		Join: w.join, Cut: w.cut, Heal: w.heal, Bubble: true,
		Garbage: func(message []byte) {
			w.mu.Lock()
			defer w.mu.Unlock()
			for _, n := range w.nodes {
				n.arriveLocked(message)
			}
		},
	}
}

func (w *wire) join(tb testing.TB) broker.Broker {
	b := &wireBroker{wire: w, done: make(chan struct{})}
	tb.Cleanup(func() { close(b.done) })
	return b
}

func (w *wire) cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.away, w.since = true, time.Now()
}

func (w *wire) heal() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.fault == "never comes back" {
		return
	}
	w.away = false
	seen := make(map[*wireBroker]bool)
	for _, n := range slices.Clone(w.nodes) {
		switch b := n.wireBroker; {
		case w.fault == "comes back twice":
			w.nodes = append(w.nodes, n)
			continue
		case w.fault == "comes back deaf":
			w.nodes = slices.DeleteFunc(w.nodes, func(other *wireNode) bool { return other == n })
			continue
		case seen[b]:
			continue
		case w.fault == "queue out of order":
			slices.Reverse(b.queue)
		}
		seen[n.wireBroker] = true
	}
	for b := range seen {
		for _, m := range b.queue {
			w.sendLocked(m)
		}
		b.queue, b.stats.Queued = nil, 0
	}
}

// sendLocked hands a message to the other nodes.
func (w *wire) sendLocked(m wireMessage) {
	var out bytes.Buffer
	if err := gob.NewEncoder(&out).Encode(m); err != nil {
		panic(err)
	}
	raw := out.Bytes()
	for _, n := range w.nodes {
		same := n.node.Name() == m.Namespace ||
			w.fault == "confuses namespaces" && strings.HasPrefix(n.node.Name(), m.Namespace)
		if !same || n.id == m.From && w.fault != "echoes" {
			continue
		}
		if w.fault == "its own routers apart" && slices.ContainsFunc(w.nodes, func(from *wireNode) bool {
			return from.id == m.From && from.wireBroker == n.wireBroker
		}) {
			continue
		}
		n.arriveLocked(raw)
	}
}

func (n *wireNode) arriveLocked(message []byte) {
	n.incoming = append(n.incoming, message)
	select {
	case n.wake <- struct{}{}:
	default:
	}
}

// stall simulates waiting for a network that is down.
func (b *wireBroker) stall() {
	select {
	case <-b.done:
	case <-time.After(2 * time.Hour):
	}
}

// Subscribe implements broker.Broker.
func (b *wireBroker) Subscribe(_ context.Context, node broker.Node) (broker.Subscription, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.lastID++
	n := &wireNode{
		wireBroker: b, id: b.lastID, node: node,
		wake: make(chan struct{}, 1), stop: make(chan struct{}), ended: make(chan struct{}),
	}
	switch {
	case b.fault == "Subscribe waits for the network" && b.away:
		b.mu.Unlock()
		b.stall()
		b.mu.Lock()
	case b.fault == "Subscribe fails while away" && b.away:
		return nil, wsrouter.ErrUnreached
	case b.fault == "subscribes late":
		time.AfterFunc(time.Second, func() {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.nodes = append(b.nodes, n)
		})
	default:
		b.nodes = append(b.nodes, n)
	}
	if b.fault == "leaks" {
		go func() { <-b.done }()
	}
	go n.run()
	return n, nil
}

// run applies what arrives until the node is closed or the test ends.
func (n *wireNode) run() {
	defer close(n.ended)
	for {
		select {
		case <-n.wake:
		case <-n.stop:
			return
		case <-n.done:
			return
		}
		n.mu.Lock()
		messages := n.incoming
		n.incoming = nil
		n.mu.Unlock()
		for _, raw := range messages {
			if !n.receive(raw) {
				return
			}
		}
	}
}

// receive handles a message. It returns false if the node ends.
func (n *wireNode) receive(raw []byte) (ok bool) {
	var m wireMessage
	if gob.NewDecoder(bytes.NewReader(raw)).Decode(&m) == nil && m.Op != nil {
		for _, op := range n.distort(m.Op) {
			n.node.Apply(op)
		}
		return true
	}
	switch n.fault {
	case "stops at garbage":
		return false
	case "emits garbage":
		n.node.Apply(&broker.Operation{Kind: broker.OpEmit, Event: "garbage"})
	case "does not count garbage":
		return true
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.stats.Malformed++
	return true
}

// Publish implements broker.Subscription.
func (n *wireNode) Publish(op *broker.Operation) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	m := wireMessage{n.id, n.node.Name(), op}
	switch {
	case n.closed && n.fault != "publishes after Close":
		return wsrouter.ErrUnreached
	case n.fault == "writes to operations":
		slices.Sort(op.Rooms)
	case n.fault == "rooms overtake" && op.Kind != broker.OpEmit:
		for _, other := range n.nodes {
			if other != n && other.node.Name() == m.Namespace {
				other.node.Apply(op)
			}
		}
		return nil
	}
	if !n.away {
		n.sendLocked(m)
		return nil
	}
	return n.awayLocked(m)
}

// awayLocked does what can be done with a message while the network is down.
func (n *wireNode) awayLocked(m wireMessage) error {
	size := len(m.Op.Event)
	for _, arg := range m.Op.Args {
		size += len(arg.JSON)
	}
	if m.Op.Kind != broker.OpEmit {
		n.stats.Dropped++
		switch n.fault {
		case "keeps operations":
			n.queue = append(n.queue, m)
		case "does not say unreached":
			return nil
		}
		return wsrouter.ErrUnreached
	}
	if n.fault == "Publish waits" {
		n.mu.Unlock()
		n.stall()
		n.mu.Lock()
	}
	if n.stats.Queued+size > wireQueue && n.fault != "no bound" {
		if n.fault != "drops without a count" {
			n.stats.Dropped++
		}
		return wsrouter.ErrUnreached
	}
	n.queue = append(n.queue, m)
	n.stats.Queued += size
	return nil
}

// Find implements broker.Finder.
func (n *wireNode) Find(_ context.Context, s broker.Selection) (found []broker.Member, err error) {
	n.mu.Lock()
	nodes, away := slices.Clone(n.nodes), n.away
	closed := n.closed
	n.mu.Unlock()
	switch {
	case n.fault == "finds nobody" || away && n.fault == "finds without an error":
		return nil, nil
	case closed && n.fault != "publishes after Close" || away:
		return nil, wsrouter.ErrUnreached
	}
	for _, other := range nodes {
		if (other != n || n.fault == "finds its own") && other.node.Name() == n.node.Name() {
			found = append(found, other.node.Members(s)...)
		}
	}
	for i := range found {
		switch n.fault {
		case "finds no data":
			found[i].Data = nil
		case "finds no rooms":
			found[i].Rooms = nil
		}
	}
	return found, nil
}

// Close implements broker.Subscription.
func (n *wireNode) Close() error {
	n.mu.Lock()
	if n.fault == "Close waits for the network" && n.away {
		n.mu.Unlock()
		n.stall()
		return nil
	}
	first := !n.closed
	n.closed = true
	n.nodes = slices.DeleteFunc(slices.Clone(n.nodes), func(other *wireNode) bool {
		return other == n || n.fault == "Close ends others" && other.node.Name() == n.node.Name()
	})
	if n.fault == "hears after Close" {
		n.nodes = append(n.nodes, n)
		first = false
	}
	n.mu.Unlock()
	if first {
		close(n.stop)
		<-n.ended
	}
	return nil
}

// BrokerStats implements broker.Reporter.
func (b *wireBroker) BrokerStats() broker.Stats {
	b.mu.Lock()
	defer b.mu.Unlock()
	stats := b.stats
	if b.away && b.fault != "does not say how long" || b.fault == "is always away" {
		stats.Away = cmp.Or(time.Since(b.since), 1)
	}
	return stats
}
