package sessions

import (
	"net"
	"net/netip"
)

// ClientOf returns the client whose connections are counted together for an address
// with a port: an IPv4 address, or the /64 network of an IPv6 address, because
// whoever has one address of a /64 has them all (RFC 4291 section 2.5.1). What is
// not an address stands for itself.
func ClientOf(remoteAddr string) string {
	host, _, err := net.SplitHostPort(remoteAddr)
	if err != nil {
		return remoteAddr
	}
	addr, err := netip.ParseAddr(host)
	if err != nil {
		return host
	}
	if addr = addr.Unmap(); addr.Is4() {
		return addr.String()
	}
	network, _ := addr.Prefix(64) // without a zone
	return network.String()
}
