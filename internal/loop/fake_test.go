package loop

import (
	"errors"
	"io"
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wsrouter/wsrouter/internal/leak"
)

func TestMain(m *testing.M) { leak.Main(m) }

var errReset = errors.New("reset")

// fake is a kernel whose sockets tests fill and empty. It reports changes as an
// edge-triggered epoll set does: each once, with the whole state at that time.
type fake struct {
	t    testing.TB
	wake chan struct{} // has an element if there is something to report

	mu      sync.Mutex // guards what follows
	sockets map[int]*fakeSocket
	changed []int   // descriptors with something to report
	more    []event // to be reported as they are
	closed  bool
	failing error // the error of add
}

type fakeSocket struct {
	id     id
	in     []byte // has arrived
	fin    bool   // the peer has closed
	err    error
	out    []byte // has been sent
	space  int    // for what is sent
	reads  int    // system calls
	using  int    // system calls under way
	closed bool
	during func() // called in each system call, after its work
}

func newFake(t testing.TB) *fake {
	return &fake{t: t, wake: make(chan struct{}, 1), sockets: map[int]*fakeSocket{}}
}

// fakeSets returns sets of fakes, and the fakes for the test to look at.
func fakeSets(t testing.TB) (all *sets, fakes *[]*fake) {
	fakes = new([]*fake)
	return &sets{open: func() (kernel, error) {
		k := newFake(t)
		*fakes = append(*fakes, k)
		return k, nil
	}}, fakes
}

func (f *fake) tell() {
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

// change changes a socket, and reports that.
func (f *fake) change(fd int, change func(s *fakeSocket)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := f.sockets[fd]
	change(s)
	if !s.closed && !slices.Contains(f.changed, fd) {
		f.changed = append(f.changed, fd)
	}
	f.tell()
}

func (f *fake) arrive(fd int, data string) {
	f.change(fd, func(s *fakeSocket) { s.in = append(s.in, data...) })
}

// socket returns a copy of a socket.
func (f *fake) socket(fd int) fakeSocket {
	f.mu.Lock()
	defer f.mu.Unlock()
	return *f.sockets[fd]
}

func (f *fake) isClosed() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.closed
}

// tellEvent reports any event that a test wants.
func (f *fake) tellEvent(e event) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.more = append(f.more, e)
	f.tell()
}

func (f *fake) add(fd int, id id) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.failing != nil {
		return f.failing
	}
	if s, ok := f.sockets[fd]; ok && !s.closed {
		f.t.Errorf("descriptor %d is added twice", fd)
	}
	f.sockets[fd] = &fakeSocket{id: id, space: 1 << 20}
	f.changed = append(f.changed, fd)
	f.tell()
	return nil
}

func (f *fake) remove(fd int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := f.sockets[fd]
	if s.closed || s.using > 0 || f.closed {
		f.t.Errorf("descriptor %d is closed: again %v, while it is used %d times, after its set %v", fd, s.closed, s.using, f.closed)
	}
	s.closed = true
	f.changed = slices.DeleteFunc(f.changed, func(other int) bool { return other == fd })
}

func (f *fake) wait(events []event) (n int) {
	for {
		f.mu.Lock()
		n = copy(events, f.more)
		f.more = f.more[n:]
		for n < len(events) && len(f.changed) > 0 {
			s := f.sockets[f.changed[0]]
			f.changed = f.changed[1:]
			if m := s.mask(); m != 0 {
				events[n] = event{s.id, m}
				n++
			}
		}
		closed := f.closed
		f.mu.Unlock()
		if n > 0 || closed {
			return n
		}
		<-f.wake
	}
}

func (s *fakeSocket) mask() (m mask) {
	if len(s.in) > 0 || s.fin || s.err != nil {
		m |= readable
	}
	if s.space > 0 || s.err != nil {
		m |= writable
	}
	if s.fin || s.err != nil {
		m |= ending
	}
	return m
}

func (f *fake) close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		f.t.Error("a set is closed twice")
	}
	f.closed = true
	f.tell()
}

// call is a system call.
func (f *fake) call(fd int, do func(s *fakeSocket) (int, error)) (int, error) {
	f.mu.Lock()
	s := f.sockets[fd]
	if s.closed {
		f.t.Errorf("descriptor %d is used after it was closed", fd)
	}
	s.using++
	n, err := do(s)
	f.mu.Unlock()
	if s.during != nil {
		s.during()
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	s.using--
	return n, err
}

func (f *fake) read(fd int, p []byte) (int, error) {
	return f.call(fd, func(s *fakeSocket) (int, error) {
		s.reads++
		n := copy(p, s.in)
		s.in = s.in[n:]
		switch {
		case n > 0 || s.fin:
			return n, nil
		case s.err != nil:
			return 0, s.err
		}
		return 0, ErrWait
	})
}

func (f *fake) write(fd int, p []byte) (int, error) {
	return f.call(fd, func(s *fakeSocket) (int, error) {
		n := min(len(p), s.space)
		s.out, s.space = append(s.out, p[:n]...), s.space-n
		switch {
		case s.err != nil:
			return 0, s.err
		case n == 0:
			return 0, ErrWait
		}
		return n, nil
	})
}

func (f *fake) closeWrite(fd int) error {
	_, err := f.call(fd, func(s *fakeSocket) (int, error) { return 0, s.err })
	return err
}

// parker parks one Conn, and counts how often it was ready.
type parker struct {
	*Conn
	kernel *fake
	ready  chan struct{}
}

// parked returns a Conn that is parked in a set of its own, after everything that a
// new one reports.
func parked(t *testing.T) *parker {
	t.Helper()
	all, _ := fakeSets(t)
	p := addTo(t, all, 7)
	p.toPark(t)
	return p
}

func addTo(t *testing.T, all *sets, fd int) *parker {
	t.Helper()
	p := &parker{ready: make(chan struct{}, 100)}
	c, err := all.add(fd, func() { p.ready <- struct{}{} })
	require.NoError(t, err)
	p.Conn, p.kernel = c, c.set.kernel.(*fake)
	t.Cleanup(func() { c.Close() })
	return p
}

// toPark reads nothing until it can park.
func (p *parker) toPark(t *testing.T) {
	t.Helper()
	for !p.Park() {
		_, err := p.TryRead(make([]byte, 10))
		require.Equal(t, ErrWait, err)
	}
}

// read reads as the pump of a WebSocket does, until it parks.
func (p *parker) read(t *testing.T, size int) (data string, err error) {
	t.Helper()
	buf := make([]byte, size)
	for {
		n, err := p.TryRead(buf)
		data += string(buf[:n])
		switch {
		case err != nil && err != ErrWait:
			return data, err
		case n == size: // there is no end of a message, so it continues
		case p.Park():
			return data, nil
		}
	}
}

var _ io.ReadWriteCloser = (*Conn)(nil)
