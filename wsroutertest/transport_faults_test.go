package wsroutertest_test

import (
	"bytes"
	"errors"
	"net"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wsrouter/wsrouter/adapter"
	"github.com/wsrouter/wsrouter/wsroutertest"
)

// transportFaults maps what can be wrong with an adapter to the cases that must
// detect it.
var transportFaults = map[string][]string{
	"swaps batches":              {"Order", "SlowReader"},
	"swaps frames":               {"Order", "Close"},
	"loses frames":               {"Order", "Big", "SlowReader"},
	"cuts big frames":            {"Big", "Pending", "BothWays"},
	"pings inside frames":        {"WholeFrames"},
	"Write waits":                {"NoWait", "Pending", "BothWays", "AbortWhileWriting", "CutWhileWriting"},
	"Ping waits for Write":       {"NoWait"},
	"Abort waits":                {"Abort", "NoWait", "CloseThenAbort"},
	"never Writable":             {"Pending", "Order"},
	"Writable twice":             {"Pending"},
	"never times out":            {"WriteTimeout"},
	"times out strangely":        {"WriteTimeout"},
	"one timeout for all":        {"TimeoutOfEach"},
	"receives backwards":         {"Receive"},
	"receives at once":           {"Receive"},
	"does not tell of arrivals":  {"Receive"},
	"is not alive before":        {"SlowWriter"},
	"loses what is slow":         {"SlowWriter"},
	"reads on":                   {"Pause"},
	"loses a message at Pause":   {"Pause", "EarlyResume"},
	"loses an early Resume":      {"EarlyResume"},
	"does not write when paused": {"WriteWhilePaused"},
	"does not ping":              {"Ping"},
	"hides pongs":                {"Ping"},
	"Closed stops reading":       {"Closed"},
	"limit one too low":          {"MaxMessage"},
	"limit one too high":         {"TooBig"},
	"too big without a code":     {"TooBig"},
	"receives halves":            {"HalfMessage"},
	"waits for the rest":         {"MessageTimeout"},
	"counts silence":             {"MessageTimeout"},
	"Close drops":                {"Close"},
	"Close waits for the peer":   {"CloseUnanswered"},
	"Abort does nothing":         {"Abort", "CloseThenAbort", "AbortWhileWriting"},
	"Abort while paused waits":   {"AbortWhilePaused"},
	"no code of goodbye":         {"Goodbye", "GoodbyeAfterMessages"},
	"goodbye overtakes":          {"GoodbyeAfterMessages"},
	"blames us for a cut":        {"Cut", "CutWhileWriting", "HalfMessage"},
	"ends twice":                 {"Cut", "Goodbye", "Abort", "Close"},
	"never ends":                 {"Cut", "Goodbye", "Abort", "Close", "Garbage"},
	"passes over garbage":        {"Garbage"},
	"leaks":                      {"Leaks"},
}

func TestTransportFaultsAreFound(t *testing.T) {
	findFaults(t, transportFaults, wsroutertest.TransportCases(), func(tb testing.TB, fault, name string) {
		wsroutertest.RunTransportCase(tb, name, faulty(fault))
	})
}

// TestAFaultlessWrapperPasses checks that it is the fault that is found, and not
// the wrapper that carries it.
func TestAFaultlessWrapperPasses(t *testing.T) { wsroutertest.TestTransport(t, faulty("")) }

// TestFailureTellsOfRead: a peer that cannot read a frame is not taken for one that has
// read the end.
func TestFailureTellsOfRead(t *testing.T) {
	a := faulty("")
	serve := a.Serve
	a.Serve = func(tb testing.TB, host adapter.Host) func() *wsroutertest.TransportPeer {
		connect := serve(tb, host)
		return func() *wsroutertest.TransportPeer {
			peer := connect()
			peer.Read = func() (wsroutertest.TransportPart, error) { return wsroutertest.TransportPart{}, errStrange }
			return peer
		}
	}
	for _, name := range []string{"Close", "Order"} {
		synctest.Test(t, func(t *testing.T) {
			failure := fails(t, func(tb testing.TB) { wsroutertest.RunTransportCase(tb, name, a) })
			require.Contains(t, failure, "(Read had returned: strange)")
		})
	}
}

// faulty is the adapter for lines between a host and a network that distort what
// passes through.
func faulty(fault string) wsroutertest.TransportAdapter {
	return wsroutertest.TransportAdapter{
		Serve: func(tb testing.TB, host adapter.Host) func() *wsroutertest.TransportPeer {
			over := make(chan struct{})
			tb.Cleanup(func() { close(over) })
			return func() *wsroutertest.TransportPeer {
				client, server := net.Pipe()
				tb.Cleanup(func() { client.Close() })
				go serveLine(&faultyConn{Conn: server, fault: fault}, faultyHost{host, fault, over})
				return linePeer(tb, client)
			}
		},
		Bubble:   true,
		Overhead: lineOverhead,
	}
}

// faultyHost gives the adapter a faulty link, and the link a faulty transport.
type faultyHost struct {
	adapter.Host
	fault string
	over  chan struct{} // closed when the test ends
}

func (h faultyHost) Limits() adapter.Limits {
	l := h.Host.Limits()
	switch h.fault {
	case "never times out":
		l.WriteTimeout = 1000 * time.Hour
	case "waits for the rest":
		l.MessageTimeout = 1000 * time.Hour
	case "limit one too low":
		l.MaxMessage--
	case "limit one too high":
		l.MaxMessage++
	}
	return l
}

func (h faultyHost) NewLink(t adapter.Transport, opts adapter.LinkOptions) (adapter.Link, error) {
	ft := &faultyTransport{Transport: t, host: h, written: make(chan struct{}, 100)}
	link, err := h.Host.NewLink(ft, opts)
	ft.link = link
	if h.fault == "leaks" {
		go func() { <-h.over }()
	}
	return &faultyLink{Link: link, transport: ft, host: h}, err
}

// faultyConn is the network under the adapter.
type faultyConn struct {
	net.Conn
	fault string
	set   bool
	had   int // how many bytes of what it distorts Read has seen
}

func (c *faultyConn) SetWriteDeadline(t time.Time) error {
	if c.fault == "one timeout for all" && c.set {
		return nil
	}
	c.set = true
	return c.Conn.SetWriteDeadline(t)
}

func (c *faultyConn) SetReadDeadline(t time.Time) error {
	if c.fault == "counts silence" && t.IsZero() {
		return nil
	}
	return c.Conn.SetReadDeadline(t)
}

func (c *faultyConn) Write(p []byte) (int, error) {
	switch {
	case c.fault == "cuts big frames" && len(p) > 100_000:
		p = append(slices.Clone(p[:100_000]), '\n')
	case c.fault == "does not ping" && bytes.HasPrefix(p, []byte(`{"ping`)):
		return len(p), nil
	case c.fault == "pings inside frames" && len(p) > 10 && p[0] == '[':
		p = append(append(slices.Clone(p[:5]), "{\"ping\":1}\n"...), p[5:]...)
	}
	return c.Conn.Write(p)
}

func (c *faultyConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	switch {
	case c.fault == "loses what is slow" && n == 1 && p[0] == 'y':
		if c.had++; c.had%50 == 0 {
			return 0, err
		}
	case c.fault == "receives halves" && err != nil && c.had == 0:
		c.had++
		return copy(p, "]\n"), nil
	case c.fault == "passes over garbage" && bytes.HasPrefix(p[:n], []byte("[what")):
		return copy(p, "{\"pong\":1}\n"), err
	}
	return n, err
}

// errStrange is not a timeout.
var errStrange = errors.New("strange")
