package wsroutertest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/wsrouter/wsrouter"
	"github.com/wsrouter/wsrouter/payload"
)

// awayCases are about a network that is down. They need a cluster that can be cut.
var awayCases = []brokerCase{
	{"NoWait", 4, "Publish returns at once while the network is down. A bounded queue keeps what fits; the rest is dropped and counted.", cut(testNoWait)},
	{"SubscribeWhileAway", 6, "Subscribe returns nil within seconds while the network is down, and the node joins when it is back.", cut(testSubscribeWhileAway)},
	{"Unreached", 7, "While the network is down, operations on rooms return ErrUnreached, take effect on this process, and are not repeated later.", cut(testUnreached)},
	{"FindWhileAway", 7, "Find then returns the connections of this process, and ErrUnreached.", cut(testFindWhileAway)},
	{"Back", 7, "Nodes reconnect on their own. Nothing arrives twice or out of order.", cut(testBack)},
	{"CloseWhileAway", 8, "Nodes can be closed while the network is down.", cut(testCloseWhileAway)},
}

// cut wraps a case that needs to cut the network.
func cut(run func(s *stage)) func(s *stage) {
	return func(s *stage) {
		if s.Cut == nil || s.Heal == nil {
			s.Log("this cluster cannot be cut, so that is not tested")
			return
		}
		run(s)
	}
}

func testNoWait(s *stage) {
	const megabytes = 100
	a, b := s.join(), s.join()
	here, there := listen(s, a.Router, "here"), listen(s, b.Router)
	s.Cut()
	a.away()
	text, err := payload.Encode(strings.Repeat("x", 1_000_000))
	s.must(err)
	before, _ := a.stats()
	most := 0
	s.returns("publishing", 30*time.Second, func() {
		for i := range megabytes {
			a.To("there").Emit("much", text)
			a.To("here").Emit("here", i)
			if stats, ok := a.stats(); ok {
				most = max(most, stats.Queued)
			}
		}
	})
	for i := range megabytes {
		here.wants(spell("here", i))
	}
	if stats, ok := a.stats(); ok && (stats.Dropped == before.Dropped || most > megabytes/2*1_000_000) {
		s.Fatalf("%d bytes were queued and %d emits dropped of %d MB, want a bounded queue", most, stats.Dropped-before.Dropped, megabytes)
	}
	s.Heal()
	s.backAgain(a, there, "here")
}

// backAgain waits until what the node emits is heard again. Events of the other
// name may come before that.
func (s *stage) backAgain(n *node, l *listener, other string) {
	s.Helper()
	tries := 0
	s.until("nodes have reconnected", func() bool {
		tries++
		s.must(n.Emit("back", tries))
		for {
			select {
			case got := <-l.heard:
				if named(got, "back") {
					return true
				}
				if !named(got, other) {
					s.Fatalf("heard %s, want nothing but %q", short(got), other)
				}
			default:
				return false
			}
		}
	})
	s.fences++
	s.must(n.Emit("fence", s.fences))
	l.wantsFirst(spell("fence", s.fences), "back", other)
}

func testSubscribeWhileAway(s *stage) {
	a, broker := s.join(), s.Join(s)
	l := listen(s, a.Router)
	s.Cut()
	a.away()
	late := s.nodeOf(broker)
	var first *listener
	begin := time.Now()
	first = listen(s, late.Router) // subscribes
	if took := time.Since(begin); took > 15*time.Second {
		s.Fatalf("Subscribe took %v", took)
	}
	s.must(late.Except().Local().Emit("hello"))
	first.wants("hello")
	s.Heal()
	s.backAgain(a, first, "none")
	l.forget()
	s.backAgain(late, l, "none")
}

func testUnreached(s *stage) {
	a, b := s.join(), s.join()
	here, there := listen(s, a.Router, "room"), listen(s, b.Router, "room")
	s.Cut()
	a.away()
	if stats, ok := a.stats(); ok && stats.Away <= 0 {
		s.Fatal("BrokerStats.Away is zero while the network is down")
	}
	room := a.To("room")
	for what, err := range map[string]error{
		"Join":       room.Join("joined", "joined too"),
		"Leave":      room.Leave("joined too"),
		"Disconnect": a.To("nobody").Disconnect(wsrouter.CloseNormal, ""),
	} {
		if !errors.Is(err, wsrouter.ErrUnreached) {
			s.Fatalf("%s returned %v while the network is down, want ErrUnreached", what, err)
		}
	}
	if rooms := here.Rooms(); !slices.Equal(rooms, []string{"joined", "room"}) {
		s.Fatalf("the connection on this process is in %q, want joined and room", rooms)
	}
	s.must(room.Emit("here"))
	here.wants("here")
	if err := room.Disconnect(4001, "out"); !errors.Is(err, wsrouter.ErrUnreached) {
		s.Fatalf("Disconnect returned %v while the network is down, want ErrUnreached", err)
	}
	here.wantsEnd()
	s.Heal()
	s.until("room operations reach others again", func() bool { return a.To("room").Leave("nothing") == nil })
	s.backAgain(a, there, "here")
	if rooms := there.Rooms(); !slices.Equal(rooms, []string{"room"}) {
		s.Fatalf("the connection on the other node is in %q, want room: operations must not be queued", rooms)
	}
	s.until("BrokerStats.Away is zero again", func() bool {
		stats, _ := a.stats()
		return stats.Away == 0
	})
}

func testFindWhileAway(s *stage) {
	a, b := s.join(), s.join()
	here := listen(s, a.Router)
	listen(s, b.Router)
	s.Cut()
	a.away()
	ctx, cancel := context.WithTimeout(s.Context(), time.Second)
	defer cancel()
	var members []wsrouter.Member
	var err error
	s.returns("Find", 15*time.Second, func() { members, err = a.Find(ctx) })
	if !errors.Is(err, wsrouter.ErrUnreached) || len(members) != 1 || members[0].ID != here.ID() {
		s.Fatalf("found %d connections and %v, want the one on this process and ErrUnreached", len(members), err)
	}
	s.Heal()
	s.until("Find returns all connections", func() bool {
		members, err = a.Find(s.Context())
		return err == nil && len(members) == 2
	})
}

func testBack(s *stage) {
	a, b := s.join(), s.join()
	la, lb := listen(s, a.Router, "room"), listen(s, b.Router, "room")
	for round := range 3 {
		s.Cut()
		a.away()
		b.away()
		said := 0
		say := func() {
			said++
			s.must(a.To("room").Emit("said", round, said))
			la.wants(spell("said", round, said))
		}
		for range 100 {
			say()
		}
		s.Heal()
		heard, before := 0, said
		s.until("an emit arrives", func() bool {
			say()
			for {
				select {
				case got := <-lb.heard:
					heard = s.later(got, round, heard)
				default:
					return heard > before
				}
			}
		})
		for heard < said {
			heard = s.later(lb.next("the last emit"), round, heard)
		}
		s.backAgain(b, la, "none")
		lb.forget() // what its own node has emitted
	}
}

// later returns the number in what was heard, which must be higher than the last.
func (s *stage) later(got string, round, last int) int {
	s.Helper()
	var r, n int
	if _, err := fmt.Sscanf(got, "said %d %d", &r, &n); err != nil || r != round || n <= last {
		s.Fatalf("heard %s, want what was emitted after %d in round %d", got, last, round)
	}
	return n
}

func testCloseWhileAway(s *stage) {
	a, b, c := s.join("/chat"), s.join("/chat"), s.join()
	for _, n := range []*node{a, b} {
		listen(s, n.Router)
		listen(s, n.at("/chat"))
	}
	l := listen(s, c.Router)
	s.Cut()
	a.away()
	s.must(a.Emit("queued"))
	s.returns("Shutdown", 30*time.Second, func() { a.Shutdown(s.Context()) })
	if err := a.To("room").Join("wrong"); !errors.Is(err, wsrouter.ErrUnreached) {
		s.Fatalf("Join returned %v after Shutdown, want ErrUnreached", err)
	}
	s.Heal()
	select { // it may have been delivered already
	case got := <-l.heard:
		if got != "queued" {
			s.Fatalf("heard %s, want nothing, or what was queued", got)
		}
	default:
	}
	s.backAgain(b, l, "queued")
}
