package cluster

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/redis/rueidis"
	"github.com/stretchr/testify/require"
)

// traffic receives everything that is published in a cluster. It subscribes to
// patterns, because those do not count when nodes count each other.
type traffic struct {
	client rueidis.Client
	heard  chan rueidis.PubSubMessage
	marks  int
	ofRow  map[string]map[string][]string // by the kind of node and the row's name
}

func (c *cluster) listen() {
	c.t.Helper()
	client, err := rueidis.NewClient(c.option())
	require.NoError(c.t, err)
	c.home.Cleanup(client.Close)
	c.traffic = &traffic{client: client, heard: make(chan rueidis.PubSubMessage, 1<<20), ofRow: make(map[string]map[string][]string)}
	conn, release := client.Dedicate()
	c.home.Cleanup(release)
	subscribed := make(chan struct{}, 1)
	conn.SetPubSubHooks(rueidis.PubSubHooks{
		OnMessage:      func(m rueidis.PubSubMessage) { c.traffic.heard <- m },
		OnSubscription: func(rueidis.PubSubSubscription) { subscribed <- struct{}{} },
	})
	require.NoError(c.t, conn.Do(c.t.Context(), conn.B().Psubscribe().Pattern("socket.io*").Build()).Error())
	<-subscribed
}

// option returns how to reach the cluster's Redis.
func (c *cluster) option() rueidis.ClientOption {
	return rueidis.ClientOption{InitAddress: []string{c.redis.Addr}, DisableCache: true, ConnWriteTimeout: 2 * patience}
}

// publish publishes a message in a channel.
func (tr *traffic) publish(t *testing.T, channel, message string) {
	t.Helper()
	require.NoError(t, tr.client.Do(t.Context(), tr.client.B().Publish().Channel(channel).Message(message).Build()).Error())
}

// publishAll publishes messages in no particular order, as fast as Redis takes
// them.
func (tr *traffic) publishAll(t *testing.T, messages map[string]rueidis.PubSubMessage) {
	t.Helper()
	var commands rueidis.Commands
	for _, m := range messages {
		commands = append(commands, tr.client.B().Publish().Channel(m.Channel).Message(m.Message).Build())
	}
	for _, result := range tr.client.DoMulti(t.Context(), commands...) {
		require.NoError(t, result.Error())
	}
}

// since returns what was published since it was last called.
func (tr *traffic) since(t *testing.T) (list []rueidis.PubSubMessage) {
	t.Helper()
	tr.marks++
	mark := fmt.Sprint(tr.marks)
	tr.publish(t, "socket.io mark", mark)
	late := time.NewTimer(patience)
	defer late.Stop()
	for {
		select {
		case m := <-tr.heard:
			if m.Channel != "socket.io mark" {
				list = append(list, m)
			} else if m.Message == mark {
				return list
			}
		case <-late.C:
			require.Fail(t, "the traffic is not heard")
		}
	}
}

// keep records what a node has published for a row, up to its fence. clients are
// those that were there before the row.
func (c *cluster) keep(n *node, row string, clients []*client) {
	c.t.Helper()
	var list []string
	for _, m := range c.traffic.since(c.t) {
		if strings.Contains(m.Message, "\xa5fence") {
			break
		}
		list = append(list, c.anonymous(n, m, clients))
	}
	if c.traffic.ofRow[n.kind] == nil {
		c.traffic.ofRow[n.kind] = make(map[string][]string)
	}
	c.traffic.ofRow[n.kind][row] = list
}

// anonymous returns a message as any node would have published it: without its uid,
// and with whose they are in place of clients' ids.
func (c *cluster) anonymous(n *node, m rueidis.PubSubMessage, clients []*client) string {
	text := m.Channel + " " + withoutUID(m.Message)
	for _, cl := range clients {
		switch cl.node {
		case n:
			text = strings.ReplaceAll(text, cl.id, fmt.Sprintf("%20s", "own "+cl.name[len(cl.name)-1:]))
		case c.other(n):
			text = strings.ReplaceAll(text, cl.id, fmt.Sprintf("%20s", "other "+cl.name[len(cl.name)-1:]))
		}
	}
	return text
}

// withoutUID removes the six characters that a broadcast or a request begins with.
func withoutUID(message string) string {
	for _, head := range []string{"\x93\xa6", `{"uid":"`} {
		if rest, ok := strings.CutPrefix(message, head); ok {
			return head + "uid..." + rest[6:]
		}
	}
	return message
}

// ownBytes are the rows in which our bytes differ from those of Node.js.
var ownBytes = map[string]string{
	"dates near and far": "a time of Go is text",
	"a date":             "a time of Go is text",
	"odd keys":           "JavaScript has keys that are numbers first",
}

// sameBytes compares what nodes of two kinds have published for each row.
func (c *cluster) sameBytes(node, ours string) {
	c.t.Helper()
	compared := 0
	for row, want := range c.traffic.ofRow[node] {
		got, ok := c.traffic.ofRow[ours][row]
		if !ok || ownBytes[row] != "" {
			continue
		}
		compared++
		c.run("bytes of "+row, func() {
			require.NotEmpty(c.t, got)
			require.Len(c.t, got, len(want))
			for i := range want {
				if got[i] != want[i] {
					c.t.Fatalf("message %d is\n%s\nand Node's is\n%s", i, around(got[i], want[i]), around(want[i], got[i]))
				}
			}
		})
	}
	require.Greater(c.t, compared, 50)
}

// around shows where a message begins to differ from another.
func around(s, other string) string {
	at := 0
	for at < min(len(s), len(other)) && s[at] == other[at] {
		at++
	}
	from, to := max(at-40, 0), min(at+40, len(s))
	var b bytes.Buffer
	fmt.Fprintf(&b, "%d bytes, different from %d on: %.80q", len(s), at, s[from:to])
	return b.String()
}
