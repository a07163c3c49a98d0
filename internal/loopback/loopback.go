// Package loopback finds addresses for servers that tests start: as processes that
// cannot say where they listen, or that come back to where they were.
package loopback

import "testing"

// Hold returns an address of this machine on which nobody listens. It is for a
// server that the test starts there, once or several times: until the test ends
// no other socket gets its port, be it of a listener or of a client that takes any.
func Hold(tb testing.TB) (addr string) {
	tb.Helper()
	addr, release, err := hold()
	if err != nil {
		tb.Fatalf("no address is free: %v", err)
	}
	tb.Cleanup(release)
	return addr
}
