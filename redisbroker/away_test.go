package redisbroker_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wsrouter/wsrouter/internal/redistest"
	"github.com/wsrouter/wsrouter/redisbroker"
)

// What is emitted while Redis is away may come late, but nobody is moved or
// disconnected late: that is forgotten even if it was accepted before anybody
// knew.
func TestRoomOperationsAreNotKept(t *testing.T) {
	server := redistest.Start(t)
	proxy := server.NewProxy(t)
	a := newNode(t, newBroker(t, proxy.Addr, &redisbroker.Options{RequestTimeout: 300 * time.Millisecond}))
	b := newNode(t, newBroker(t, server.Addr, nil))
	connect(t, a)
	client := connect(t, b)

	proxy.Hold()
	text := strings.Repeat("x", 300<<10) // what comes after it is in no batch with it
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

// The log is told of a change, not of each message.
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
	assert.Equal(t, 1, log.count("refused"))
	acl("+publish")
	require.NoError(t, r.Emit("secret"))
	eventually(t, func() bool { return broker.BrokerStats().Published > before })
	acl("-publish")
	require.NoError(t, r.Emit("secret"))
	eventually(t, func() bool { return log.count("refused") == 2 })
	assert.Zero(t, log.count("secret"), "no content in logs")
	acl("+publish")
}

// Redis may end connections, as it does with those that read too slowly. All comes
// back, and questions do not trip over a connection that is gone.
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
		for range 4 { // both go, and come back
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

// A network that swallows everything does not keep a service from ending, nor from
// beginning.
func TestCloseWhileTheNetworkHangs(t *testing.T) {
	proxy := redistest.Start(t).NewProxy(t)
	for range 2 { // the second begins while it hangs
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
