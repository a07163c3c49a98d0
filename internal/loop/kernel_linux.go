package loop

import (
	"net"
	"os"
	"syscall"
	"time"
)

// epoll is an epoll set. Its descriptor waits in Go's poller, as that of a socket
// would.
type epoll struct {
	fd     int // used before close only
	file   *os.File
	raw    syscall.RawConn
	events [128]syscall.EpollEvent // for try
	n      int
	again  func(fd uintptr) bool // try, made once
}

// EPOLLET as a number: the type of the constant differs between architectures.
const edges = 1 << 31

func openKernel() (kernel, error) {
	fd, err := syscall.EpollCreate1(syscall.EPOLL_CLOEXEC)
	if err != nil {
		return nil, err
	}
	syscall.SetNonblock(fd, true) // Go's poller would not take it otherwise
	k := &epoll{fd: fd, file: os.NewFile(uintptr(fd), "epoll")}
	if err := k.file.SetDeadline(time.Time{}); err != nil { // Go's poller has not taken it
		k.file.Close()
		return nil, err
	}
	k.raw, _ = k.file.SyscallConn() // of a file that is open
	k.again = k.try
	return k, nil
}

func (k *epoll) close() { k.file.Close() }

func (k *epoll) add(fd int, id id) error {
	return syscall.EpollCtl(k.fd, syscall.EPOLL_CTL_ADD, fd, &syscall.EpollEvent{
		Events: syscall.EPOLLIN | syscall.EPOLLPRI | syscall.EPOLLOUT | syscall.EPOLLRDHUP | edges,
		Fd:     int32(id.slot), Pad: int32(id.gen),
	})
}

// remove takes the socket out of the set before it closes it: a process that is
// being forked may hold a copy of the descriptor for a moment.
func (k *epoll) remove(fd int) {
	syscall.EpollCtl(k.fd, syscall.EPOLL_CTL_DEL, fd, nil)
	closeDescriptor(fd)
}

func (k *epoll) wait(events []event) int {
	if k.raw.Read(k.again) != nil {
		return 0
	}
	for i, e := range k.events[:k.n] {
		events[i] = event{id{uint32(e.Fd), uint32(e.Pad)}, maskOf(e.Events)}
	}
	return k.n
}

func (k *epoll) try(fd uintptr) bool {
	n, err := syscall.EpollWait(int(fd), k.events[:], 0)
	for err == syscall.EINTR {
		n, err = syscall.EpollWait(int(fd), k.events[:], 0)
	}
	k.n = n
	return err == nil && n > 0
}

// maskOf treats urgent data as an end, because reads stop there although there is
// more.
func maskOf(events uint32) (m mask) {
	if events&syscall.EPOLLIN != 0 {
		m |= readable
	}
	if events&syscall.EPOLLOUT != 0 {
		m |= writable
	}
	if events&(syscall.EPOLLRDHUP|syscall.EPOLLHUP|syscall.EPOLLERR|syscall.EPOLLPRI) != 0 {
		m |= ending
	}
	return m
}

func (k *epoll) read(fd int, p []byte) (int, error) { return retry("read", syscall.Read, fd, p) }

func (k *epoll) write(fd int, p []byte) (int, error) { return retry("write", syscall.Write, fd, p) }

func (k *epoll) closeWrite(fd int) error {
	return os.NewSyscallError("shutdown", syscall.Shutdown(fd, syscall.SHUT_WR))
}

// retry repeats a system call that a signal has interrupted.
func retry(name string, call func(int, []byte) (int, error), fd int, p []byte) (int, error) {
	for {
		switch n, err := call(fd, p); err {
		case nil:
			return n, nil
		case syscall.EAGAIN:
			return 0, ErrWait
		case syscall.EINTR:
		default:
			return 0, os.NewSyscallError(name, err)
		}
	}
}

// duplicate returns another descriptor for the same socket, if there is one left.
func duplicate(conn *net.TCPConn) (fd int, ok bool) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return 0, false
	}
	err = raw.Control(func(p uintptr) {
		n, _, errno := syscall.Syscall(syscall.SYS_FCNTL, p, syscall.F_DUPFD_CLOEXEC, 0)
		fd, ok = int(n), errno == 0
	})
	return fd, ok && err == nil
}

func closeDescriptor(fd int) { syscall.Close(fd) }
