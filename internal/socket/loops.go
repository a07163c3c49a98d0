//go:build !eventloops

package socket

// alwaysLoop makes all sockets wait at event loops that can. The tag eventloops
// sets it for tests.
const alwaysLoop = false
