//go:build !unix

package socket

import (
	"errors"
	"net"
	"syscall"
)

func direct(net.Conn) syscall.RawConn { return nil }

func readDirect(syscall.RawConn) (*[]byte, int, error) { return nil, 0, errors.ErrUnsupported }

func writeDirect(syscall.RawConn, []byte) (int, error) { return 0, errors.ErrUnsupported }
