package wsroutertest

import (
	"log/slog"
	"net/http"
	"runtime"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wsrouter/wsrouter"
)

// BrokerCluster is where the nodes of one case of [TestBroker] meet.
type BrokerCluster struct {
	// Join returns the broker of one more process: one with connections of its
	// own, where there are such. It is closed by tb's cleanup, which runs after
	// its routers have been closed.
	Join func(tb testing.TB) wsrouter.Broker

	// Cut parts all brokers from each other, as a network that is down, and Heal
	// mends that. Brokers may take a minute to notice either. Nil if that cannot
	// be done; then what is promised for it is not tested.
	Cut, Heal func()

	// Garbage has every broker receive a message of these bytes wherever it
	// receives any. Nil if there is no such way.
	Garbage func(message []byte)

	// Bubble runs the case in a testing/synctest bubble, begun after the cluster
	// was made: for brokers that use no network.
	Bubble bool
}

// TestBroker holds a [wsrouter.Broker] to what its documentation promises. Each
// case is a subtest with a cluster of its own, and logs the promise that it
// checks: -v shows them. Times only say when it gives up: that something does not
// arrive it concludes from what was sent after it and has arrived.
//
//	func TestBroker(t *testing.T) {
//		wsroutertest.TestBroker(t, func(tb testing.TB) *wsroutertest.BrokerCluster {
//			broker := new(wsrouter.MemoryBroker)
//			return &wsroutertest.BrokerCluster{
//				Join:   func(testing.TB) wsrouter.Broker { return broker },
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
	promise int // its number in the documentation of wsrouter.Broker
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

// stage is where one case plays.
type stage struct {
	testing.TB
	*BrokerCluster
	fences int
}

// node is a router with a broker.
type node struct {
	*wsrouter.Router
	stage  *stage
	broker wsrouter.Broker
}

// join adds a node of a process of its own, with namespaces below "/".
func (s *stage) join(namespaces ...string) *node {
	s.Helper()
	return s.nodeOf(s.Join(s), namespaces...)
}

// nodes adds n.
func (s *stage) nodes(n int) (all []*node) {
	s.Helper()
	for range n {
		all = append(all, s.join())
	}
	return all
}

func (s *stage) nodeOf(broker wsrouter.Broker, namespaces ...string) *node {
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

// until waits for a condition that nothing announces. What reaches for a network
// looks from time to time.
func (s *stage) until(what string, condition func() bool) {
	s.Helper()
	deadline := time.NewTimer(time.Minute)
	defer deadline.Stop()
	for pause := time.Millisecond; !condition(); pause = min(2*pause, 100*time.Millisecond) {
		select {
		case <-deadline.C:
			s.Fatalf("waited in vain until %s", what)
		case <-time.After(pause):
		}
	}
}

// returns runs fn, which must return in time, and fails the test if it does not.
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
		s.Fatalf("%s takes longer than %v", what, within)
	}
}

// silence proves that the listeners, all of one namespace, are not about to hear
// anything: each node there says something, which is what they hear next.
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

// rest lets all arrive that is under way, where that can be known.
func (s *stage) rest() {
	if s.Bubble {
		synctest.Wait()
	}
}

// routers are the nodes' namespaces of a name; "" is "/".
func routers(name string, nodes ...*node) (rs []*wsrouter.Router) {
	for _, n := range nodes {
		r := n.Router
		if name != "" {
			r = r.Lookup(name)
		}
		rs = append(rs, r)
	}
	return rs
}

// stats returns what the broker tells of itself, if it does.
func (n *node) stats() (wsrouter.BrokerStats, bool) {
	reporter, ok := n.broker.(wsrouter.BrokerReporter)
	if !ok {
		return wsrouter.BrokerStats{}, false
	}
	return reporter.BrokerStats(), true
}

// away waits until the node knows that the network is away.
func (n *node) away() {
	n.stage.Helper()
	n.stage.until("the node knows that the network is away", func() bool { return n.To("nobody").Leave("nothing") != nil })
}

// listen connects somebody to a namespace, in these rooms.
func listen(s *stage, r *wsrouter.Router, rooms ...string) *listener {
	s.Helper()
	l := &listener{tb: s, in: make(chan struct{}), heard: make(chan string, 1<<16), closing: make(chan struct{})}
	request, err := http.NewRequest(http.MethodGet, "/", nil)
	s.must(err)
	link, err := r.NewLink(l, wsrouter.LinkOptions{Request: request})
	s.must(err)
	l.link = link
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		<-l.closing
		link.End(&wsrouter.CloseError{Code: wsrouter.CloseNormal, Cause: wsrouter.CausePeer})
	}()
	s.Cleanup(func() {
		l.Abort()
		<-ended
	})
	l.Conn, err = link.Join(r, l, nil)
	s.must(err)
	<-l.in
	s.must(l.Join(rooms...))
	return l
}

// goroutines returns how many there are, once those that are about to end had
// their chance.
func goroutines() int {
	for range 100 {
		runtime.Gosched()
	}
	return runtime.NumGoroutine()
}
