package wsroutertest

import (
	"context"
	"log/slog"
	"net/http"
	"runtime"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wsrouter/wsrouter"
	"github.com/wsrouter/wsrouter/adapter"
	"github.com/wsrouter/wsrouter/broker"
)

// BrokerCluster is the network on which the nodes of one case of [TestBroker] meet.
type BrokerCluster struct {
	// Join returns the broker of one more process, with connections of its own if
	// brokers of this kind have any. Close it in tb's cleanup, which runs after its
	// routers have been closed.
	Join func(tb testing.TB) broker.Broker

	// Cut separates all brokers from each other, like a network that is down; Heal
	// undoes that. Brokers may take a minute to notice either. If they are nil,
	// promises about outages are not tested.
	Cut, Heal func()

	// Garbage makes every broker receive a message of these bytes wherever it
	// receives any. If it is nil, promises about malformed input are not tested.
	Garbage func(message []byte)

	// Bubble runs the case in a testing/synctest bubble that starts after the
	// cluster was made. Set it for brokers that use no network.
	Bubble bool
}

// TestBroker checks that a [broker.Broker] keeps the promises in its documentation.
// Each case is a subtest with its own cluster and logs the promise it checks: -v
// shows them. Timeouts only decide when to give up; that something does not arrive
// is concluded from what was sent after it and has arrived.
//
//	func TestBroker(t *testing.T) {
//		wsroutertest.TestBroker(t, func(tb testing.TB) *wsroutertest.BrokerCluster {
//			broker := new(broker.Memory)
//			return &wsroutertest.BrokerCluster{
//				Join:   func(testing.TB) broker.Broker { return broker },
//				Bubble: true,
//			}
//		})
//	}
func TestBroker(t *testing.T, newCluster func(tb testing.TB) *BrokerCluster) {
	for _, c := range brokerCases() {
		t.Run(c.name, func(t *testing.T) {
			cluster := newCluster(t)
			if cluster.Bubble {
				synctest.Test(t, func(t *testing.T) { c.test(t, cluster) })
			} else {
				c.test(t, cluster)
			}
		})
	}
}

// brokerCase is one way to break a promise.
type brokerCase struct {
	name    string
	promise int // its number in the documentation of broker.Broker
	text    string
	run     func(s *stage)
}

func brokerCases() []brokerCase {
	return slices.Concat(deliveryCases, contentCases, lifeCases, awayCases)
}

func (c brokerCase) test(tb testing.TB, cluster *BrokerCluster) {
	tb.Logf("promise %d: %s", c.promise, c.text)
	c.run(&stage{TB: tb, BrokerCluster: cluster})
}

// stage is where one case runs.
type stage struct {
	testing.TB
	*BrokerCluster
	fences int
}

// node is a router with a broker.
type node struct {
	*wsrouter.Router
	stage  *stage
	broker broker.Broker
}

// join adds a node in a process of its own, with namespaces below "/".
func (s *stage) join(namespaces ...string) *node {
	s.Helper()
	return s.nodeOf(s.Join(s), namespaces...)
}

// nodes adds n nodes.
func (s *stage) nodes(n int) (all []*node) {
	s.Helper()
	for range n {
		all = append(all, s.join())
	}
	return all
}

func (s *stage) nodeOf(broker broker.Broker, namespaces ...string) *node {
	s.Helper()
	r := wsrouter.New(&wsrouter.Options{Broker: broker, Logger: slog.New(slog.DiscardHandler)})
	for _, name := range namespaces {
		r.Namespace(name)
	}
	s.Cleanup(func() { r.Close() })
	return &node{r, s, broker}
}

// must fails the test if something that should work did not.
func (s *stage) must(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

// until waits for a condition that nothing announces. It polls if a network is
// involved.
func (s *stage) until(what string, condition func() bool) {
	s.Helper()
	deadline := time.NewTimer(time.Minute)
	defer deadline.Stop()
	for pause := time.Millisecond; !condition(); pause = min(2*pause, 100*time.Millisecond) {
		select {
		case <-deadline.C:
			s.Fatalf("gave up waiting until %s", what)
		case <-time.After(pause):
		}
	}
}

// returns runs fn and fails the test if fn does not return in time.
func (s *stage) returns(what string, within time.Duration, fn func()) {
	s.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		fn()
	}()
	timeout := time.NewTimer(within)
	defer timeout.Stop()
	select {
	case <-done:
	case <-timeout.C:
		s.Fatalf("%s took longer than %v", what, within)
	}
}

// silence proves that the listeners, all of one namespace, are not about to hear
// anything: each node emits something, which must be what they hear next.
func (s *stage) silence(from []*wsrouter.Router, listeners ...*listener) {
	s.Helper()
	s.rest()
	var fences []string
	for _, r := range from {
		s.fences++
		s.must(r.Emit("fence", s.fences))
		fences = append(fences, spell("fence", s.fences))
	}
	for _, l := range listeners {
		l.wants(fences...)
	}
}

// rest lets everything under way arrive, if there is a bubble to tell when.
func (s *stage) rest() {
	if s.Bubble {
		synctest.Wait()
	}
}

// routers returns the nodes' namespaces of that name; "" means "/".
func routers(name string, nodes ...*node) (rs []*wsrouter.Router) {
	for _, n := range nodes {
		rs = append(rs, n.at(name))
	}
	return rs
}

// at returns a namespace of the node; "" means "/".
func (n *node) at(name string) *wsrouter.Router {
	if name == "" || name == "/" {
		return n.Router
	}
	return n.Namespace(name)
}

// stats returns the broker's Stats, if it reports any.
func (n *node) stats() (broker.Stats, bool) {
	reporter, ok := n.broker.(broker.Reporter)
	if !ok {
		return broker.Stats{}, false
	}
	return reporter.BrokerStats(), true
}

// away waits until the node knows that the network is down.
func (n *node) away() {
	n.stage.Helper()
	n.stage.until("the node knows that the network is down", func() bool { return n.To("nobody").Leave("nothing") != nil })
}

// listen connects a client to a namespace, in these rooms.
func listen(s *stage, r *wsrouter.Router, rooms ...string) *listener {
	s.Helper()
	l := &listener{tb: s, in: make(chan string, 1), heard: make(chan string, 1<<16), closing: make(chan struct{})}
	request, err := http.NewRequest(http.MethodGet, "/", nil)
	s.must(err)
	l.link, err = r.Adapter().NewLink(l, adapter.LinkOptions{Request: request})
	s.must(err)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		<-l.closing
		<-l.link.End(adapter.End{Code: wsrouter.CloseNormal, Cause: adapter.CausePeer})
	}()
	s.Cleanup(func() {
		l.Abort()
		<-ended
	})
	_, err = l.link.Join(r, l, nil)
	s.must(err)
	id := <-l.in
	for c := range r.To(id).Conns() {
		l.Conn = c
	}
	s.must(l.Join(rooms...))
	return l
}

// bystander returns a router and its node, for the caller to subscribe. Its own
// Broker reaches nobody, so whatever arrives at it comes from that subscription.
func (s *stage) bystander() (*wsrouter.Router, broker.Node) {
	s.Helper()
	nodes := make(capture, 1)
	r := wsrouter.New(&wsrouter.Options{Broker: nodes})
	s.Cleanup(func() { r.Close() })
	s.must(r.Emit("wake")) // subscribes
	return r, <-nodes
}

// capture is a Broker that hands its node to the test.
type capture chan broker.Node

func (c capture) Subscribe(_ context.Context, n broker.Node) (broker.Subscription, error) {
	c <- n
	return alone{}, nil
}

// alone is a Subscription without other nodes.
type alone struct{}

func (alone) Publish(*broker.Operation) error { return nil }
func (alone) Close() error                    { return nil }

// goroutines returns how many there are, after giving those that are about to end a
// chance to do so.
func goroutines() int {
	for range 100 {
		runtime.Gosched()
	}
	return runtime.NumGoroutine()
}
