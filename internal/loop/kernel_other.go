//go:build !linux

package loop

import (
	"errors"
	"net"
)

func openKernel() (kernel, error) { return nil, errors.ErrUnsupported }

func duplicate(*net.TCPConn) (fd int, ok bool) { return 0, false }

func closeDescriptor(int) {}
