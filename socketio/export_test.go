package socketio

import (
	"maps"
	"net/http"
	"slices"
	"time"

	"github.com/wsrouter/wsrouter/adapter"
)

// On is New for a host that need not be a router's.
func On(host adapter.Host) http.Handler { return serve(host, nil) }

// Sessions returns how many sessions a mount has.
func Sessions(h http.Handler) int { return len(sessions(h)) }

func sessions(h http.Handler) []*session {
	m := h.(*handler)
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Collect(maps.Values(m.sessions))
}

// Timers returns a function that stops the timers of the current sessions of a mount,
// and reports how many of them were still running.
func Timers(h http.Handler) (running func() int) {
	list := sessions(h)
	return func() (n int) {
		for _, s := range list {
			s.mu.Lock()
			for _, timer := range [...]*time.Timer{s.heartbeat, s.connect, s.partial} {
				if timer != nil && timer.Stop() {
					n++
				}
			}
			s.mu.Unlock()
		}
		return n
	}
}

// Numberer returns a function that writes an offset into a packet.
func Numberer(text string) func() {
	n, f := uint64(0), adapter.Frame{Text: []byte(text)}
	return func() {
		n++
		if _, ok := (format{}).Number(f, "AAAAAAAAAAAAAAAAAAAA", n); !ok {
			panic(text)
		}
	}
}
