//go:build unix

package socket

import (
	"io"
	"net"
	"os"
	"sync"
	"syscall"
)

// directOf returns nil unless conn is a plain socket: a type that embeds one may
// have a Read and a Write of its own.
func directOf(conn network) direct {
	var raw syscall.RawConn
	switch conn := conn.(type) {
	case *net.TCPConn:
		raw, _ = conn.SyscallConn()
	case *net.UnixConn:
		raw, _ = conn.SyscallConn()
	}
	if raw == nil {
		return nil
	}
	return polled{raw}
}

// polled is a socket in Go's poller.
type polled struct{ syscall.RawConn }

// directOp is a read or write in progress. It keeps its functions, because each
// call would otherwise allocate one.
type directOp struct {
	buf         *[]byte // of a read
	p           []byte  // of a write
	n           int
	err         error
	read, write func(fd uintptr) bool
}

var directOps = sync.Pool{New: func() any {
	op := new(directOp)
	op.read, op.write = op.tryRead, op.tryWrite
	return op
}}

func (p polled) read() (buf *[]byte, n int, err error) {
	op := directOps.Get().(*directOp)
	if err = p.Read(op.read); err == nil {
		buf, n, err = op.buf, op.n, op.err
	}
	op.buf = nil
	directOps.Put(op)
	if err == nil && n == 0 {
		err = io.EOF
	}
	if err != nil && buf != nil {
		readBuffers.Put(buf)
		buf = nil
	}
	return buf, n, err
}

// tryRead reports false if it has to wait.
func (op *directOp) tryRead(fd uintptr) bool {
	op.buf = readBuffers.Get().(*[]byte)
	op.n, op.err = retry(func() (int, error) { return syscall.Read(int(fd), *op.buf) })
	if op.err == syscall.EAGAIN {
		readBuffers.Put(op.buf)
		op.buf = nil
		return false
	}
	return true
}

func (p polled) write(data []byte) (n int, err error) {
	op := directOps.Get().(*directOp)
	op.p = data
	if err = p.Write(op.write); err == nil {
		n, err = op.n, op.err
	}
	op.p = nil
	directOps.Put(op)
	return n, err
}

func (op *directOp) tryWrite(fd uintptr) bool {
	op.n, op.err = retry(func() (int, error) { return syscall.Write(int(fd), op.p) })
	if op.err == syscall.EAGAIN {
		op.err = nil
	}
	return true
}

// retry repeats a system call that a signal has interrupted.
func retry(call func() (int, error)) (int, error) {
	for {
		n, err := call()
		switch err {
		case nil:
			return n, nil
		case syscall.EINTR:
			continue
		case syscall.EAGAIN:
			return 0, err
		}
		return 0, os.NewSyscallError("direct", err)
	}
}
