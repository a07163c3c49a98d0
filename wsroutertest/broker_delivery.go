package wsroutertest

import (
	"encoding/json"
	"fmt"
	"slices"
	"sync"

	"github.com/wsrouter/wsrouter"
	"github.com/wsrouter/wsrouter/broker"
	"github.com/wsrouter/wsrouter/payload"
)

// deliveryCases are about who receives what another node publishes, and in which
// order.
var deliveryCases = []brokerCase{
	{"Delivery", 1, "What a node publishes reaches every other node once, and its own connections once.", testDelivery},
	{"ManyNodes", 1, "So it does among eight nodes that all publish.", testManyNodes},
	{"SharedBroker", 1, "Several routers with the same Broker are nodes like any others.", testSharedBroker},
	{"Namespaces", 1, "Nothing reaches a namespace with another name, however similar.", testNamespaces},
	{"Rooms", 1, "An emit reaches each connection in any of the rooms once, except the excluded ones.", testRooms},
	{"RoomNames", 1, "Any text may be the name of a room.", testRoomNames},
	{"Volatile", 1, "A volatile emit arrives where there is space.", testVolatile},
	{"JoinAndLeave", 1, "Connections of other nodes join and leave rooms.", testJoinAndLeave},
	{"Disconnect", 1, "Disconnect ends connections of other nodes, and only those selected.", testDisconnect},
	{"Find", 1, "Find returns the connections of all nodes with their rooms and data, each once.", testFind},
	{"OwnMessages", 2, "A node does not receive what it has published itself.", testOwnMessages},
	{"Order", 3, "What one goroutine publishes for the same rooms arrives in that order.", testOrder},
	{"OrderOfOperations", 3, "That holds for emits among joins and leaves.", testOrderOfOperations},
}

func testDelivery(s *stage) {
	nodes := s.nodes(3)
	var all []*listener
	for _, n := range nodes {
		all = append(all, listen(s, n.Router, "room"), listen(s, n.Router, "room"))
	}
	for _, n := range nodes {
		s.must(n.Emit("to all", 1))
		s.must(n.To("room").Emit("to a room", 2))
		for _, l := range all {
			l.wants(spell("to all", 1), spell("to a room", 2))
		}
	}
	s.silence(routers("", nodes...), all...)
}

func testManyNodes(s *stage) {
	const each = 20
	nodes := s.nodes(8)
	var all []*listener
	for _, n := range nodes {
		all = append(all, listen(s, n.Router))
	}
	var wg sync.WaitGroup
	for i, n := range nodes {
		wg.Go(func() {
			for k := range each {
				n.Emit("from", i, k)
			}
		})
	}
	wg.Wait()
	var want []string
	for i := range nodes {
		for k := range each {
			want = append(want, spell("from", i, k))
		}
	}
	for _, l := range all {
		l.wants(want...)
	}
	s.silence(routers("", nodes...), all...)
}

func testSharedBroker(s *stage) {
	broker := s.Join(s)
	a, b, c := s.nodeOf(broker), s.nodeOf(broker), s.join()
	la, lb, lc := listen(s, a.Router, "room"), listen(s, b.Router, "room"), listen(s, c.Router, "room")
	for i, n := range []*node{a, b, c} {
		s.must(n.To("room").Emit("from", i))
		for _, l := range []*listener{la, lb, lc} {
			l.wants(spell("from", i))
		}
		members, err := n.Find(s.Context())
		if err != nil || len(members) != 3 {
			s.Fatalf("node %d found %d connections, want 3 (%v)", i, len(members), err)
		}
	}
	s.must(a.Shutdown(s.Context()))
	s.must(b.Emit("goes on"))
	lb.wants("goes on")
	lc.wants("goes on")
}

func testNamespaces(s *stage) {
	names := []string{"/a", "/a/b", "/ab", "/a*", "/[ab]", "/a#b", "/A"}
	a, b := s.join(names...), s.join(names...)
	names = append(names, "/")
	heard := make(map[string]*listener)
	for _, name := range names {
		listen(s, a.at(name), "b", "room") // so that both nodes are there
		heard[name] = listen(s, b.at(name), "b", "room")
	}
	for _, name := range names {
		s.must(a.at(name).Emit("to all of", name))
		s.must(a.at(name).To("b").Emit("to a room of", name))
		s.must(a.at(name).To("b", "room").Emit("to rooms of", name))
	}
	for name, l := range heard {
		l.wants(spell("to all of", name), spell("to a room of", name), spell("to rooms of", name))
	}
	for name, l := range heard {
		s.silence(routers(name, a), l)
	}
}

func testRooms(s *stage) {
	a, b := s.join(), s.join()
	local := listen(s, a.Router, "x")
	x, y, both := listen(s, b.Router, "x"), listen(s, b.Router, "y"), listen(s, b.Router, "x", "y")
	all := []*listener{local, x, y, both}
	tests := []struct {
		name   string
		target wsrouter.Target
		heard  []*listener
	}{
		{"a room", a.To("x"), []*listener{local, x, both}},
		{"two rooms", a.To("x", "y"), all},
		{"a room that nobody is in", a.To("z"), nil},
		{"no rooms", a.To(), nil},
		{"an id", a.To(y.ID()), []*listener{y}},
		{"an id and its room", a.To(y.ID(), "y"), []*listener{y, both}},
		{"all but a room", a.Except("y"), []*listener{local, x}},
		{"all but two", a.Except("y", "x"), nil},
		{"a room but for another", a.To("x").Except("y"), []*listener{local, x}},
		{"two rooms but for an id", a.To("x", "y").Except(both.ID()), []*listener{local, x, y}},
		{"a room but for itself", a.To("x").Except("x"), nil},
		{"all but one's own", local.Others(), []*listener{x, y, both}},
	}
	for _, test := range tests {
		s.Log("to", test.name)
		s.must(test.target.Emit("hello", test.name))
		for _, l := range test.heard {
			l.wants(spell("hello", test.name))
		}
		s.silence(routers("", a, b), all...)
	}
}

func testRoomNames(s *stage) {
	a, b := s.join(), s.join()
	for _, name := range []string{
		"room:1", "a b", "#", "a#", "#a#b#", "*", "r[0-9]?", `\`, `"quoted"`, "комната", "部屋", "🚪", "a\x00b", "\n", "/chat", "emitter", "null", "0",
	} {
		in, out := listen(s, b.Router, name), listen(s, b.Router, "r1", "room")
		s.must(a.To(name).Emit("in", name))
		in.wants(spell("in", name))
		s.must(a.To(name, "no such room").Emit("in one of", name))
		in.wants(spell("in one of", name))
		s.must(a.Except(name).Emit("all but", name))
		out.wants(spell("all but", name))
		s.silence(routers("", a), in, out)
	}
}

func testVolatile(s *stage) {
	a, b := s.join(), s.join()
	l := listen(s, b.Router, "room")
	s.must(a.To("room").Volatile().Emit("soon", 1))
	s.must(a.Except().Volatile().Emit("soon", 2))
	l.wants(spell("soon", 1), spell("soon", 2))
	s.silence(routers("", a), l)
}

func testJoinAndLeave(s *stage) {
	a, b := s.join(), s.join()
	here, x, y := listen(s, a.Router, "x"), listen(s, b.Router, "x"), listen(s, b.Router, "y")
	rooms := func(l *listener, want ...string) {
		s.Helper()
		s.until(fmt.Sprintf("a connection is in %q", want), func() bool { return slices.Equal(l.Rooms(), want) })
	}
	s.must(a.To("x").Join("new", "newer"))
	rooms(here, "new", "newer", "x")
	rooms(x, "new", "newer", "x")
	s.must(b.To("new").Except(x.ID()).Leave("newer", "never joined"))
	rooms(here, "new", "x")
	s.must(a.Except("x").Join("new"))
	rooms(y, "new", "y")
	s.must(a.To(y.ID()).Leave("y"))
	rooms(y, "new")
	s.must(a.To().Join("wrong"))
	s.must(a.Except().Leave("new", "newer"))
	rooms(here, "x")
	rooms(x, "x")
	rooms(y)
}

func testDisconnect(s *stage) {
	a, b := s.join(), s.join()
	here, there := listen(s, a.Router, "user:1"), listen(s, b.Router, "user:1", "phone")
	phone, other := listen(s, b.Router, "phone"), listen(s, b.Router)
	s.must(a.To("user:1").Disconnect(4001, "signed out"))
	here.wantsEnd()
	there.wantsEnd()
	s.silence(routers("", a, b), phone, other)
	s.must(a.Except("phone").Disconnect(wsrouter.CloseNormal, ""))
	other.wantsEnd()
	s.silence(routers("", a, b), phone)
	s.must(a.To(phone.ID()).Disconnect(wsrouter.CloseNormal, ""))
	phone.wantsEnd()
}

func testFind(s *stage) {
	nodes := append(s.nodes(3), s.join())
	want := make(map[string]string)
	for i, n := range nodes[:3] { // the last node has no connection
		for k := range 2 {
			l := listen(s, n.Router, "room", fmt.Sprint("of ", i))
			s.must(l.SetData(map[string]any{"user": k, "text": "ž<>&", "list": []any{nil, true, 1.5}}))
			want[l.ID()] = fmt.Sprintf(`[of %d room] {"list":[null,true,1.5],"text":"ž<>&","user":%d}`, i, k)
		}
	}
	silent := listen(s, nodes[0].Router) // without rooms or data
	for i, n := range nodes {
		members, err := n.To("room").Find(s.Context())
		s.must(err)
		s.found(members, want)
		all, err := n.Find(s.Context())
		s.must(err)
		want[silent.ID()] = "[] null"
		s.found(all, want)
		delete(want, silent.ID())
		some, err := n.To("of 1").Except(silent.ID()).Find(s.Context())
		s.must(err)
		nobody, err := n.To("room").Except("room").Find(s.Context())
		s.must(err)
		if len(some) != 2 || len(nobody) != 0 {
			s.Fatalf("node %d found %d and %d connections, want 2 and 0", i, len(some), len(nobody))
		}
	}
}

// found fails the test unless these are the members.
func (s *stage) found(members []wsrouter.Member, want map[string]string) {
	s.Helper()
	if len(members) != len(want) {
		s.Fatalf("found %d connections, want %d", len(members), len(want))
	}
	for _, m := range members {
		var data any
		if m.Data != nil {
			s.must(json.Unmarshal(m.Data, &data))
		}
		raw, err := payload.AppendJSON(nil, data)
		s.must(err)
		if got := fmt.Sprint(m.Rooms) + " " + string(raw); got != want[m.ID] {
			s.Fatalf("found %s with %s, want %s", m.ID, got, want[m.ID])
		}
	}
}

func testOwnMessages(s *stage) {
	r, n := s.bystander()
	sub, err := s.Join(s).Subscribe(s.Context(), n)
	s.must(err)
	defer sub.Close()
	other := s.join()
	l, far := listen(s, r, "room"), listen(s, other.Router, "room")
	to := broker.Selection{Rooms: []string{"room"}}
	for _, op := range []broker.Operation{
		{Kind: broker.OpJoin, To: to, Rooms: []string{"joined"}},
		{Kind: broker.OpEmit, To: to, Event: "hello"},
		{Kind: broker.OpLeave, Rooms: []string{"room"}},
	} {
		s.must(sub.Publish(&op))
	}
	far.wants("hello")
	s.until("the other node's connection has left", func() bool { return slices.Equal(far.Rooms(), []string{"joined"}) })
	s.silence(routers("", other), l)
	if rooms := l.Rooms(); !slices.Equal(rooms, []string{"room"}) {
		s.Fatalf("the own connection is in %q, want room", rooms)
	}
	s.must(sub.Publish(&broker.Operation{Kind: broker.OpDisconnect}))
	far.wantsEnd()
	s.silence(routers("", other), l)
}

func testOrder(s *stage) {
	const goroutines, each = 4, 200
	a, b, c := s.join(), s.join(), s.join()
	l := listen(s, c.Router, "x", "y")
	type speaker struct {
		target wsrouter.Target
		name   string
	}
	var speakers []speaker
	for _, n := range []*node{a, b} {
		for i := range goroutines {
			for room, t := range map[string]wsrouter.Target{"x": n.To("x"), "x, y": n.To("x", "y"), "all": n.Except()} {
				speakers = append(speakers, speaker{t, fmt.Sprintf("%p %d %s", n, i, room)})
			}
		}
	}
	var wg sync.WaitGroup
	for _, sp := range speakers {
		wg.Go(func() {
			for k := range each {
				sp.target.Emit(sp.name, k)
			}
		})
	}
	wg.Wait()
	want := make(map[string]bool)
	for _, sp := range speakers {
		want[spell(sp.name, 0)] = true
	}
	next := make(map[string]string) // what must come after what was heard
	for _, sp := range speakers {
		for k := range each {
			next[spell(sp.name, k)] = spell(sp.name, k+1)
		}
	}
	for range len(speakers) * each {
		got := l.next("the next event of one of the publishers")
		if !want[got] {
			s.Fatalf("heard %s out of order", got)
		}
		delete(want, got)
		want[next[got]] = true
	}
	s.silence(routers("", a, b), l)
}

// The listener in the room hears what is for connections that are not in "flag"
// only once it has been taken out of "flag".
func testOrderOfOperations(s *stage) {
	a, b := s.join(), s.join()
	l := listen(s, b.Router, "room")
	room := a.To("room")
	for i := range 200 {
		s.must(room.Join("flag"))
		s.must(room.Except("flag").Emit("wrong", i))
		s.must(room.Leave("flag"))
		s.must(room.Except("flag").Emit("right", i))
	}
	for i := range 200 {
		l.wants(spell("right", i))
	}
	s.silence(routers("", a), l)
}
