package recipes

import (
	"sync"

	"github.com/wsrouter/wsrouter"
)

// Room is a room that keeps its last messages.
type Room struct {
	name string

	mu   sync.Mutex // guards last, and the order in which messages are sent
	last []string
}

// Enter adds a connection to the room, and sends it the last messages.
func (r *Room) Enter(c *wsrouter.Conn) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := c.Join(r.name); err != nil {
		return err
	}
	return c.Emit("history", r.last)
}

// Say keeps a message, and sends it to everybody in the room.
func (r *Room) Say(router *wsrouter.Router, text string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.last = append(r.last[max(0, len(r.last)-99):], text)
	return router.To(r.name).Emit("said", text)
}
