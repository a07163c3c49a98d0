package broker_test

import (
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wsrouter/wsrouter/broker"
)

// node records what is applied to it.
type node struct {
	broker.Node
	name string

	mu      sync.Mutex
	applied []string
}

func (n *node) Name() string { return n.name }

func (n *node) Apply(op *broker.Operation) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.applied = append(n.applied, op.Event)
	return nil
}

func (n *node) Members(broker.Selection) []broker.Member { return []broker.Member{{ID: n.name}} }

func TestMemory(t *testing.T) {
	var b broker.Memory
	nodes := []*node{{name: "/"}, {name: "/"}, {name: "/chat"}}
	var subs []broker.Subscription
	for _, n := range nodes {
		s, err := b.Subscribe(t.Context(), n)
		require.NoError(t, err)
		subs = append(subs, s)
	}
	require.NoError(t, subs[0].Publish(&broker.Operation{Event: "a"}))
	require.NoError(t, subs[1].Publish(&broker.Operation{Event: "b"}))
	require.NoError(t, subs[2].Publish(&broker.Operation{Event: "c"}))
	require.Equal(t, []string{"b"}, nodes[0].applied, "not to whoever publishes, nor from another namespace")
	require.Equal(t, []string{"a"}, nodes[1].applied)
	require.Empty(t, nodes[2].applied)
	found, err := subs[0].(broker.Finder).Find(t.Context(), broker.Selection{})
	require.NoError(t, err)
	require.Equal(t, []broker.Member{{ID: "/"}}, found)
	require.NoError(t, subs[0].Close())
	require.NoError(t, subs[0].Close())
	require.ErrorIs(t, subs[0].Publish(&broker.Operation{}), broker.ErrUnreached)
	_, err = subs[0].(broker.Finder).Find(t.Context(), broker.Selection{})
	require.ErrorIs(t, err, broker.ErrUnreached)
	require.NoError(t, subs[1].Publish(&broker.Operation{Event: "d"}))
	require.Equal(t, []string{"b"}, nodes[0].applied)
}

// TestMemoryRace checks that a node which stays receives everything while others
// come, publish and go.
func TestMemoryRace(t *testing.T) {
	var b broker.Memory
	stays := &node{name: "/"}
	_, err := b.Subscribe(t.Context(), stays)
	require.NoError(t, err)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 200 {
				s, err := b.Subscribe(t.Context(), &node{name: "/"})
				if err != nil || s.Publish(&broker.Operation{Event: "x"}) != nil || s.Close() != nil {
					t.Error("subscribing, publishing or closing failed")
				}
			}
		})
	}
	wg.Wait()
	require.Len(t, stays.applied, 8*200)
}
