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
// is held for looking up and copying only: what is done under it is linear in the
// connections, their rooms and the names that were given. Nothing is sent and no
// user code runs under it.
//
// Lock order: Link.mu, then presence.mu, then hub.mu. Below presence.mu nothing of
// Conn or Link is called, which may lock; what there is to say of them is returned.
type hub struct {
	maxRooms, maxName int

	mu    sync.RWMutex // guards everything below, and the rooms of those who are present
	conns map[string]*Conn
	rooms map[string]map[*Conn]struct{}
}

// presence is what the hub knows of a connection.
type presence struct {
	mu    sync.Mutex // guards everything below
	stage stage
	data  json.RawMessage

	// Of one who is present the rooms are read with mu or hub.mu held, and written
	// with both.
	rooms map[string]struct{}
}

// stage is how far a connection is on its way through the hub. It only goes forward,
// past present if it leaves in OnConnect.
//
//	coming ─ add ─▶ present ─ remove ─▶ leaving ─ forget ─▶ forgotten
type stage uint8

const (
	coming    stage = iota // has rooms, but is no target yet
	present                // a target
	leaving                // no target any more, but OnDisconnect may ask for its rooms
	forgotten              // has no rooms any more
)

func newHub(opts *Options) *hub {
	return &hub{
		maxRooms: opts.MaxRooms,
		maxName:  opts.MaxName,
		conns:    make(map[string]*Conn),
		rooms:    make(map[string]map[*Conn]struct{}),
	}
}

// add makes the connection, and the rooms it has joined already, a target.
func (h *hub) add(c *Conn) {
	p := &c.presence
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stage != coming {
		return
	}
	p.stage = present
	h.mu.Lock()
	defer h.mu.Unlock()
	h.conns[c.id] = c
	for room := range p.rooms {
		h.enterLocked(c, room)
	}
}

// remove makes it a target no more; its rooms can still be read.
func (h *hub) remove(c *Conn) {
	p := &c.presence
	p.mu.Lock()
	defer p.mu.Unlock()
	was := p.stage
	p.stage = max(was, leaving)
	if was != present {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.conns, c.id)
	for room := range p.rooms {
		h.exitLocked(c, room)
	}
}

// forget drops its rooms, once it has been removed.
func (p *presence) forget() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rooms, p.stage = nil, forgotten
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

// join fails with errForgotten for a connection that has gone. Until then, OnConnect
// and handlers of a client that has said goodbye go on.
func (h *hub) join(c *Conn, rooms []string) error {
	p := &c.presence
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stage == forgotten {
		return errForgotten
	}
	var fresh names
	err := h.checkLocked(c, rooms, &fresh)
	if len(fresh.list) == 0 {
		return err
	}
	if p.rooms == nil {
		p.rooms = make(map[string]struct{})
	}
	if p.stage == present {
		h.mu.Lock()
		defer h.mu.Unlock()
	}
	for _, room := range fresh.list {
		p.rooms[room] = struct{}{}
		if p.stage == present {
			h.enterLocked(c, room)
		}
	}
	return err
}

// checkLocked adds to fresh what the connection is not in yet, up to the first room
// that it cannot join.
func (h *hub) checkLocked(c *Conn, rooms []string, fresh *names) error {
	p := &c.presence
	for _, room := range rooms {
		if _, in := p.rooms[room]; in || room == c.id || fresh.has(room) {
			continue
		}
		switch {
		case room == "" || len(room) > h.maxName:
			return NewError(fmt.Sprintf("a room's name must have 1 to %d bytes", h.maxName)).WithCode(CodeInvalid)
		case isID(room):
			return NewError("a room's name must not be another connection's id").WithCode(CodeInvalid)
		case len(p.rooms)+len(fresh.list) >= h.maxRooms:
			return NewError(fmt.Sprintf("more than %d rooms", h.maxRooms)).WithCode(CodeTooMany)
		}
		fresh.add(room)
	}
	return nil
}

func (h *hub) leave(c *Conn, rooms *names) {
	p := &c.presence
	p.mu.Lock()
	defer p.mu.Unlock()
	var few [fewNames]string
	left := slices.AppendSeq(few[:0], rooms.shared(p.rooms))
	if len(left) == 0 {
		return
	}
	if p.stage == present {
		h.mu.Lock()
		defer h.mu.Unlock()
	}
	for _, room := range left {
		delete(p.rooms, room)
		if p.stage == present {
			h.exitLocked(c, room)
		}
	}
}

// list returns the rooms, sorted.
func (p *presence) list() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Sorted(maps.Keys(p.rooms))
}

func (p *presence) setData(data json.RawMessage) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.data = data
}

func (p *presence) member(id string) Member {
	p.mu.Lock()
	defer p.mu.Unlock()
	return Member{ID: id, Rooms: slices.Sorted(maps.Keys(p.rooms)), Data: p.data}
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

// everyone returns all connections that are in none of the rooms except.
func (h *hub) everyone(except *names) []*Conn {
	h.mu.RLock()
	defer h.mu.RUnlock()
	found := make([]*Conn, 0, len(h.conns))
	for _, c := range h.conns {
		if !c.in(except) {
			found = append(found, c)
		}
	}
	return found
}

// find returns the connections that are in any of the rooms, each once, and in none
// of the rooms except.
func (h *hub) find(rooms, except *names) []*Conn {
	h.mu.RLock()
	defer h.mu.RUnlock()
	n := h.atMostLocked(rooms)
	found := make([]*Conn, 0, n)
	var seen map[*Conn]struct{}
	if len(rooms.list) > 1 {
		seen = make(map[*Conn]struct{}, n)
	}
	take := func(c *Conn) {
		if _, dup := seen[c]; dup || c.in(except) {
			return
		}
		if seen != nil {
			seen[c] = struct{}{}
		}
		found = append(found, c)
	}
	for _, room := range rooms.list {
		if c := h.conns[room]; c != nil {
			take(c)
		}
		for c := range h.rooms[room] {
			take(c)
		}
	}
	return found
}

// atMostLocked returns how many connections rooms can have together.
func (h *hub) atMostLocked(rooms *names) (n int) {
	for _, room := range rooms.list {
		n += len(h.rooms[room])
		if h.conns[room] != nil {
			n++
		}
	}
	return min(n, len(h.conns))
}

// in reports whether one who is present is in any of the rooms, its own among them.
// hub.mu is held.
func (c *Conn) in(rooms *names) bool {
	return rooms.has(c.id) || rooms.meets(c.presence.rooms)
}
