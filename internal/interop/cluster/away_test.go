package cluster

import (
	"fmt"
	"strings"
	"testing"

	"github.com/redis/rueidis"
	"github.com/stretchr/testify/require"
)

// TestRedisRestarts kills Redis under a mixed cluster. The nodes serve their own
// clients meanwhile, and find each other when it is back.
func TestRedisRestarts(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	c.start(kindRedis, kindIORedis, kindNest, kindGo, kindGo)
	for _, n := range c.nodes {
		c.connect(n, "/", "a", "r1")
	}
	c.found(c.from(c.nodes[0], every))
	subscribed := c.subscriptions()
	c.redis.Stop()
	ours := c.ofKind(kindGo)
	ours.do(t, "emit", order{"namespace": "/", "event": "alone", "args": []any{}}, nil)
	for _, cl := range c.clients {
		if cl.node == ours {
			e, err := cl.next()
			require.NoError(t, err)
			require.Equal(t, cl.wants("alone", []any{}), e)
		}
	}
	c.redis.Restart()
	c.eventually(func() (any, bool) { n := c.subscriptions(); return n, n == subscribed }, "%d subscriptions", subscribed)
	// What was emitted while Redis was down may arrive now, or not.
	for _, n := range c.nodes {
		for cl, events := range c.settle(n) {
			for _, e := range events {
				require.Equal(t, cl.wants("alone", []any{}), e, cl.name)
			}
		}
	}
	for _, n := range c.nodes {
		c.play(n, row{to: r1, args: `["hi"]`, times: 10})
	}
	c.found(c.from(c.nodes[0], every))
	c.allStop()
}

// subscriptions counts those of all connections of Redis; it is -1 while Redis is
// down.
func (c *cluster) subscriptions() (count int) {
	client, err := rueidis.NewClient(c.option())
	if err != nil {
		return -1
	}
	defer client.Close()
	list, err := client.Do(c.t.Context(), client.B().ClientList().TypePubsub().Build()).ToString()
	if err != nil {
		return -1
	}
	for field := range strings.FieldsSeq(list) {
		var n int
		for _, name := range []string{"sub=%d", "psub=%d"} {
			if found, _ := fmt.Sscanf(field, name, &n); found == 1 {
				count += n
			}
		}
	}
	return count
}
