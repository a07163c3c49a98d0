package sessions

import (
	"net"
	"net/netip"
)

// ClientOf returns whose connections are counted together for an address with a
// port: an IPv4 address, or the network of an IPv6 address, as whoever has one of a
// /64 has them all (RFC 4291 section 2.5.1). What is no address stands for itself.
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
