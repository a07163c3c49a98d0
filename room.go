package wsrouter

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
)

// hub knows the connections of one namespace and the rooms they are in. Its lock
// is held for looking up and copying only; nothing is sent and no user code runs
// under it.
//
// Lock order: Link.mu, then hub.mu. So no method of hub calls one of Conn or Link,
// which may lock; what it has to say of them it returns.
type hub struct {
	maxRooms, maxName int

	mu    sync.RWMutex // guards everything below, and what Conn says
	conns map[string]*Conn
	rooms map[string]map[*Conn]struct{}
	ids   map[string]struct{} // of conns, and of those that are not yet, or no more
}

func newHub(opts *Options) *hub {
	return &hub{
		maxRooms: opts.MaxRooms,
		maxName:  opts.MaxName,
		conns:    make(map[string]*Conn),
		rooms:    make(map[string]map[*Conn]struct{}),
		ids:      make(map[string]struct{}),
	}
}

// born reserves the connection's id, which names a room of its own.
func (h *hub) born(c *Conn) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ids[c.id] = struct{}{}
}

// add makes the connection, and the rooms it has joined already, a target.
func (h *hub) add(c *Conn) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if c.removed {
		return
	}
	h.conns[c.id] = c
	for room := range c.rooms {
		h.enterLocked(c, room)
	}
}

// remove makes it a target no more; its rooms can still be read.
func (h *hub) remove(c *Conn) {
	h.mu.Lock()
	defer h.mu.Unlock()
	c.removed = true
	delete(h.conns, c.id)
	for room := range c.rooms {
		h.exitLocked(c, room)
	}
}

// forget drops its rooms, and its id.
func (h *hub) forget(c *Conn) {
	h.mu.Lock()
	defer h.mu.Unlock()
	c.rooms, c.forgotten = nil, true
	delete(h.ids, c.id)
}

func (h *hub) enterLocked(c *Conn, room string) {
	members := h.rooms[room]
	if members == nil {
		members = make(map[*Conn]struct{})
		h.rooms[room] = members
	}
	members[c] = struct{}{}
}

func (h *hub) exitLocked(c *Conn, room string) {
	members := h.rooms[room]
	delete(members, c)
	if len(members) == 0 {
		delete(h.rooms, room)
	}
}

var errForgotten = errors.New("wsrouter: join: the connection has gone")

// join fails with errForgotten for a connection that has gone.
func (h *hub) join(c *Conn, rooms []string) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if c.forgotten { // before, OnConnect and handlers of a client that said goodbye go on
		return errForgotten
	}
	for _, room := range rooms {
		if err := h.joinLocked(c, room); err != nil {
			return err
		}
	}
	return nil
}

func (h *hub) joinLocked(c *Conn, room string) error {
	if _, in := c.rooms[room]; in || room == c.id {
		return nil
	}
	switch {
	case room == "" || len(room) > h.maxName:
		return NewError(fmt.Sprintf("a room's name must have 1 to %d bytes", h.maxName)).WithCode(CodeInvalid)
	case h.isIDLocked(room):
		return NewError("a room's name must not be another connection's id").WithCode(CodeInvalid)
	case len(c.rooms) >= h.maxRooms:
		return NewError(fmt.Sprintf("more than %d rooms", h.maxRooms)).WithCode(CodeTooMany)
	}
	if c.rooms == nil {
		c.rooms = make(map[string]struct{})
	}
	c.rooms[room] = struct{}{}
	if h.conns[c.id] == c {
		h.enterLocked(c, room)
	}
	return nil
}

func (h *hub) isIDLocked(room string) bool {
	_, ok := h.ids[room]
	return ok
}

func (h *hub) leave(c *Conn, rooms []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, room := range rooms {
		if _, in := c.rooms[room]; in {
			delete(c.rooms, room)
			if !c.removed {
				h.exitLocked(c, room)
			}
		}
	}
}

func (h *hub) roomsOf(c *Conn) []string {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return slices.Sorted(maps.Keys(c.rooms))
}

func (h *hub) member(c *Conn) Member {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return Member{ID: c.id, Rooms: slices.Sorted(maps.Keys(c.rooms)), Data: c.data}
}

func (h *hub) setData(c *Conn, data json.RawMessage) {
	h.mu.Lock()
	defer h.mu.Unlock()
	c.data = data
}

func (h *hub) size() (conns, rooms int) {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return len(h.conns), len(h.rooms)
}

func (h *hub) hasRoom(room string) bool {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return h.conns[room] != nil || len(h.rooms[room]) > 0
}

func (h *hub) allRooms() []string {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return slices.Collect(maps.Keys(h.rooms))
}

// find returns the connections that a Target selects, each once.
func (h *hub) find(t *Target) (found []*Conn) {
	h.mu.RLock()
	defer h.mu.RUnlock()
	if !t.some {
		found = make([]*Conn, 0, len(h.conns))
		for _, c := range h.conns {
			if !h.exceptedLocked(c, t.except) {
				found = append(found, c)
			}
		}
		return found
	}
	var seen map[*Conn]struct{}
	if len(t.rooms) > 1 {
		seen = make(map[*Conn]struct{})
	}
	n := len(t.rooms) // each may be a connection's own
	for _, room := range t.rooms {
		n += len(h.rooms[room])
	}
	found = make([]*Conn, 0, n)
	take := func(c *Conn) {
		if _, dup := seen[c]; dup || h.exceptedLocked(c, t.except) {
			return
		}
		if seen != nil {
			seen[c] = struct{}{}
		}
		found = append(found, c)
	}
	for _, room := range t.rooms {
		if c := h.conns[room]; c != nil {
			take(c)
		}
		for c := range h.rooms[room] {
			take(c)
		}
	}
	return found
}

func (h *hub) exceptedLocked(c *Conn, except []string) bool {
	for _, room := range except {
		if _, in := c.rooms[room]; in || room == c.id {
			return true
		}
	}
	return false
}
