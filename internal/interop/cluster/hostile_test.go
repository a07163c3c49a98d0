package cluster

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/redis/rueidis"
	"github.com/stretchr/testify/require"
)

// oddities are what a program in Go may publish but one in JavaScript cannot, or
// would not. A node of Node.js ends its process if its decoder throws.
var oddities = []struct {
	name string
	do   func(to func(rooms ...string) anyTarget) error
}{
	{"text that is not UTF-8", emits("event", "a\xffb", map[string]any{"\xff": "\xc0"}, []byte("\xff"))},
	{"an event that is not UTF-8", emits("a\xffb", 1)},
	{"half a surrogate pair", emits("event", json.RawMessage(`["\ud800","\udc00\ud800",{"\ud800":1}]`))},
	{"a key twice", emits("event", json.RawMessage(`{"a":1,"a":{"b":2}}`))},
	{"keys of prototypes", emits("event", json.RawMessage(`{"__proto__":{"x":1},"constructor":1,"toJSON":2,"length":-1}`))},
	{"a number beyond all", emits("event", json.RawMessage(`[1e999,-1e999,-0,0e0,1E+2,1e-400]`))},
	{"spaces", emits("event", json.RawMessage(" [ 1 , { \"a\" :\n[ ] } , { } ]\t"))},
	{"deep", emits("event", json.RawMessage(nested(511)))},
	{"too deep", emits("event", json.RawMessage(nested(1000)))},
	{"placeholders", emits("event", json.RawMessage(`{"_placeholder":true,"num":0}`), json.RawMessage(`{"_placeholder":1}`))},
	{"a buffer in Node's JSON", emits("event", json.RawMessage(`{"type":"Buffer","data":[1,2]}`))},
	{"a long event", emits(long(100_000), 1)},
	{"many arguments", emits("event", make([]any, 1000)...)},
	{"a room that is not UTF-8", emitsTo("a\xffb")},
	{"a room without a name", emitsTo("")},
	{"a room of channels", emitsTo("#/#")},
	{"rooms twice", emitsTo("r1", "r1")},
	{"many rooms", emitsTo(many(10_000)...)},
	{"too many rooms", func(to func(...string) anyTarget) error {
		if to(many(70_000)...).Emit("event", 1) == nil {
			return errors.New("70,000 rooms were named at once")
		}
		return nil
	}},
	{"join of odd rooms", func(to func(...string) anyTarget) error {
		to("r1").Join("a\xffb", "#", "\x00", long(200)) // ours may refuse some
		return to("r1").Leave("a\xffb", "#", "\x00", long(200))
	}},
	{"join of nothing", func(to func(...string) anyTarget) error { return to("r1").Join() }},
	{"leave of nothing", func(to func(...string) anyTarget) error { return to("r1").Leave() }},
	{"disconnect of nobody", func(to func(...string) anyTarget) error { return to("a\xffb").Disconnect(1000, "\xff") }},
	{"reserved events", func(to func(...string) anyTarget) error {
		for _, event := range []string{"", "connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener"} {
			if to().Emit(event, 1) == nil {
				return fmt.Errorf("%q was published: the parser of clients refuses it", event)
			}
		}
		return nil
	}},
}

func emits(event string, args ...any) func(func(...string) anyTarget) error {
	return func(to func(...string) anyTarget) error {
		to().Emit(event, args...) // refusing it is right as well
		return nil
	}
}

func emitsTo(rooms ...string) func(func(...string) anyTarget) error {
	return func(to func(...string) anyTarget) error { return to(rooms...).Emit("event", rooms[0]) }
}

func nested(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }

func many(n int) []string {
	rooms := make([]string, n)
	for i := range rooms {
		rooms[i] = fmt.Sprint("room", i)
	}
	return rooms
}

// TestOddities publishes them from our nodes. Afterwards everybody is still there.
func TestOddities(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	c.start(kindRedis, kindIORedis, kindGo, kindGoEmitter)
	c.populate()
	for _, kind := range []string{kindGo, kindGoEmitter} {
		for i, odd := range oddities {
			passed := c.run("from "+kind+" "+odd.name, func() {
				n := c.ofKind(kind)
				n.do(c.t, "odd", order{"namespace": "/", "index": i}, nil)
				for cl, events := range c.settle(n) {
					for _, e := range events {
						require.NotContains(c.t, e, "(", "%s: a client came or went", cl.name)
					}
				}
			})
			if !passed {
				return
			}
		}
	}
	c.found(c.from(c.nodes[0], every))
	c.allStop()
}

// TestGarbage makes our nodes receive broken pieces of what nodes of Node.js say to
// each other, and nodes of Node.js receive what ours answered.
func TestGarbage(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	c.listen()
	said := c.conversation()
	c.start(kindGo, kindGo)
	c.populate()
	garbage := brokenPieces(said)
	c.traffic.publishAll(t, garbage)
	c.dismiss()
	c.populate()
	c.settle(c.nodes[0])
	var ours []rueidis.PubSubMessage
	for _, m := range c.traffic.since(t) {
		if _, ok := garbage[m.Channel+" "+m.Message]; !ok {
			ours = append(ours, m)
		}
	}
	t.Logf("%d broken messages; ours said %d", len(garbage), len(ours))
	require.Greater(t, len(ours), 100)
	c.play(c.nodes[0], row{to: r1, args: `["hi"]`})
	c.found(c.from(c.nodes[0], every))
	c.start(kindRedis, kindIORedis)
	for _, m := range ours {
		c.traffic.publish(t, m.Channel, m.Message)
	}
	c.dismiss()
	c.populate()
	c.play(c.ofKind(kindRedis), row{to: r1, args: `["hi"]`})
	c.play(c.ofKind(kindGo), row{to: r1, args: `["hi"]`})
	c.found(c.from(c.nodes[0], every))
	c.allStop()
}

// conversation returns what nodes of Node.js say to each other, and ends those
// nodes.
func (c *cluster) conversation() []rueidis.PubSubMessage {
	c.t.Helper()
	c.start(kindRedis, kindIORedis, kindEmitter)
	c.populate()
	for _, n := range c.nodes {
		for _, r := range table {
			if n.plays(r) && r.times == 0 && r.option != "large" && r.change != "disconnect" {
				to := c.from(n, r.to)
				if r.change == "" {
					c.emit(n, r, to, 0)
					continue
				}
				command := to.order()
				command["to"] = r.rooms
				n.do(c.t, r.change, command, nil)
			}
		}
	}
	c.settle(c.nodes[0])
	for i, n := range c.servers() {
		for _, q := range questions {
			c.ask(n, c.from(n, q.to), q.args, 2*patience)()
			n.do(c.t, "find", c.from(n, q.to).order(), nil)
		}
		c.tell(n, "/", i+1)
		n.do(c.t, "allRooms", order{"namespace": "/"}, nil)
	}
	c.nodes[0].do(c.t, "disconnect", c.from(c.nodes[0], every).order(), nil)
	said := c.traffic.since(c.t)
	c.dismiss()
	c.allStop()
	return said
}

// dismiss makes all clients leave, and waits until every node knows: by then it has
// also done what it was told before, which might have been meant for others.
func (c *cluster) dismiss() {
	c.t.Helper()
	for _, cl := range c.clients {
		cl.leave(c.t)
	}
	c.clients = nil
	for _, n := range c.servers() {
		for _, namespace := range namespaces {
			c.eventually(func() (any, bool) {
				var members []member
				n.do(c.t, "find", order{"namespace": namespace}, &members)
				return members, len(members) == 0
			}, "nobody, on %s in %s", n.name, namespace)
		}
	}
}

// brokenPieces returns messages in each of which something is wrong, the same each
// time.
func brokenPieces(said []rueidis.PubSubMessage) map[string]rueidis.PubSubMessage {
	const each = 10
	random := rand.New(rand.NewPCG(1, 2))
	pieces := make(map[string]rueidis.PubSubMessage)
	for _, m := range said {
		if len(m.Message) == 0 || len(m.Message) > 10_000 {
			continue
		}
		for range each {
			b := []byte(m.Message)
			from, to := random.IntN(len(b)), random.IntN(len(b))
			switch random.IntN(5) {
			case 0:
				b = b[:from]
			case 1:
				b[from] = byte(random.Uint32())
			case 2:
				b[from] ^= 1 << random.IntN(8)
			case 3:
				b = append(b[:min(from, to)], b[max(from, to):]...)
			case 4:
				b = append(b[:from], append([]byte(said[random.IntN(len(said))].Message), b[from:]...)...)
			}
			piece := rueidis.PubSubMessage{Channel: m.Channel, Message: string(b)}
			pieces[piece.Channel+" "+piece.Message] = piece
		}
	}
	return pieces
}
