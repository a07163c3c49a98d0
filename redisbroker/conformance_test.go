package redisbroker_test

import (
	"log/slog"
	"testing"
	"time"

	"github.com/redis/rueidis"
	"github.com/stretchr/testify/require"

	"github.com/wsrouter/wsrouter/broker"
	"github.com/wsrouter/wsrouter/internal/redistest"
	"github.com/wsrouter/wsrouter/redisbroker"
	"github.com/wsrouter/wsrouter/wsroutertest"
)

// TestBroker runs the suite of all brokers, with a network that is cut.
func TestBroker(t *testing.T) { conform(t, (*redistest.Proxy).Cut) }

// TestBrokerInSilence runs it with a network that says nothing any more.
func TestBrokerInSilence(t *testing.T) { conform(t, (*redistest.Proxy).Hold) }

// conform gives each broker a proxy of its own before Redis.
func conform(t *testing.T, cut func(*redistest.Proxy)) {
	t.Parallel()
	redis := redistest.Start(t)
	client := newClient(t, redis.Addr)
	wsroutertest.TestBroker(t, func(tb testing.TB) *wsroutertest.BrokerCluster {
		var proxies []*redistest.Proxy
		each := func(do func(*redistest.Proxy)) func() {
			return func() {
				for _, proxy := range proxies {
					do(proxy)
				}
			}
		}
		return &wsroutertest.BrokerCluster{
			Join: func(tb testing.TB) broker.Broker {
				proxy := redis.NewProxy(tb)
				proxies = append(proxies, proxy)
				broker, err := redisbroker.New(optionFor(proxy.Addr), &redisbroker.Options{
					Logger:         slog.New(slog.DiscardHandler),
					RequestTimeout: 2 * time.Second, // after which silence is noticed
				})
				require.NoError(tb, err)
				tb.Cleanup(func() { broker.Close() })
				return broker
			},
			Cut:     each(cut),
			Heal:    each((*redistest.Proxy).Heal),
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
