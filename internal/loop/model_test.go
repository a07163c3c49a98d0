package loop

import (
	"io"
	"math/rand/v2"
	"net"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// modeled is a connection of the model: a stream of bytes, each of which is the
// number of those before it.
type modeled struct {
	*Conn
	t      *testing.T
	fd     int
	kernel *fake
	size   int // how much a read asks for
	late   time.Duration

	mu      sync.Mutex // guards what follows
	sent    int        // bytes
	fin     bool
	got     int // bytes
	end     error
	reading bool // by ready, or by the goroutine that follows it
}

func newModeled(t *testing.T, all *sets, fd int, r *rand.Rand) *modeled {
	m := &modeled{t: t, fd: fd, size: 1 + r.IntN(8), late: time.Duration(r.IntN(3)) * time.Millisecond}
	m.reading = true
	c, err := all.add(fd, m.pump)
	require.NoError(t, err)
	m.Conn, m.kernel = c, c.set.kernel.(*fake)
	m.again()
	return m
}

// pump is called when there is something to read.
func (m *modeled) pump() {
	m.mu.Lock()
	if m.reading || m.end != nil {
		m.t.Error("two read at once, or after the end")
	}
	m.reading = true
	m.mu.Unlock()
	m.again()
}

// again reads until it parks. It sometimes waits instead, and postpones deadlines.
func (m *modeled) again() {
	buf := make([]byte, m.size)
	read := m.TryRead
	for {
		n, err := read(buf)
		read = m.TryRead
		m.mu.Lock()
		for _, b := range buf[:n] {
			if b != byte(m.got) {
				m.t.Errorf("byte %d is %d", m.got, b)
			}
			m.got++
		}
		parks := n < m.size && (err == nil || err == ErrWait)
		if err == os.ErrDeadlineExceeded {
			m.SetReadDeadline(time.Time{})
			parks = true
		} else if err != nil && err != ErrWait {
			m.end = err
		}
		ended, waits := m.end != nil, m.got%5 == 4
		m.reading = !parks || ended || waits
		m.mu.Unlock()
		switch {
		case ended:
			return
		case parks && waits:
			read = m.Read
		case parks && m.Park():
			return
		case parks:
			m.mu.Lock()
			m.reading = true
			m.mu.Unlock()
		}
	}
}

// arrive lets bytes arrive, and perhaps an end.
func (m *modeled) arrive(n int, fin bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fin {
		return
	}
	m.fin = fin
	m.kernel.change(m.fd, func(s *fakeSocket) {
		for range n {
			s.in = append(s.in, byte(m.sent))
			m.sent++
		}
		s.fin = fin
	})
}

// step does something to the connection.
func (m *modeled) step(r *rand.Rand) {
	switch r.IntN(8) {
	case 0:
		m.SetReadDeadline(time.Now().Add(m.late))
	case 1:
		m.SetReadDeadline(time.Time{})
	case 2:
		m.kernel.tellEvent(event{m.id, mask(r.IntN(4))})
	case 3:
		m.kernel.tellEvent(event{id{m.id.slot, m.id.gen - 1}, readable | ending})
	case 4:
		time.Sleep(time.Millisecond)
	default:
		m.arrive(r.IntN(20), r.IntN(100) == 0)
	}
}

// check checks that all has been read, once everything has happened.
func (m *modeled) check(closed bool) {
	synctest.Wait()
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case closed:
		require.Contains(m.t, []error{net.ErrClosed, io.EOF}, m.end)
		require.True(m.t, m.kernel.socket(m.fd).closed)
	case m.fin:
		require.Equal(m.t, io.EOF, m.end)
		fallthrough
	default:
		require.Equal(m.t, m.sent, m.got, "bytes that have arrived are read in the end")
	}
}

// TestModel: in whatever order bytes, reads, parks, deadlines and ends come, no
// byte has to wait for another one, and nobody gets the bytes of others.
func TestModel(t *testing.T) {
	for seed := range uint64(300) {
		synctest.Test(t, func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 16))
			all, fakes := fakeSets(t)
			conns := make([]*modeled, 6)
			for range 150 {
				fd := r.IntN(len(conns))
				m := conns[fd]
				switch {
				case m == nil:
					conns[fd] = newModeled(t, all, fd, r)
				case r.IntN(30) == 0:
					m.Close()
					m.check(true)
					conns[fd] = nil
				case r.IntN(4) == 0:
					m.check(false)
				default:
					m.step(r)
				}
			}
			for _, m := range conns {
				if m != nil {
					m.check(false)
					m.Close()
					m.check(true)
				}
			}
			for _, k := range *fakes {
				require.True(t, k.isClosed())
			}
			if t.Failed() {
				t.Fatalf("with seed %d", seed)
			}
		})
	}
}

// TestModelAtOnce is TestModel with everything at the same time.
func TestModelAtOnce(t *testing.T) {
	for seed := range uint64(100) {
		synctest.Test(t, func(t *testing.T) {
			all, fakes := fakeSets(t)
			var wg sync.WaitGroup
			for fd := range 8 {
				wg.Go(func() {
					r := rand.New(rand.NewPCG(seed, uint64(fd)))
					for range 5 {
						m := newModeled(t, all, fd, r)
						for range 30 {
							m.step(r)
						}
						if r.IntN(2) == 0 {
							time.Sleep(time.Second)
							m.mu.Lock()
							require.Equal(t, m.sent, m.got)
							m.mu.Unlock()
						}
						for range 1 + r.IntN(3) {
							go m.Close()
						}
						time.Sleep(time.Second)
						m.mu.Lock()
						require.NotNil(t, m.end)
						m.mu.Unlock()
					}
				})
			}
			wg.Wait()
			for _, k := range *fakes {
				require.True(t, k.isClosed())
			}
		})
	}
}
