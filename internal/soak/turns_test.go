package soak

import (
	"maps"
	"slices"
	"sync"
)

// turns are requests under way at a server that need an answer. A shutdown would excuse
// missing answers, so a server is not shut down before they have ended.
type turns struct {
	mu   sync.Mutex // guards open
	open map[chan struct{}]struct{}
}

// turn does something that must end while the server lives.
func (srv *server) turn(what string, do func()) {
	done := make(chan struct{})
	srv.turns.mu.Lock()
	if srv.turns.open == nil {
		srv.turns.open = make(map[chan struct{}]struct{})
	}
	srv.turns.open[done] = struct{}{}
	srv.turns.mu.Unlock()
	defer func() {
		close(done)
		srv.turns.mu.Lock()
		defer srv.turns.mu.Unlock()
		delete(srv.turns.open, done)
	}()
	srv.watch(what, do)
}

// awaitTurns waits for what is under way now.
func (srv *server) awaitTurns() {
	srv.turns.mu.Lock()
	open := slices.Collect(maps.Keys(srv.turns.open))
	srv.turns.mu.Unlock()
	srv.watch("turns before the shutdown", func() {
		for _, done := range open {
			<-done
		}
	})
}
