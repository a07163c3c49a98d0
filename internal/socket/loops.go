//go:build !eventloops

package socket

// alwaysLoop lets all sockets that can wait at event loops. It is for tests, with the
// tag eventloops.
const alwaysLoop = false
