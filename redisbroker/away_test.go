package redisbroker_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wsrouter/wsrouter/broker"
	"github.com/wsrouter/wsrouter/internal/redistest"
	"github.com/wsrouter/wsrouter/redisbroker"
)

// An emit made while Redis is unreachable may arrive late, but nobody is moved or
// disconnected late: such an operation is forgotten even if it was accepted before
// anybody noticed.
func TestRoomOperationsAreNotKept(t *testing.T) {
	server := redistest.Start(t)
	proxy := server.NewProxy(t)
	a := newNode(t, newBroker(t, proxy.Addr, &redisbroker.Options{RequestTimeout: 3 * time.Second}))
	b := newNode(t, newBroker(t, server.Addr, nil))
	connect(t, a)
	client := connect(t, b)

	proxy.Hold()
	text := strings.Repeat("x", 300<<10) // too large to share a batch with what follows
	require.NoError(t, a.To("room").Emit("in flight", text))
	require.NoError(t, a.To("room").Join("late"))
	require.NoError(t, a.To("room").Emit("kept"))
	eventually(t, func() bool { return a.Stats().Broker.Away > 0 && a.Stats().Broker.Dropped >= 2 })
	proxy.Heal()
	for client.Next(nil) != "kept" {
	}
	assert.False(t, hasRoom(b, "late"))
	eventually(t, func() bool { return a.Stats().Broker.Queued == 0 })
}

// Subscribe waits for Redis for 3 s, but not for a namespace that no longer wants
// to be a node.
func TestSubscribeReturnsWhenItsContextEnds(t *testing.T) {
	proxy := redistest.Start(t).NewProxy(t)
	proxy.Hold()
	b := newBroker(t, proxy.Addr, nil)
	node := bystander(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	begin := time.Now()
	sub, err := b.Subscribe(ctx, node)
	assert.Less(t, time.Since(begin), 3*time.Second)
	require.NoError(t, err)
	require.NoError(t, sub.Close())
	assert.ErrorIs(t, sub.Publish(&broker.Operation{Kind: broker.OpEmit, Event: "late"}), broker.ErrUnreached)
}

// The log reports a change, not each message.
func TestRefusedMessagesAreLoggedOnce(t *testing.T) {
	addr := redistest.Start(t).Addr
	admin := newClient(t, addr)
	acl := func(rule string) {
		command := admin.B().Arbitrary("ACL", "SETUSER", "node", "on", "nopass", "~*", "&*", "+@all", rule).Build()
		require.NoError(t, admin.Do(t.Context(), command).Error())
	}
	acl("+publish")
	log := new(lines)
	option := optionFor(addr)
	option.Username, option.Password = "node", "any"
	broker, err := redisbroker.New(option, &redisbroker.Options{Logger: log.logger()})
	require.NoError(t, err)
	t.Cleanup(func() { broker.Close() })
	r := newNode(t, broker)
	connect(t, r)
	before := broker.BrokerStats().Published

	acl("-publish")
	for range 2 {
		for range 100 {
			require.NoError(t, r.To("room").Emit("secret"))
			require.NoError(t, r.Emit("secret"))
		}
		eventually(t, func() bool { return broker.BrokerStats().Queued == 0 })
	}
	assert.EqualValues(t, 400, broker.BrokerStats().Dropped)
	assert.Equal(t, 1, log.count("refuses messages"))
	acl("+publish")
	require.NoError(t, r.Emit("secret"))
	eventually(t, func() bool { return broker.BrokerStats().Published > before })
	acl("-publish")
	require.NoError(t, r.Emit("secret"))
	eventually(t, func() bool { return log.count("refuses messages") == 2 })
	assert.Zero(t, log.count("secret"), "no content in logs")
	acl("+publish")
}

// Redis may end connections, for example those that read too slowly. Everything
// recovers, and requests do not fail because of a connection that is gone.
func TestRedisEndsConnections(t *testing.T) {
	addr := redistest.Start(t).Addr
	states := make(chan error, 100)
	tell := redisbroker.Options{OnState: func(err error) { states <- err }}
	ofA, ofB := tell, tell
	a, b := newNode(t, newBroker(t, addr, &ofA)), newNode(t, newBroker(t, addr, &ofB))
	client := connect(t, a)
	connect(t, b)
	admin := newClient(t, addr)
	for _, kind := range []string{"pubsub", "normal"} {
		kill := admin.B().Arbitrary("CLIENT", "KILL", "TYPE", kind, "SKIPME", "yes").Build()
		require.NoError(t, admin.Do(t.Context(), kill).Error())
		away := 0
		for range 4 { // both end, and reconnect
			if err := <-states; err != nil {
				away++
			}
		}
		require.Equal(t, 2, away)
		require.NoError(t, b.Emit(kind))
		client.Expect(kind, nil)
		members, err := a.Find(t.Context())
		require.NoError(t, err)
		assert.Len(t, members, 2)
	}
}

// A network that swallows everything keeps a service neither from ending nor from
// starting.
func TestCloseWhileTheNetworkHangs(t *testing.T) {
	proxy := redistest.Start(t).NewProxy(t)
	for range 2 { // the second starts while the network hangs
		broker := newBroker(t, proxy.Addr, &redisbroker.Options{RequestTimeout: 300 * time.Millisecond})
		r := newNode(t, broker)
		connect(t, r)
		proxy.Hold()
		require.NoError(t, r.Emit("lost"))
		begin := time.Now()
		require.NoError(t, r.Close())
		require.NoError(t, broker.Close())
		assert.Less(t, time.Since(begin), 10*time.Second)
	}
}
