package wsroutertest_test

import (
	"testing"

	"github.com/wsrouter/wsrouter"
	"github.com/wsrouter/wsrouter/wsroutertest"
)

func TestMemoryBroker(t *testing.T) {
	wsroutertest.TestBroker(t, func(testing.TB) *wsroutertest.BrokerCluster {
		broker := new(wsrouter.MemoryBroker)
		return &wsroutertest.BrokerCluster{
			Join:   func(testing.TB) wsrouter.Broker { return broker },
			Bubble: true,
		}
	})
}
