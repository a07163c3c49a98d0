package loopback

import (
	"net/netip"
	"syscall"
)

// hold binds a socket that does not listen. On Linux that reserves the port for
// those who name it and set SO_REUSEADDR, as servers do.
func hold() (addr string, release func(), err error) {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return "", nil, err
	}
	addr, err = bind(fd)
	if err != nil {
		syscall.Close(fd)
		return "", nil, err
	}
	return addr, func() { syscall.Close(fd) }, nil
}

func bind(fd int) (addr string, err error) {
	if err := syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1); err != nil {
		return "", err
	}
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		return "", err
	}
	bound, err := syscall.Getsockname(fd)
	if err != nil {
		return "", err
	}
	v4 := bound.(*syscall.SockaddrInet4)
	return netip.AddrPortFrom(netip.AddrFrom4(v4.Addr), uint16(v4.Port)).String(), nil
}
