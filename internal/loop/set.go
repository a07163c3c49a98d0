package loop

import (
	"runtime"
	"sync"
)

// sets are the sets of a process, or of a test.
type sets struct {
	open func() (kernel, error)

	mu    sync.Mutex // guards what follows
	list  []*set     // nil while there are no connections
	next  int        // counts connections, which go to the sets in turn
	conns int
}

var everything = sets{open: openKernel}

// set is where some of the connections wait.
type set struct {
	all     *sets
	kernel  kernel
	workers *workers

	mu    sync.Mutex // guards what follows
	slots []slot
	free  []uint32 // slots that are unused
}

type slot struct {
	conn *Conn // nil if the slot is free
	gen  uint32
}

// id tells a connection from those that had its slot before.
type id struct{ slot, gen uint32 }

// mask says what has happened to a socket.
type mask uint8

const (
	readable mask = 1 << iota
	writable
	ending // the peer has closed its side, the socket has failed, or a read may end early
)

// event is what a kernel reports.
type event struct {
	id   id
	mask mask
}

// kernel is what the package needs of an operating system. Every change of a
// socket's state is reported once ("edge-triggered"). So nothing has to be armed
// again, and a socket that nobody reads keeps no loop busy.
type kernel interface {
	add(fd int, id id) error
	remove(fd int)               // and closes the descriptor
	wait(events []event) (n int) // returns 0 after close
	close()                      // closes the set itself
	read(fd int, p []byte) (int, error)
	write(fd int, p []byte) (int, error)
	closeWrite(fd int) error
}

// add puts a socket into one of the sets.
func (a *sets) add(fd int, ready func()) (*Conn, error) {
	s, err := a.join()
	if err != nil {
		return nil, err
	}
	c := &Conn{fd: fd, set: s, ready: ready, in: side{news: true}, out: side{news: true}}
	c.id = s.take(c)
	if err := s.kernel.add(fd, c.id); err != nil {
		s.drop(c)
		return nil, err
	}
	return c, nil
}

// join counts a connection, and returns its set.
func (a *sets) join() (*set, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for len(a.list) < min(runtime.GOMAXPROCS(0), a.conns+1) {
		k, err := a.open()
		if err != nil && len(a.list) == 0 {
			return nil, err
		} else if err != nil {
			break
		}
		s := &set{all: a, kernel: k, workers: newWorkers()}
		a.list = append(a.list, s)
		go s.run()
	}
	s := a.list[a.next%len(a.list)]
	a.conns++
	a.next++
	return s, nil
}

// leave uncounts a connection. When there are none left the sets are closed.
func (a *sets) leave() {
	a.mu.Lock()
	var gone []*set
	if a.conns--; a.conns == 0 {
		gone, a.list, a.next = a.list, nil, 0
	}
	a.mu.Unlock()
	for _, s := range gone {
		s.kernel.close()
		s.workers.close()
	}
}

// take gives a connection a slot.
func (s *set) take(c *Conn) id {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.free) == 0 {
		s.free = append(s.free, uint32(len(s.slots)))
		s.slots = append(s.slots, slot{})
	}
	i := s.free[len(s.free)-1]
	s.free = s.free[:len(s.free)-1]
	s.slots[i].conn = c
	return id{i, s.slots[i].gen}
}

// drop frees the slot: events that are still reported for it reach nobody.
func (s *set) drop(c *Conn) {
	s.mu.Lock()
	s.slots[c.id.slot] = slot{gen: c.id.gen + 1}
	s.free = append(s.free, c.id.slot)
	s.mu.Unlock()
	s.all.leave()
}

// run is the loop.
func (s *set) run() {
	events := make([]event, 128)
	conns := make([]*Conn, len(events))
	for {
		n := s.kernel.wait(events)
		if n == 0 {
			return
		}
		s.mu.Lock()
		for i, e := range events[:n] {
			if slot := s.slots[e.id.slot]; slot.gen == e.id.gen {
				conns[i] = slot.conn
			}
		}
		s.mu.Unlock()
		for i, c := range conns[:n] {
			if c != nil {
				c.happened(events[i].mask)
				conns[i] = nil // so that a loop that waits keeps no Conn in memory
			}
		}
	}
}
