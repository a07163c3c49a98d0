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
	assert.False(t, b.HasRoom("late"))
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
