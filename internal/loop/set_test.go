package loop

import (
	"errors"
	"runtime"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"
)

// TestStaleEvents: an event that is still reported for a closed connection does not
// reach the one that now has its slot and its descriptor.
func TestStaleEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		all, _ := fakeSets(t)
		all.add(1, func() { t.Error("ready for nothing") }) // keeps the set
		old := addTo(t, all, 7)
		old.toPark(t)
		k, was := old.kernel, old.id
		old.Close()
		require.Equal(t, 1, old.readies())
		var next *parker
		for next = addTo(t, all, 7); next.kernel != k; next = addTo(t, all, 7) {
			next.Close() // in another set
		}
		require.Equal(t, was.slot, next.id.slot)
		require.NotEqual(t, was.gen, next.id.gen)
		next.toPark(t)
		next.readies()
		k.tellEvent(event{was, readable | writable | ending})
		require.Zero(t, next.readies())
		require.Zero(t, old.readies())
		k.arrive(7, "x")
		require.Equal(t, 1, next.readies())
		for _, s := range all.list { // the first of them
			for _, slot := range s.slots {
				if slot.conn != nil {
					slot.conn.Close()
				}
			}
		}
	})
}

// TestStaleInBatch: nor does an event in the same batch as the events that led to
// the close.
func TestStaleInBatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := parked(t)
		p.kernel.mu.Lock()
		for range 300 { // more than a batch
			p.kernel.more = append(p.kernel.more, event{p.id, readable})
		}
		p.kernel.tell()
		p.kernel.mu.Unlock()
		<-p.ready
		p.Close()
		require.Zero(t, p.readies())
	})
}

// TestManyAtOnce: however many are readable at the same moment, each is told.
func TestManyAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		all, fakes := fakeSets(t)
		var parkers []*parker
		for fd := range 1000 {
			p := addTo(t, all, fd)
			p.toPark(t)
			parkers = append(parkers, p)
		}
		synctest.Wait()
		for _, k := range *fakes {
			k.mu.Lock()
		}
		for fd, p := range parkers {
			p.kernel.sockets[fd].in = []byte("x")
			p.kernel.changed = append(p.kernel.changed, fd)
		}
		for _, k := range *fakes {
			k.tell()
			k.mu.Unlock()
		}
		for _, p := range parkers {
			require.Equal(t, 1, p.readies())
		}
	})
}

// TestSets: while there are connections there is one set for each processor, and
// the connections are spread over them. After the last there is none, and later
// connections get new sets.
func TestSets(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(3))
	synctest.Test(t, func(t *testing.T) {
		all, fakes := fakeSets(t)
		for round := range 3 {
			var parkers []*parker
			for n := range 12 {
				parkers = append(parkers, addTo(t, all, n))
				require.Len(t, *fakes, 3*round+min(n+1, 3))
			}
			for _, k := range (*fakes)[3*round:] {
				require.Len(t, k.sockets, 4)
			}
			for _, p := range parkers {
				require.False(t, p.kernel.isClosed())
				p.Close()
			}
			for _, p := range parkers {
				require.True(t, p.kernel.isClosed())
			}
		}
	})
}

// TestMoreProcessors: GOMAXPROCS may change. More processors get sets of their own,
// fewer leave connections where they are.
func TestMoreProcessors(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	synctest.Test(t, func(t *testing.T) {
		all, fakes := fakeSets(t)
		var parkers []*parker
		for n, procs := range []int{1, 1, 1, 4, 4, 4, 4, 2, 2} {
			runtime.GOMAXPROCS(procs)
			parkers = append(parkers, addTo(t, all, n))
		}
		require.Len(t, *fakes, 4)
		for n, p := range parkers {
			p.toPark(t)
			p.kernel.arrive(n, "x")
			require.Equal(t, 1, p.readies())
			p.Close()
		}
		for _, k := range *fakes {
			require.True(t, k.isClosed())
		}
	})
}

// TestNoSet: if the first set cannot be made a connection stays where it was; if a
// further set cannot be made there are fewer.
func TestNoSet(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(2))
	synctest.Test(t, func(t *testing.T) {
		all, fakes := fakeSets(t)
		open, errNone := all.open, errors.New("none left")
		all.open = func() (kernel, error) { return nil, errNone }
		_, err := all.add(1, nil)
		require.Equal(t, errNone, err)
		all.open = open
		a := addTo(t, all, 1)
		all.open = func() (kernel, error) { return nil, errNone }
		b := addTo(t, all, 2)
		require.Same(t, a.kernel, b.kernel)
		all.open = open
		addTo(t, all, 3).Close()
		require.Len(t, *fakes, 2)
		a.Close()
		b.Close()
		for _, k := range *fakes {
			require.True(t, k.isClosed())
		}
	})
}

// TestAddFails: a socket that cannot be added to a set leaves nothing behind.
func TestAddFails(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	synctest.Test(t, func(t *testing.T) {
		all, fakes := fakeSets(t)
		errNo := errors.New("no")
		open := all.open
		all.open = func() (kernel, error) {
			k, _ := open()
			k.(*fake).failing = errNo
			return k, nil
		}
		_, err := all.add(1, nil)
		require.Equal(t, errNo, err)
		require.True(t, (*fakes)[0].isClosed(), "it was the only one")
		all.open = open
		a := addTo(t, all, 1)
		a.kernel.failing = errNo
		_, err = all.add(2, nil)
		require.Equal(t, errNo, err)
		require.False(t, a.kernel.isClosed())
		a.kernel.failing = nil
		b := addTo(t, all, 2)
		require.NotEqual(t, a.id.slot, b.id.slot)
	})
}
