package cluster

import (
	"encoding/json"
	"slices"
	"time"

	"github.com/stretchr/testify/require"
)

// questions are asked of clients of all nodes, by broadcasts with acks.
var questions = []struct {
	name, args string
	to         target
}{
	{"of everybody", `["who?"]`, every},
	{"of a room", `[1]`, r1},
	{"of a union of rooms", `[{"a":[null,1.5]}]`, r1r2},
	{"of all but a room", `["who?"]`, target{except: []string{"r1"}}},
	{"of one client of another node", `["who?"]`, target{rooms: []string{"@other/b"}}},
	{"of nobody", `["who?"]`, target{rooms: []string{"none"}}},
	{"of a namespace", `["who?"]`, target{namespace: "/chat"}},
	{"of a namespace without clients", `["who?"]`, target{namespace: "/quiet"}},
	{"with bytes", `[{"$bytes":"AQID"}]`, r1},
	{"with bytes within", `[{"file":{"$bytes":"AQID"},"list":[{"$bytes":""}]}]`, r1},
	{"without an argument", `[]`, r1},
	{"with several arguments", `["a",[1],{"$bytes":"AQID"}]`, r1},
	{"unicode", `["数据 😀"]`, every},
}

// askAll asks the questions from a node of each kind.
func (c *cluster) askAll(kinds ...string) {
	c.t.Helper()
	for _, kind := range kinds {
		n := c.ofKind(kind)
		for _, q := range questions {
			c.run("acks/from "+kind+" "+q.name, func() {
				to := c.from(n, q.to)
				answers, err := c.ask(n, to, q.args, 2*patience)()
				require.NoError(c.t, err)
				require.Equal(c.t, c.answers(to, q.args), answers)
			})
		}
	}
	for _, n := range c.servers() {
		c.connect(n, "/", "mute", "mute")
	}
	to := c.from(c.servers()[0], target{rooms: []string{"mute", "r2"}})
	waits := make(map[string]func() ([]string, error)) // by kind: all time out together
	for _, kind := range kinds {
		waits[kind] = c.ask(c.ofKind(kind), to, `["who?"]`, muteTimeout)
	}
	for _, kind := range kinds {
		c.run("acks/from "+kind+" of some who are mute", func() {
			answers, err := waits[kind]()
			require.ErrorContains(c.t, err, "timed out")
			require.Equal(c.t, c.answers(to, `["who?"]`), answers)
		})
	}
}

// muteTimeout is much longer than the other clients take to answer.
const muteTimeout = 10 * time.Second

// ask makes a node ask. wait waits for the answers, and returns them in words,
// sorted.
func (c *cluster) ask(n *node, to target, args string, timeout time.Duration) (wait func() ([]string, error)) {
	c.t.Helper()
	command := to.order()
	command["event"], command["args"], command["timeout"] = "question", parse([]byte(args)), timeout.Milliseconds()
	answered := n.begin("ask", command)
	return func() ([]string, error) { return inWords(answered) }
}

func inWords(answered func(value any) error) (words []string, err error) {
	var answers json.RawMessage
	err = answered(&answers)
	if r, ok := err.(*refusal); ok {
		answers = r.value
	}
	words = []string{}
	if list, ok := parse(answers).([]any); ok {
		for _, a := range list {
			words = append(words, canonical(inJSON(a, false)))
		}
	}
	slices.Sort(words)
	return words, err
}

// answers returns what the selected clients answer.
func (c *cluster) answers(to target, args string) []string {
	words := []string{}
	for _, cl := range c.selected(to) {
		if cl.mute() {
			continue
		}
		var first any
		switch list := parse([]byte(args)).([]any); {
		case len(list) > 1 && cl.plain != nil: // an array, as far as the wire tells
			first = inJSON(list, true)
		case len(list) > 0: // only the first value of an ack goes over Redis
			first = inJSON(list[0], cl.plain != nil)
		}
		words = append(words, canonical(first))
	}
	slices.Sort(words)
	return words
}
