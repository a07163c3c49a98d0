package socketio

import "net/http"

// Sessions returns how many sessions a mount has.
func Sessions(h http.Handler) int {
	m := h.(*handler)
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.sessions)
}
