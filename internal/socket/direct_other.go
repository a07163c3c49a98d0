//go:build !unix

package socket

import (
	"errors"
	"syscall"
)

func direct(network) syscall.RawConn { return nil }

func readDirect(syscall.RawConn) (*[]byte, int, error) { return nil, 0, errors.ErrUnsupported }

func writeDirect(syscall.RawConn, []byte) (int, error) { return 0, errors.ErrUnsupported }
