//go:build !linux

package loopback

import "net"

// hold holds nothing: on other systems we do not know how, and an address that was
// free is likely to stay free.
func hold() (addr string, release func(), err error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	return ln.Addr().String(), func() {}, ln.Close()
}
