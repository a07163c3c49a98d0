package serve

import "sync"

// crowd is everybody who is connected, for servers whose library keeps no list.
type crowd[C comparable] struct {
	mu    sync.Mutex // guards conns
	conns map[C]struct{}
}

// join adds a connection until leave is called.
func (s *crowd[C]) join(conn C) (leave func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conns == nil {
		s.conns = make(map[C]struct{})
	}
	s.conns[conn] = struct{}{}
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.conns, conn)
	}
}

// each calls f for everybody. It holds the lock meanwhile: nothing here depends on
// joining and leaving at the same time.
func (s *crowd[C]) each(f func(C)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for conn := range s.conns {
		f(conn)
	}
}
