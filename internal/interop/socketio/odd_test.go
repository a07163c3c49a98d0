package socketio

import (
	"encoding/json"
	"io"
	"log/slog"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wsrouter/wsrouter"
	"github.com/wsrouter/wsrouter/internal/interop/process"
)

// difference is what our server answers if that is not what Node's answers, and
// why.
type difference struct {
	node, ours []string
	why        string
}

// oddDifferences are those of node/odd.mjs.
var oddDifferences = map[string]difference{
	"connect twice": {
		node: closed, ours: []string{`40{"sid":"$sid"}`, "open"},
		why: "a usual mistake of clients, for which no other namespace has to go",
	},
	"connect twice, to another namespace": {
		node: []string{`40/other,{"sid":"$sid"}`, "close 1005"},
		ours: []string{`40/other,{"sid":"$sid"}`, `40/other,{"sid":"$sid"}`, "open"},
		why:  "a usual mistake of clients, for which no other namespace has to go",
	},
	"no array":             {node: []string{"open"}, ours: closed, why: "nothing is no array: as any other data that is none"},
	"an ack without an id": {node: []string{"open"}, ours: closed, why: "it can be of nothing"},
	"an ack without an array": {
		node: []string{"open"}, ours: closed,
		why: "nothing is no array: as any other data that is none",
	},
	"white space in the array": {
		node: []string{`430["x"]`, "open"}, ours: closed,
		why: "no client puts white space in front of the data",
	},
	"an ack's id that is used while it is open": {
		node: []string{`42$ack["question","x"]`, `435["y"]`, "open"}, ours: []string{`42$ack["question","x"]`, "close 1005"},
		why: "two requests of one id cannot be told apart",
	},
	"numbers at their limits": {
		node: []string{`42["events",[9007199254740991,1e+21,-0.5,1.5e-7]]`, "open"},
		ours: []string{`42["events",[9007199254740991,1e21,-0.5,1.5e-7]]`, "open"},
		why:  "JSON passes unchanged",
	},
	"text of every kind": {
		node: []string{`42["events","<&>é😀\n\"/é😀"]`, "open"},
		ours: []string{`42["events","<&>\u00e9\ud83d\ude00\n\"/é😀"]`, "open"},
		why:  "JSON passes unchanged",
	},
	"duplicate keys": {
		node: []string{`42["events",{"a":2}]`, "open"}, ours: []string{`42["events",{"a":1,"a":2}]`, "open"},
		why: "JSON passes unchanged",
	},
	"a placeholder used twice": {
		node: []string{`452-["echo",[{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]]`, "bytes 01", "bytes 01", "open"},
		ours: closed,
		why:  "few bytes could become many",
	},
	`the engine's packet "1"`: {
		node: []string{"open"}, ours: closed,
		why: "it says that the client goes; Node finds out when no pong comes",
	},
}

var closed = []string{"close 1005"}

// TestOddInput sends odd frames to Node's own Socket.IO server and to ours, and
// compares the answers, until the close.
func TestOddInput(t *testing.T) {
	process.Need(t, process.NPM("socket.io"), process.NPM("ws"))
	var reference string
	process.Node(t, "reference.mjs").Read(t, &reference)
	compare(t, "odd", reference, serveOwn(t, newOddRouter()), oddDifferences)
}

// compare plays cases of raw frames on two servers and compares the answers. Where
// ours has more to say it is waited for: the end of a stream comes when it comes,
// whatever the client sends meanwhile.
func compare(t *testing.T, cases, node, ours string, differences map[string]difference) {
	t.Helper()
	more := map[string]int{}
	for name, d := range differences {
		if len(d.ours) > len(d.node) {
			more[name] = len(d.ours) - 1 // without "open"
		}
	}
	counts, err := json.Marshal(more)
	require.NoError(t, err)
	var fromNode, fromOurs map[string][]string
	a, b := process.Node(t, "frames.mjs", cases, node), process.Node(t, "frames.mjs", cases, ours, string(counts))
	a.Read(t, &fromNode)
	b.Read(t, &fromOurs)
	require.Len(t, fromOurs, len(fromNode))
	for name := range differences {
		require.Contains(t, fromNode, name, "a difference of no case")
	}
	for name, want := range fromNode {
		t.Run(name, func(t *testing.T) {
			if d, ok := differences[name]; ok {
				require.Equal(t, d.node, want, "Node; the difference was: %s", d.why)
				require.NotEqual(t, d.node, d.ours, "no difference: %s", d.why)
				want = d.ours
			}
			require.Equal(t, want, fromOurs[name])
		})
	}
}

// newOddRouter has the events of node/reference.mjs.
func newOddRouter() *wsrouter.Router {
	router := wsrouter.New(&wsrouter.Options{Logger: slog.New(slog.NewTextHandler(io.Discard, nil))})
	for _, r := range []*wsrouter.Router{router, router.Namespace("/other")} {
		echo := func(c *wsrouter.Context) error {
			var v any
			if err := c.Bind(&v); err != nil {
				return err
			}
			return c.Reply(v)
		}
		r.On("events", func(c *wsrouter.Context) error {
			if c.Raw() == nil { // JSON has no undefined
				return c.Reply(json.RawMessage("null"))
			}
			return c.Reply(c.Value())
		})
		for _, event := range []string{"echo", "args", "1", "message", "connection"} {
			r.On(event, echo)
		}
		r.On("deep", func(c *wsrouter.Context) error { return c.Emit("deep", "seen") })
		r.On("ask", func(c *wsrouter.Context) error {
			c.Yield() // the client may send other events first
			var answer any
			if err := c.Conn().Call(c.Context(), "question", c.Value(), &answer); err != nil {
				return err
			}
			return c.Emit("answer", answer)
		})
	}
	return router
}
