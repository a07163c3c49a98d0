package wsroutertest_test

import (
	"testing"

	"github.com/wsrouter/wsrouter/broker"
	"github.com/wsrouter/wsrouter/wsroutertest"
)

func TestMemoryBroker(t *testing.T) {
	wsroutertest.TestBroker(t, func(testing.TB) *wsroutertest.BrokerCluster {
		b := new(broker.Memory)
		return &wsroutertest.BrokerCluster{
			Join:   func(testing.TB) broker.Broker { return b },
			Bubble: true,
		}
	})
}
