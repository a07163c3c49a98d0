package wsroutertest

import (
	"slices"
	"testing"
)

// RunBrokerCase runs one case of TestBroker with a TB that need not be a test's.
func RunBrokerCase(tb testing.TB, name string, cluster *BrokerCluster) {
	cases := brokerCases()
	i := slices.IndexFunc(cases, func(c brokerCase) bool { return c.name == name })
	if i < 0 {
		tb.Fatalf("there is no case %q", name)
	}
	cases[i].test(tb, cluster)
}

// BrokerCases returns the names of TestBroker's cases.
func BrokerCases() (names []string) {
	for _, c := range brokerCases() {
		names = append(names, c.name)
	}
	return names
}

// RunTransportCase runs one case of TestTransport with a TB that need not be a
// test's.
func RunTransportCase(tb testing.TB, name string, a TransportAdapter) {
	cases := transportCases()
	i := slices.IndexFunc(cases, func(c transportCase) bool { return c.name == name })
	if i < 0 {
		tb.Fatalf("there is no case %q", name)
	}
	cases[i].test(tb, a)
}

// TransportCases returns the names of TestTransport's cases.
func TransportCases() (names []string) {
	for _, c := range transportCases() {
		names = append(names, c.name)
	}
	return names
}
