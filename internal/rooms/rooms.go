// Package rooms knows the members of one namespace and the rooms they are in.
//
// It is passive: it sends nothing, and calls no code of its callers under its
// locks, which are only held for looking up and copying. The time under the shared
// lock is linear in what is there plus what is named.
package rooms

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"
)

// Errors of Join.
var (
	ErrGone    = errors.New("member is gone")
	ErrName    = errors.New("name is empty or too long")
	ErrID      = errors.New("name is the id of another member")
	ErrTooMany = errors.New("too many rooms")
)

// MaxNames is how many names a selection may have.
const MaxNames = 10_000

// idLength is the length of all ids. Socket.IO servers in sharded clusters use it
// to tell ids from rooms.
const idLength = 20

// NewID returns a random id: "~" and 19 characters of base64url.
func NewID() string {
	var b [15]byte
	rand.Read(b[:])
	id := base64.RawURLEncoding.AppendEncode(make([]byte, 0, idLength), b[:])
	id[0] = '~'
	return string(id)
}

// IsID reports whether a name has the form of the ids that NewID returns.
func IsID(name string) bool {
	if len(name) != idLength || name[0] != '~' {
		return false
	}
	for i := 1; i < len(name); i++ {
		switch c := name[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '_':
		default:
			return false
		}
	}
	return true
}

// Registry is a namespace. All methods are safe for concurrent use.
type Registry[T any] struct {
	maxRooms, maxName int

	mu      sync.RWMutex // guards everything below; taken after Member.mu
	inside  index[T]
	waiting index[T]
}

// index finds members by id and room. A member is in at most one index of a
// Registry, with all its rooms.
type index[T any] struct {
	members map[string]*Member[T]
	rooms   map[string]map[*Member[T]]struct{}
}

func newIndex[T any]() index[T] {
	return index[T]{make(map[string]*Member[T]), make(map[string]map[*Member[T]]struct{})}
}

// New returns a registry in which a member may be in maxRooms rooms, whose names
// have at most maxName bytes.
func New[T any](maxRooms, maxName int) *Registry[T] {
	return &Registry[T]{maxRooms: maxRooms, maxName: maxName, inside: newIndex[T](), waiting: newIndex[T]()}
}

// phase is where a member is in its life.
//
//	outside ──┬─ Wait ─▶ waiting ─┬─ Add ─▶ inside ─▶ removed ─▶ gone
//	          └───────────────────┘
type phase uint8

const (
	outside phase = iota // it may join rooms, which others do not see yet
	waiting              // selected where rooms are named and those who wait are wanted
	inside               // selected
	removed              // no longer selected, but its rooms can be read
	gone                 // it has no rooms
)

// of returns the index of the members in that phase, or nil if they are in none.
func (g *Registry[T]) of(p phase) *index[T] {
	switch p {
	case waiting:
		return &g.waiting
	case inside:
		return &g.inside
	}
	return nil
}

// Member is a member of a registry. Its id is a room that only it is in.
type Member[T any] struct {
	Value T
	ID    string

	mu    sync.Mutex // guards everything below
	phase phase
	rooms map[string]struct{}
	data  []byte
}

// Wait makes a member selectable for what is sent to rooms only.
func (g *Registry[T]) Wait(m *Member[T]) { g.move(m, waiting) }

// Add makes a member selectable, with the rooms it has already joined.
func (g *Registry[T]) Add(m *Member[T]) { g.move(m, inside) }

// Remove makes a member no longer selectable; its rooms can still be read.
func (g *Registry[T]) Remove(m *Member[T]) { g.move(m, removed) }

// move takes a member to a later phase. Nobody sees it in two phases, or between
// two.
func (g *Registry[T]) move(m *Member[T], to phase) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.phase >= to {
		return
	}
	was := m.phase
	m.phase = to
	g.mu.Lock()
	defer g.mu.Unlock()
	if from := g.of(was); from != nil {
		from.remove(m)
	}
	if into := g.of(to); into != nil {
		into.add(m)
	}
}

// Forget removes the rooms of a member that was removed, and returns them.
func (g *Registry[T]) Forget(m *Member[T]) (rooms map[string]struct{}) {
	m.mu.Lock()
	defer m.mu.Unlock()
	rooms = m.rooms
	m.phase, m.rooms = gone, nil
	return rooms
}

func (x *index[T]) add(m *Member[T]) {
	x.members[m.ID] = m
	for room := range m.rooms {
		x.enter(m, room)
	}
}

func (x *index[T]) remove(m *Member[T]) {
	delete(x.members, m.ID)
	for room := range m.rooms {
		x.exit(m, room)
	}
}

func (x *index[T]) enter(m *Member[T], room string) {
	members := x.rooms[room]
	if members == nil {
		members = make(map[*Member[T]]struct{})
		x.rooms[room] = members
	}
	members[m] = struct{}{}
}

func (x *index[T]) exit(m *Member[T], room string) {
	members := x.rooms[room]
	delete(members, m)
	if len(members) == 0 {
		delete(x.rooms, room)
	}
}

// Join adds a member to rooms, up to the first that it cannot join.
func (g *Registry[T]) Join(m *Member[T], rooms []string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.phase == gone { // not earlier: hooks and handlers of a client that has left still run
		return ErrGone
	}
	for _, room := range rooms {
		if _, err := g.joinLocked(m, room); err != nil {
			return err
		}
	}
	return nil
}

// JoinOne is Join for one room. It reports whether the member was not yet in it.
func (g *Registry[T]) JoinOne(m *Member[T], room string) (joined bool, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.phase == gone {
		return false, ErrGone
	}
	return g.joinLocked(m, room)
}

func (g *Registry[T]) joinLocked(m *Member[T], room string) (joined bool, err error) {
	if _, in := m.rooms[room]; in || room == m.ID {
		return false, nil
	}
	switch {
	case room == "" || len(room) > g.maxName:
		return false, ErrName
	case IsID(room):
		return false, ErrID
	case len(m.rooms) >= g.maxRooms:
		return false, ErrTooMany
	}
	if m.rooms == nil {
		m.rooms = make(map[string]struct{})
	}
	room = strings.Clone(room) // room may be part of a long text
	m.rooms[room] = struct{}{}
	if x := g.of(m.phase); x != nil {
		g.mu.Lock()
		x.enter(m, room)
		g.mu.Unlock()
	}
	return true, nil
}

// Leave takes a member out of rooms.
func (g *Registry[T]) Leave(m *Member[T], rooms []string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, room := range rooms {
		g.leaveLocked(m, room)
	}
}

// LeaveOne is Leave for one room. It reports whether the member was in it.
func (g *Registry[T]) LeaveOne(m *Member[T], room string) (left bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return g.leaveLocked(m, room)
}

func (g *Registry[T]) leaveLocked(m *Member[T], room string) (left bool) {
	if _, in := m.rooms[room]; !in {
		return false
	}
	delete(m.rooms, room)
	if x := g.of(m.phase); x != nil {
		g.mu.Lock()
		x.exit(m, room)
		g.mu.Unlock()
	}
	if len(m.rooms) == 0 {
		m.rooms = nil // a map never shrinks
	}
	return true
}

// Rooms returns the rooms of a member, sorted, without its own.
func (m *Member[T]) Rooms() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Sorted(maps.Keys(m.rooms))
}

// SetData stores what others are shown of a member.
func (m *Member[T]) SetData(data []byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.data = data
}

// Data returns what SetData has stored, or nil.
func (m *Member[T]) Data() []byte {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.data
}

// Size returns how many members and rooms there are, without members that wait.
func (g *Registry[T]) Size() (members, rooms int) {
	g.mu.RLock()
	defer g.mu.RUnlock()
	return len(g.inside.members), len(g.inside.rooms)
}

// Has reports whether any member is in the room or waits in it.
func (g *Registry[T]) Has(room string) bool {
	g.mu.RLock()
	defer g.mu.RUnlock()
	return g.inside.has(room) || g.waiting.has(room)
}

func (x *index[T]) has(room string) bool {
	return x.members[room] != nil || len(x.rooms[room]) > 0
}

// All returns the names of all rooms for which Has is true, without the members'
// own.
func (g *Registry[T]) All() []string {
	g.mu.RLock()
	defer g.mu.RUnlock()
	list := slices.Collect(maps.Keys(g.inside.rooms))
	for room := range g.waiting.rooms {
		if g.inside.rooms[room] == nil {
			list = append(list, room)
		}
	}
	return list
}
