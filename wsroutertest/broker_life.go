package wsroutertest

import (
	"bytes"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"reflect"
	"strings"
	"time"

	"github.com/wsrouter/wsrouter"
	"github.com/wsrouter/wsrouter/broker"
	"github.com/wsrouter/wsrouter/payload"
)

// contentCases are about what arrives.
var contentCases = []brokerCase{
	{"Arguments", 5, "Arguments arrive unchanged: how many there are, text, numbers, structure.", testArguments},
	{"ByteArguments", 5, "Bytes arrive as bytes, wherever they are in an argument.", testByteArguments},
	{"Big", 5, "A message of 500,000 bytes arrives.", testBig},
	{"OperationsAreReadOnly", 5, "Neither side modifies an Operation.", testOperationsAreReadOnly},
	{"Garbage", 9, "What is not an Operation is dropped and counted, and what follows arrives.", testGarbage},
}

// lifeCases are about how nodes come and go.
var lifeCases = []brokerCase{
	{"Subscribe", 6, "What is published once Subscribe has returned arrives.", testSubscribe},
	{"Close", 8, "A closed subscription neither publishes nor receives; others go on.", testClose},
	{"Shutdown", 8, "A router that has shut down leaves the cluster; others go on.", testShutdown},
	{"Leaks", 8, "Nothing is left of a closed subscription.", testLeaks},
}

func testArguments(s *stage) {
	type object = map[string]any
	a, b := s.join(), s.join()
	l := listen(s, b.Router, "room")
	for _, args := range [][]any{
		{}, {nil}, {1}, {1, "two", nil}, {[]any{1, 2}}, {[]any{1}, []any{}}, {[]any{}}, {object{}},
		{0, -1, 127, 128, 255, 256, -32768, 65536, int64(-2147483649), int64(1 << 32), int64(1<<53 - 1), int64(-(1<<53 - 1))},
		{0.5, -1.25, 1e300, 5e-324, 3.0, 0.1}, {true, false},
		{"", "Zürich", "数据不能为空！", "👩‍🚀 🏳️‍🌈", "<b>&amp;</b>", "\u2028\u2029", "\x00\x1f\x7f", `"\/`, "\\u0041", "\ufffd"},
		{object{"a": object{"b": []any{object{"c": nil}}}, "": 1, "ключ": "значение", "a.b": true}},
		{object{"_placeholder": true, "num": 0}, object{"type": "Buffer", "data": []any{1, 2}}},
		{"2026-01-02T03:04:05.678Z", time.Date(2026, 1, 2, 3, 4, 5, 678e6, time.UTC)},
		{json.RawMessage(` { "spaced" : [ 1 , 2.50 ] } `)},
		{strings.Repeat("é", 20), strings.Repeat("x", 255), strings.Repeat("y", 65536), make([]int, 20), make([]int, 70000)},
	} {
		s.must(a.To("room").Emit("args", args...))
		l.wants(spell("args", args...))
	}
	for _, name := range []string{"a b", "événement", "message", "🚀", "#", "exception", "x\x00y"} {
		s.must(a.Emit(name, 1))
		l.wants(spell(name, 1))
	}
	s.silence(routers("", a), l)
}

func testByteArguments(s *stage) {
	type blob struct {
		Name string
		Data []byte
	}
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i)
	}
	a, b := s.join(), s.join()
	l := listen(s, b.Router, "room")
	for _, args := range [][]any{
		{all}, {[]byte{}}, {[]byte("text"), "text", []byte{0}},
		{blob{"a", all}, blob{"b", []byte{1, 2, 3}}},
		{map[string]any{"list": []any{[]byte{1}, 2, []byte{3, 4}, map[string][]byte{"deep": all}}}},
		{[][]byte{{1}, {}, {2}}, 1.5, "AQID"}, {bytes.Repeat(all, 300)},
	} {
		s.must(a.To("room").Emit("bytes", args...))
		l.wants(spell("bytes", args...))
	}
	s.silence(routers("", a), l)
}

func testBig(s *stage) {
	a, b := s.join(), s.join()
	l := listen(s, b.Router, "room")
	text, data := strings.Repeat("0123456789", 50_000), bytes.Repeat([]byte{0, 255}, 250_000)
	s.must(a.Emit("big", text))
	l.wants(spell("big", text))
	s.must(b.To("nobody").Emit("small")) // while the subscription is under way
	s.must(a.To("room").Emit("big", data))
	l.wants(spell("big", data))
	s.silence(routers("", a), l)
}

func testOperationsAreReadOnly(s *stage) {
	publisher, _, far := s.bare()
	ops := func() (list []*broker.Operation) {
		to := broker.Selection{Rooms: []string{"a", "room"}, Except: []string{"b", "c"}}
		for _, arg := range []any{"text <>& ü", 1.0, []byte{1, 2, 3}, map[string]any{"b": []byte{4}, "a": []any{nil, true}}} {
			encoded, err := payload.Encode(arg)
			s.must(err)
			list = append(list, &broker.Operation{Kind: broker.OpEmit, To: to, Event: "e", Args: []payload.Value{encoded, encoded}})
		}
		return append(list,
			&broker.Operation{Kind: broker.OpJoin, To: to, Rooms: []string{"z", "y"}},
			&broker.Operation{Kind: broker.OpLeave, To: to, Rooms: []string{"z", "y"}},
			&broker.Operation{Kind: broker.OpDisconnect, To: broker.Selection{Rooms: []string{"nobody"}}, Reason: "bye"},
		)
	}
	published := ops()
	for _, op := range published {
		s.must(publisher.Publish(op))
	}
	for range 4 {
		far.next("the emits")
	}
	s.must(publisher.Publish(&broker.Operation{Kind: broker.OpEmit, Event: "last"}))
	far.wants("last")
	for i, want := range ops() {
		if !reflect.DeepEqual(published[i], want) {
			s.Fatalf("after being published the operation is %+v, want %+v", published[i], want)
		}
	}
}

// bare returns a subscription that no router uses, a connection of its namespace,
// and one on another node. Both connections are in "room".
func (s *stage) bare() (sub broker.Subscription, near, far *listener) {
	s.Helper()
	r, n := s.bystander()
	sub, err := s.Join(s).Subscribe(s.Context(), n)
	s.must(err)
	s.Cleanup(func() { sub.Close() })
	return sub, listen(s, r, "room"), listen(s, s.join().Router, "room")
}

func testGarbage(s *stage) {
	if s.BrokerCluster.Garbage == nil {
		s.Log("this cluster has no Garbage, so that is not tested")
		return
	}
	a, b := s.join(), s.join()
	la, lb := listen(s, a.Router, "room"), listen(s, b.Router, "room")
	messages := garbage()
	for _, m := range messages {
		s.BrokerCluster.Garbage(m)
	}
	for i := range 100 {
		s.must(a.To("room").Emit("after", i))
		la.wants(spell("after", i))
		lb.wants(spell("after", i))
	}
	s.silence(routers("", a, b), la, lb)
	members, err := a.Find(s.Context())
	if err != nil || len(members) != 2 {
		s.Fatalf("found %d connections, want 2 (%v)", len(members), err)
	}
	if stats, ok := b.stats(); ok && stats.Malformed < int64(len(messages))/2 {
		s.Fatalf("%d messages were counted as malformed, want most of %d", stats.Malformed, len(messages))
	}
}

// garbage returns what no broker takes for an operation: nothing, text, truncated
// JSON and msgpack, lengths and depths that do not match, and noise.
func garbage() [][]byte {
	list := [][]byte{
		nil, []byte("x"), []byte("garbage"), []byte("{"), []byte("{}"), []byte("[]"), []byte("null"), []byte("0"), []byte(`""`),
		[]byte(`{"type":`), []byte(`{"type":{}}`), []byte(`{"Kind":"1","kind":[]}`), []byte(`[1,2,3]`),
		{0x00}, {0xc0}, {0xc1}, {0x80}, {0x90}, {0x93, 0xc0, 0xc0, 0xc0}, {0x93, 0xa0, 0x80, 0x80},
		{0x93, 0xa6, 'n', 'o', 'b', 'o', 'd', 'y', 0x81, 0xa4, 'd', 'a', 't', 'a', 0x91, 0xa1, 'e', 0xc0, 0xc0},
		{0xdc, 0xff, 0xff}, {0xdd, 0xff, 0xff, 0xff, 0xff}, {0xdf, 0xff, 0xff, 0xff, 0xff}, {0xc6, 0xff, 0xff, 0xff, 0xff}, {0xdb, 0x7f, 0xff, 0xff, 0xff},
		bytes.Repeat([]byte{0x91}, 100_000), bytes.Repeat([]byte{0x81, 0xa1, 'a'}, 100_000),
		bytes.Repeat([]byte{'['}, 100_000), bytes.Repeat([]byte(`{"a":`), 100_000), bytes.Repeat([]byte{0xff}, 1000),
	}
	noise := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		b := make([]byte, noise.IntN(64))
		for i := range b {
			b[i] = byte(noise.Uint32())
		}
		list = append(list, b)
	}
	return list
}

func testSubscribe(s *stage) {
	a := s.join()
	listen(s, a.Router)
	for i := range 20 {
		r, n := s.bystander()
		l := listen(s, r)
		sub, err := s.Join(s).Subscribe(s.Context(), n)
		s.must(err)
		s.must(a.Emit("first", i))
		l.wants(spell("first", i))
		s.must(sub.Close())
	}
}

func testClose(s *stage) {
	sub, near, far := s.bare()
	other := s.join()
	third := listen(s, other.Router, "room")
	hello := &broker.Operation{Kind: broker.OpEmit, Event: "hello"}
	s.must(sub.Publish(hello))
	far.wants("hello")
	third.wants("hello")
	s.returns("Close", time.Minute, func() { s.must(sub.Close()) })
	for _, op := range []*broker.Operation{hello, {Kind: broker.OpJoin, Rooms: []string{"wrong"}}} {
		if err := sub.Publish(op); !errors.Is(err, wsrouter.ErrUnreached) {
			s.Fatalf("Publish after Close returned %v, want ErrUnreached", err)
		}
	}
	if finder, ok := sub.(broker.Finder); ok {
		if _, err := finder.Find(s.Context(), broker.Selection{}); !errors.Is(err, wsrouter.ErrUnreached) {
			s.Fatalf("Find after Close returned %v, want ErrUnreached", err)
		}
	}
	for i := range 10 { // near has no fence: it must hear nothing
		s.must(other.To("room").Emit("who is there?", i))
		far.wants(spell("who is there?", i))
		third.wants(spell("who is there?", i))
	}
	s.silence(routers("", other), far, third)
	s.rest()
	select {
	case got := <-near.heard:
		s.Fatalf("heard %s after Close", got)
	default:
	}
	sub.Close() // may be closed repeatedly
}

func testShutdown(s *stage) {
	a, b, c := s.join("/chat"), s.join("/chat"), s.join("/chat")
	listen(s, a.Router)
	lb, lc := listen(s, b.Router), listen(s, c.Router)
	listen(s, c.at("/chat"))
	chat := listen(s, b.at("/chat"))
	s.must(a.Shutdown(s.Context()))
	s.must(b.Emit("still here"))
	lb.wants("still here")
	lc.wants("still here")
	members, err := b.Find(s.Context())
	if err != nil || len(members) != 2 {
		s.Fatalf("found %d connections, want 2 (%v)", len(members), err)
	}
	s.must(c.at("/chat").Shutdown(s.Context())) // one namespace of its node
	s.must(c.Emit("partly"))
	lb.wants("partly")
	lc.wants("partly")
	if err := c.at("/chat").To("room").Join("wrong"); !errors.Is(err, wsrouter.ErrUnreached) {
		s.Fatalf("Join on a closed namespace returned %v, want ErrUnreached", err)
	}
	s.silence(routers("/chat", b), chat)
}

func testLeaks(s *stage) {
	const times = 50
	b := s.Join(s)
	_, n := s.bystander()
	around := func() {
		sub, err := b.Subscribe(s.Context(), n)
		s.must(err)
		s.must(sub.Publish(&broker.Operation{Kind: broker.OpEmit, Event: "hello"}))
		s.must(sub.Close())
	}
	around() // what the broker creates only once
	before := goroutines()
	for range times {
		around()
	}
	s.until("the goroutines of closed subscriptions have ended", func() bool { return goroutines() < before+times/2 })
}
