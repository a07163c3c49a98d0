package wsrouter_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wsrouter/wsrouter"
	"github.com/wsrouter/wsrouter/broker"
	"github.com/wsrouter/wsrouter/wsroutertest"
)

// numbered returns n names of rooms.
func numbered(n int) []string {
	list := make([]string, n)
	for i := range list {
		list[i] = fmt.Sprint("room:", i)
	}
	return list
}

// Naming one room often, or many rooms with the same members, does not multiply the
// cost.
func TestWhatASelectionHoldsIsNoProduct(t *testing.T) {
	const members, shared = 200, 500
	router := wsrouter.New(benchOptions())
	conns, _ := connectSinks(t, router, members)
	names := numbered(shared)
	for _, c := range conns {
		require.NoError(t, c.Join(names...))
	}
	often := slices.Repeat(names[:1], 240_000)
	for name, fn := range map[string]func() int{
		"a room often":        func() int { return len(slices.Collect(router.To(often...).Conns())) },
		"except often":        func() int { return members - len(slices.Collect(router.Except(often...).Conns())) },
		"from another node":   func() int { return wsrouter.SelectedBy(router, broker.Selection{Rooms: often}) },
		"the same members":    func() int { return len(slices.Collect(router.To(names...).Conns())) },
		"all, except members": func() int { return members - len(slices.Collect(router.Except(names...).Conns())) },
	} {
		found := 0
		bytes := allocated(func() { found = fn() })
		assert.Equal(t, members, found, name)
		assert.Less(t, bytes, uint64(1<<19), name)
	}
	var sent broker.Operation
	node := inCluster(brokerFunc(func(context.Context, broker.Node) (broker.Subscription, error) {
		return publish(func(op *broker.Operation) { sent = *op }), nil
	}))
	require.NoError(t, node.To(often...).Except(often...).Leave(often...))
	want := names[:1]
	assert.Equal(t, broker.Operation{Kind: broker.OpLeave, Rooms: want, To: broker.Selection{Rooms: want, Except: want}}, sent)
}

// publish is a subscription made of one function.
type publish func(op *broker.Operation)

func (p publish) Publish(op *broker.Operation) error { p(op); return nil }
func (p publish) Close() error                       { return nil }

func TestASelectionNames10000RoomsAtMost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		published := 0
		router := inCluster(brokerFunc(func(context.Context, broker.Node) (broker.Subscription, error) {
			return publish(func(*broker.Operation) { published++ }), nil
		}))
		clients, conns := crowd(t, router, 1)
		names := numbered(10_001)
		require.NoError(t, conns[0].Join(names[0]))
		half, rest := names[:5_000], names[5_000:]

		for name, target := range map[string]wsrouter.Target{
			"at the limit": router.To(names[1:]...).To(names[1:]...),
			"in two steps": router.To(half[1:]...).Except(rest...),
		} {
			require.NoError(t, target.Emit("nobody"), name)
			require.NoError(t, target.To(names[1]).Leave("x"), name)
		}
		require.Equal(t, 4, published)
		for name, target := range map[string]wsrouter.Target{
			"one more":    router.To(names...),
			"except":      router.Except(names...),
			"both":        router.To(half...).Except(rest...),
			"both ways":   router.Except(half...).To(rest...),
			"more later":  router.To(names...).To(names[0]).Except("x"),
			"by a client": conns[0].To(names[1:]...),
		} {
			overlong(t, name, target)
		}
		assert.ErrorContains(t, wsrouter.NodeOf(router).Apply(&broker.Operation{
			Kind: broker.OpEmit, Event: "n", To: broker.Selection{Rooms: names},
		}), "more than 10000 rooms")
		assert.Equal(t, []string{names[0]}, conns[0].Rooms())
		assert.Equal(t, 4, published)
		clients[0].ExpectNothing()
	})
}

// overlong requires that a Target does nothing and says why.
func overlong(t *testing.T, name string, target wsrouter.Target) {
	t.Helper()
	_, errCall := target.Call(context.Background(), "n", 1)
	members, errFind := target.Find(context.Background())
	for op, err := range map[string]error{
		"Emit": target.Emit("n"), "Call": errCall, "Find": errFind, "Join": target.Join("new"),
		"Leave": target.Leave("room:0"), "Disconnect": target.Disconnect(1000, ""),
	} {
		var ws *wsrouter.WsError
		require.ErrorAs(t, err, &ws, "%s: %s", name, op)
		assert.Equal(t, wsrouter.CodeTooMany, ws.Code)
		assert.Equal(t, "more than 10000 rooms named at once", ws.Message)
	}
	assert.Empty(t, members, name)
	assert.Empty(t, slices.Collect(target.Conns()), name)
}

// A client whose list is passed on is told what is wrong with it.
func TestAClientNamesTooManyRooms(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		router := newRouterWith(&wsrouter.Options{MaxMessage: -1, InboxBytes: -1})
		router.On("tell", func(c *wsrouter.Context) error {
			var rooms []string
			if err := c.Bind(&rooms); err != nil {
				return err
			}
			return c.To(rooms...).Emit("told")
		})
		client := wsroutertest.Connect(t, router, nil)
		var ws *wsrouter.WsError
		require.ErrorAs(t, client.Call(t.Context(), "tell", numbered(10_000), nil), &ws) // and its own
		assert.Equal(t, wsrouter.CodeTooMany, ws.Code)
		require.NoError(t, client.Call(t.Context(), "tell", numbered(9_999), nil))
	})
}

// TestSelectionsAreSets compares with the definition: few and many names, some
// repeated, some of no room.
func TestSelectionsAreSets(t *testing.T) {
	router := wsrouter.New(benchOptions())
	conns, _ := connectSinks(t, router, 30)
	some := func(n int) (list []string) {
		for range rand.IntN(n) {
			list = append(list, fmt.Sprint("room:", rand.IntN(40)))
		}
		return list
	}
	for _, c := range conns {
		require.NoError(t, c.Join(some(20)...))
	}
	in := func(c *wsrouter.Conn, list []string) bool {
		return slices.ContainsFunc(append(c.Rooms(), c.ID()), func(room string) bool { return slices.Contains(list, room) })
	}
	for range 100 {
		to, except := append(some(30), conns[rand.IntN(30)].ID()), append(some(12), conns[rand.IntN(30)].ID())
		for _, all := range []bool{false, true} {
			target := router.To(to[:len(to)/2]...).Except(except[:len(except)/2]...).To(to...).Except(except...)
			if all {
				target = router.Except(except...)
			}
			got := slices.Collect(target.Conns())
			for _, c := range conns {
				want := 0
				if (all || in(c, to)) && !in(c, except) {
					want = 1
				}
				n := len(slices.DeleteFunc(slices.Clone(got), func(other *wsrouter.Conn) bool { return other != c }))
				require.Equal(t, want, n, "to %q except %q: %q", to, except, c.Rooms())
			}
		}
		c, list := conns[rand.IntN(30)], some(30)
		stay := slices.DeleteFunc(c.Rooms(), func(room string) bool { return slices.Contains(list, room) })
		c.Leave(list...)
		require.True(t, slices.Equal(stay, c.Rooms()), "%q left %q", list, c.Rooms())
		require.NoError(t, router.To(c.ID()).Join(some(20)...))
	}
}
