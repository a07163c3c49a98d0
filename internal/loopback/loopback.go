// Package loopback finds addresses for servers that tests start: processes that
// cannot say where they listen, or servers that restart at the same address.
package loopback

import "testing"

// Hold returns an address of this machine at which nobody listens, for a server
// that the test starts there, once or repeatedly. Until the test ends no other
// socket gets its port, neither that of a listener nor that of a client that takes
// any port.
func Hold(tb testing.TB) (addr string) {
	tb.Helper()
	addr, release, err := hold()
	if err != nil {
		tb.Fatalf("no address is free: %v", err)
	}
	tb.Cleanup(release)
	return addr
}
