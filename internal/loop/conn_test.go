package loop

import (
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// bubble runs a test in a bubble.
func bubble(name string, t *testing.T, test func(t *testing.T)) {
	t.Run(name, func(t *testing.T) { synctest.Test(t, test) })
}

// readies waits until everything has happened, and returns how often ready was
// called.
func (p *parker) readies() (n int) {
	synctest.Wait()
	for {
		select {
		case <-p.ready:
			n++
		default:
			return n
		}
	}
}

// TestPark: bytes that arrive while a Conn is parked call ready once, until it
// parks again.
func TestPark(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := parked(t)
		require.Zero(t, p.readies())
		for range 3 {
			p.kernel.arrive(7, "one")
			require.Equal(t, 1, p.readies())
			p.kernel.arrive(7, "two")
			require.Zero(t, p.readies(), "it is not parked")
			data, err := p.read(t, 100)
			require.NoError(t, err)
			require.Equal(t, "onetwo", data)
		}
	})
}

// TestParkSeesNews: bytes that arrive between the last read and Park, or within
// that read, are not forgotten.
func TestParkSeesNews(t *testing.T) {
	bubble("after the read", t, func(t *testing.T) {
		p := parked(t)
		p.kernel.arrive(7, "one")
		require.Equal(t, 1, p.readies())
		buf := make([]byte, 100)
		n, err := p.TryRead(buf)
		require.NoError(t, err)
		require.Equal(t, 3, n)
		p.kernel.arrive(7, "two")
		require.Zero(t, p.readies())
		require.False(t, p.Park())
	})
	bubble("within the read", t, func(t *testing.T) {
		p := parked(t)
		p.kernel.change(7, func(s *fakeSocket) {
			s.during = func() {
				p.kernel.change(7, func(s *fakeSocket) { s.in, s.during = append(s.in, "two"...), nil })
				synctest.Wait()
			}
			s.in = []byte("one")
		})
		require.Equal(t, 1, p.readies())
		data, err := p.read(t, 100)
		require.NoError(t, err)
		require.Equal(t, "onetwo", data)
	})
	bubble("within a read that finds nothing", t, func(t *testing.T) {
		p := parked(t)
		p.kernel.mu.Lock()
		p.kernel.sockets[7].during = func() {
			p.kernel.change(7, func(s *fakeSocket) { s.in, s.during = append(s.in, "late"...), nil })
			synctest.Wait()
		}
		p.kernel.mu.Unlock()
		p.kernel.tellEvent(event{p.id, readable})
		require.Equal(t, 1, p.readies())
		_, err := p.TryRead(make([]byte, 100))
		require.Equal(t, ErrWait, err)
		require.False(t, p.Park())
	})
}

// TestShortRead: after a read that did not fill its buffer there is nothing to try
// again; after one that did, there may be more.
func TestShortRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := parked(t)
		for size, reads := range map[int]int{7: 1, 6: 2, 3: 3, 5: 2} {
			before := p.kernel.socket(7).reads
			p.kernel.arrive(7, "sixbyt")
			require.Equal(t, 1, p.readies())
			data, err := p.read(t, size)
			require.NoError(t, err)
			require.Equal(t, "sixbyt", data)
			require.Equal(t, reads, p.kernel.socket(7).reads-before, "with %d bytes at once", size)
		}
		p.kernel.arrive(7, "sixbyt")
		require.Equal(t, 1, p.readies())
		n, err := p.TryRead(make([]byte, 6))
		require.NoError(t, err)
		require.Equal(t, 6, n)
		require.False(t, p.Park())
	})
}

// TestEndWithData: an end that arrives together with the last bytes is reported
// once, and still read, however much is read at once.
func TestEndWithData(t *testing.T) {
	for _, size := range []int{1, 2, 3, 4, 100} {
		synctest.Test(t, func(t *testing.T) {
			p := parked(t)
			p.kernel.change(7, func(s *fakeSocket) { s.in, s.fin = []byte("end"), true })
			require.Equal(t, 1, p.readies())
			data, err := p.read(t, size)
			require.Equal(t, io.EOF, err)
			require.Equal(t, "end", data)
		})
	}
}

// TestReset: a parked Conn is ready when its socket fails.
func TestReset(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := parked(t)
		p.kernel.change(7, func(s *fakeSocket) { s.err = errReset })
		require.Equal(t, 1, p.readies())
		_, err := p.read(t, 10)
		require.Equal(t, errReset, err)
		_, err = p.Write([]byte("x"))
		require.Equal(t, errReset, err)
		require.Equal(t, errReset, p.CloseWrite())
	})
}

// TestRead: Read and Readable wait for bytes, and start no goroutine meanwhile.
func TestRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := parked(t)
		p.kernel.arrive(7, "x")
		require.Equal(t, 1, p.readies())
		got := make(chan string, 10)
		go func() {
			buf := make([]byte, 3)
			for {
				n, err := p.Read(buf)
				got <- string(buf[:n])
				if err != nil {
					got <- err.Error()
					return
				}
				p.Readable()
			}
		}()
		synctest.Wait()
		require.Equal(t, "x", <-got)
		p.kernel.arrive(7, "yesno")
		require.Equal(t, "yes", <-got)
		require.Equal(t, "no", <-got)
		p.kernel.change(7, func(s *fakeSocket) { s.fin = true })
		require.Equal(t, "", <-got)
		require.Equal(t, "EOF", <-got)
		require.Zero(t, p.readies())
	})
}

// TestReadWhileParked: a closer may read while the Conn is parked. Bytes wake the
// closer, and an end makes the Conn ready.
func TestReadWhileParked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := parked(t)
		got := make(chan string)
		go func() {
			buf := make([]byte, 10)
			n, _ := p.Read(buf)
			got <- string(buf[:n])
		}()
		synctest.Wait()
		p.kernel.arrive(7, "bye")
		require.Equal(t, "bye", <-got)
		require.Zero(t, p.readies())
		p.Close()
		require.Equal(t, 1, p.readies())
	})
}

// TestWrite: Write waits for the network as often as it must; TryWrite does not
// wait.
func TestWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := parked(t)
		p.kernel.change(7, func(s *fakeSocket) { s.space = 3 })
		synctest.Wait()
		long := strings.Repeat("0123456789", 10)
		done := make(chan error)
		go func() {
			n, err := p.Write([]byte(long))
			require.Equal(t, len(long), n)
			done <- err
		}()
		for range 14 {
			synctest.Wait()
			require.Zero(t, p.kernel.socket(7).space)
			p.kernel.change(7, func(s *fakeSocket) { s.space = 7 })
		}
		require.NoError(t, <-done)
		require.Equal(t, long, string(p.kernel.socket(7).out))
		n, err := p.TryWrite([]byte(long))
		require.NoError(t, err)
		require.Equal(t, 1, n)
		_, err = p.TryWrite([]byte(long))
		require.Equal(t, ErrWait, err)
		require.NoError(t, p.CloseWrite())
	})
}

// TestWriteSeesSpace: space that appears during a write that found none is not
// forgotten.
func TestWriteSeesSpace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := parked(t)
		p.kernel.change(7, func(s *fakeSocket) {
			s.space = 0
			s.during = func() {
				p.kernel.change(7, func(s *fakeSocket) { s.space, s.during = 100, nil })
				synctest.Wait()
			}
		})
		synctest.Wait()
		n, err := p.Write([]byte("all"))
		require.NoError(t, err)
		require.Equal(t, 3, n)
	})
}

// TestReadDeadline: a deadline makes a parked Conn ready, and wakes a reader that
// waits. Bytes that have arrived by then are not lost.
func TestReadDeadline(t *testing.T) {
	bubble("parked", t, func(t *testing.T) {
		p := parked(t)
		p.SetReadDeadline(time.Now().Add(time.Second))
		time.Sleep(time.Second - 1)
		require.Zero(t, p.readies())
		time.Sleep(time.Nanosecond)
		require.Equal(t, 1, p.readies())
		require.False(t, p.Park())
		_, err := p.TryRead(make([]byte, 1))
		require.Equal(t, os.ErrDeadlineExceeded, err)
	})
	bubble("waiting", t, func(t *testing.T) {
		p := parked(t)
		begin := time.Now()
		p.SetReadDeadline(begin.Add(time.Second))
		p.kernel.arrive(7, "x")
		require.Equal(t, 1, p.readies())
		p.Read(make([]byte, 1))
		_, err := p.Read(make([]byte, 1))
		require.Equal(t, os.ErrDeadlineExceeded, err)
		require.Equal(t, time.Second, time.Since(begin))
	})
	bubble("past", t, func(t *testing.T) {
		p := parked(t)
		p.SetReadDeadline(time.Now().Add(-time.Hour))
		require.Equal(t, 1, p.readies())
	})
	bubble("taken back", t, func(t *testing.T) {
		p := parked(t)
		p.SetReadDeadline(time.Now().Add(time.Second))
		p.SetReadDeadline(time.Time{})
		time.Sleep(time.Hour)
		require.Zero(t, p.readies())
	})
	bubble("put off while it is late", t, func(t *testing.T) {
		p := parked(t)
		p.SetReadDeadline(time.Now())
		p.kernel.change(7, func(s *fakeSocket) { s.in, s.fin = []byte("all"), true })
		require.Equal(t, 1, p.readies())
		_, err := p.TryRead(make([]byte, 10))
		require.Equal(t, os.ErrDeadlineExceeded, err)
		p.SetReadDeadline(time.Time{})
		require.False(t, p.Park(), "there are bytes that nobody has read")
		data, err := p.read(t, 10)
		require.Equal(t, "all", data)
		require.Equal(t, io.EOF, err)
	})
}

// TestWriteDeadline: the write deadline works like that of a net.Conn.
func TestWriteDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := parked(t)
		p.kernel.change(7, func(s *fakeSocket) { s.space = 2 })
		synctest.Wait()
		begin := time.Now()
		p.SetWriteDeadline(begin.Add(time.Second))
		n, err := p.Write([]byte("three"))
		require.Equal(t, os.ErrDeadlineExceeded, err)
		require.Equal(t, 2, n)
		require.Equal(t, time.Second, time.Since(begin))
		p.SetWriteDeadline(time.Time{})
		p.kernel.change(7, func(s *fakeSocket) { s.space = 10 })
		_, err = p.Write([]byte("ree"))
		require.NoError(t, err)
		require.Zero(t, p.readies(), "readers have nothing to do with it")
	})
}

// TestLateTimer: a deadline that is replaced at the moment it passes does not
// count.
func TestLateTimer(t *testing.T) {
	for range 200 { // either may be first
		synctest.Test(t, func(t *testing.T) {
			p := parked(t)
			synctest.Wait() // after this the loop does not need the lock
			p.SetReadDeadline(time.Now().Add(time.Second))
			p.mu.Lock()
			time.Sleep(time.Second) // the timer fires, and waits for the lock
			p.mu.Unlock()
			p.SetReadDeadline(time.Now().Add(time.Hour))
			p.readies()
			_, err := p.TryRead(make([]byte, 1))
			require.Equal(t, ErrWait, err)
		})
	}
}

// TestClose: those who wait return, a parked Conn is ready, the descriptor is
// closed once, and no deadline fires after that.
func TestClose(t *testing.T) {
	bubble("parked", t, func(t *testing.T) {
		p := parked(t)
		p.SetReadDeadline(time.Now().Add(time.Second))
		require.NoError(t, p.Close())
		require.True(t, p.kernel.socket(7).closed)
		require.Equal(t, 1, p.readies())
		require.False(t, p.Park())
		_, err := p.TryRead(make([]byte, 1))
		require.Equal(t, net.ErrClosed, err)
		_, err = p.Write([]byte("x"))
		require.Equal(t, net.ErrClosed, err)
		_, err = p.TryWrite([]byte("x"))
		require.Equal(t, net.ErrClosed, err)
		require.Equal(t, net.ErrClosed, p.CloseWrite())
		require.Equal(t, net.ErrClosed, p.Close())
		require.NoError(t, p.SetReadDeadline(time.Now()))
		time.Sleep(time.Hour)
		require.Zero(t, p.readies())
	})
	bubble("waiting", t, func(t *testing.T) {
		p := parked(t)
		p.kernel.change(7, func(s *fakeSocket) { s.space = 0 })
		p.kernel.tellEvent(event{p.id, readable})
		require.Equal(t, 1, p.readies())
		failed := make(chan error)
		go func() {
			_, err := p.Read(make([]byte, 1))
			failed <- err
		}()
		go func() {
			_, err := p.Write(make([]byte, 1))
			failed <- err
		}()
		synctest.Wait()
		p.Close()
		require.Equal(t, net.ErrClosed, <-failed)
		require.Equal(t, net.ErrClosed, <-failed)
		require.Zero(t, p.readies())
	})
	bubble("while it is read and written", t, func(t *testing.T) {
		p := parked(t)
		p.kernel.arrive(7, "x")
		require.Equal(t, 1, p.readies())
		inside, leave := make(chan struct{}), make(chan struct{})
		p.kernel.mu.Lock()
		p.kernel.sockets[7].during = func() { inside <- struct{}{}; <-leave }
		p.kernel.mu.Unlock()
		go p.TryRead(make([]byte, 1))
		go p.TryWrite(make([]byte, 1))
		go p.CloseWrite()
		for range 3 {
			<-inside
		}
		for range 5 {
			go p.Close() // and concurrently
		}
		for range 3 {
			synctest.Wait()
			require.False(t, p.kernel.socket(7).closed)
			leave <- struct{}{}
		}
		synctest.Wait()
		require.True(t, p.kernel.socket(7).closed)
		require.Equal(t, net.ErrClosed, p.Close())
	})
}
