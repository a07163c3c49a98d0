package redisbroker_test

import (
	"log/slog"
	"path"
	"testing"
	"time"

	"github.com/redis/rueidis"
	"github.com/stretchr/testify/require"

	"github.com/wsrouter/wsrouter/broker"
	"github.com/wsrouter/wsrouter/internal/redistest"
	"github.com/wsrouter/wsrouter/redisbroker"
	"github.com/wsrouter/wsrouter/wsroutertest"
)

// patient is a RequestTimeout that no machine exceeds, however busy it is: whatever
// exceeds it counts as a network that is down, and what is under way is lost.
const patient = time.Minute

// TestBroker runs the suite for all brokers with a network that is cut, which is
// noticed at once.
func TestBroker(t *testing.T) {
	conform(t, (*redistest.Proxy).Cut, func(testing.TB) time.Duration { return patient })
}

// TestBrokerInSilence runs the suite with a network that falls silent, which is
// noticed after RequestTimeout.
func TestBrokerInSilence(t *testing.T) {
	conform(t, (*redistest.Proxy).Hold, func(tb testing.TB) time.Duration {
		switch path.Base(tb.Name()) {
		case "NoWait", "SubscribeWhileAway", "Unreached", "FindWhileAway", "Back", "CloseWhileAway":
			return 5 * time.Second // the default
		}
		return patient // other cases do not silence the network
	})
}

// conform gives each broker its own proxy to Redis, and the RequestTimeout of the
// case.
func conform(t *testing.T, cut func(*redistest.Proxy), timeout func(testing.TB) time.Duration) {
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
					RequestTimeout: timeout(tb),
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

// publishEverywhere publishes on every channel that has a subscriber, and on some
// that match a pattern.
func publishEverywhere(tb testing.TB, client rueidis.Client, message []byte) {
	tb.Helper()
	channels, err := client.Do(tb.Context(), client.B().PubsubChannels().Build()).AsStrSlice()
	require.NoError(tb, err)
	for _, channel := range append(channels, "socket.io#/#", "socket.io#/#room#", "socket.io#/##") {
		publish := client.B().Publish().Channel(channel).Message(rueidis.BinaryString(message)).Build()
		require.NoError(tb, client.Do(tb.Context(), publish).Error())
	}
}
