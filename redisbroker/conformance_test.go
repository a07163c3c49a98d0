package redisbroker_test

import (
	"log/slog"
	"testing"

	"github.com/redis/rueidis"
	"github.com/stretchr/testify/require"

	"github.com/wsrouter/wsrouter"
	"github.com/wsrouter/wsrouter/internal/redistest"
	"github.com/wsrouter/wsrouter/redisbroker"
	"github.com/wsrouter/wsrouter/wsroutertest"
)

// TestBroker runs the suite of all brokers. Each broker reaches Redis through a
// proxy of its own.
func TestBroker(t *testing.T) {
	redis := redistest.Start(t)
	client, err := rueidis.NewClient(optionFor(redis.Addr))
	require.NoError(t, err)
	defer client.Close()
	wsroutertest.TestBroker(t, func(tb testing.TB) *wsroutertest.BrokerCluster {
		var proxies []*redistest.Proxy
		return &wsroutertest.BrokerCluster{
			Join: func(tb testing.TB) wsrouter.Broker {
				proxy := redis.NewProxy(tb)
				proxies = append(proxies, proxy)
				broker, err := redisbroker.New(optionFor(proxy.Addr), &redisbroker.Options{Logger: slog.New(slog.DiscardHandler)})
				require.NoError(tb, err)
				tb.Cleanup(func() { broker.Close() })
				return broker
			},
			Cut: func() {
				for _, proxy := range proxies {
					proxy.Cut()
				}
			},
			Heal: func() {
				for _, proxy := range proxies {
					proxy.Heal()
				}
			},
			Garbage: func(message []byte) { publishEverywhere(tb, client, message) },
		}
	})
}

// publishEverywhere publishes on each channel that anybody is subscribed to, and
// on some that match a pattern.
func publishEverywhere(tb testing.TB, client rueidis.Client, message []byte) {
	tb.Helper()
	channels, err := client.Do(tb.Context(), client.B().PubsubChannels().Build()).AsStrSlice()
	require.NoError(tb, err)
	for _, channel := range append(channels, "socket.io#/#", "socket.io#/#room#", "socket.io#/##") {
		publish := client.B().Publish().Channel(channel).Message(rueidis.BinaryString(message)).Build()
		require.NoError(tb, client.Do(tb.Context(), publish).Error())
	}
}
