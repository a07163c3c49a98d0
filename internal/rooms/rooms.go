// Package rooms knows the members of one namespace and the rooms they are in.
//
// It is passive: nothing is sent and no code of a caller runs under its locks,
// which are held for looking up and copying only. What is done under the lock that
// all share is linear in what is there plus what is named.
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

// idLength is that of all ids: Socket.IO's servers in sharded clusters tell ids
// from rooms by it.
const idLength = 20

// NewID returns a random id: "~" and 19 characters of base64url.
func NewID() string {
	var b [15]byte
	rand.Read(b[:])
	id := base64.RawURLEncoding.AppendEncode(make([]byte, 0, idLength), b[:])
	id[0] = '~'
	return string(id)
}

// IsID reports whether a name has the shape of the ids that NewID returns.
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

// Registry is a namespace. All methods may be called concurrently.
type Registry[T any] struct {
	maxRooms, maxName int

	mu      sync.RWMutex // guards everything below; taken after Member.mu
	members map[string]*Member[T]
	rooms   map[string]map[*Member[T]]struct{}
}

// New returns a registry in which a member may be in that many rooms, with names
// of at most maxName bytes.
func New[T any](maxRooms, maxName int) *Registry[T] {
	return &Registry[T]{
		maxRooms: maxRooms,
		maxName:  maxName,
		members:  make(map[string]*Member[T]),
		rooms:    make(map[string]map[*Member[T]]struct{}),
	}
}

type phase uint8

const (
	outside phase = iota // it may join rooms, and is in none yet for others
	inside               // it is selected
	removed              // it is not selected any more, its rooms can be read
	gone                 // it has none
)

// Member is one of a registry. Its id is a room that only it is in.
type Member[T any] struct {
	Value T
	ID    string

	mu    sync.Mutex // guards everything below
	phase phase
	rooms map[string]struct{}
	data  []byte
}

// Add makes a member, and the rooms it has joined already, selectable.
func (g *Registry[T]) Add(m *Member[T]) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.phase != outside {
		return
	}
	m.phase = inside
	g.mu.Lock()
	defer g.mu.Unlock()
	g.members[m.ID] = m
	for room := range m.rooms {
		g.enterLocked(m, room)
	}
}

// Remove makes a member selectable no more; its rooms can still be read.
func (g *Registry[T]) Remove(m *Member[T]) {
	m.mu.Lock()
	defer m.mu.Unlock()
	was := m.phase
	m.phase = max(m.phase, removed)
	if was != inside {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.members, m.ID)
	for room := range m.rooms {
		g.exitLocked(m, room)
	}
}

// Forget drops the rooms of a member that was removed.
func (g *Registry[T]) Forget(m *Member[T]) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.phase, m.rooms = gone, nil
}

func (g *Registry[T]) enterLocked(m *Member[T], room string) {
	members := g.rooms[room]
	if members == nil {
		members = make(map[*Member[T]]struct{})
		g.rooms[room] = members
	}
	members[m] = struct{}{}
}

func (g *Registry[T]) exitLocked(m *Member[T], room string) {
	members := g.rooms[room]
	delete(members, m)
	if len(members) == 0 {
		delete(g.rooms, room)
	}
}

// Join adds a member to rooms, up to the first that it cannot join.
func (g *Registry[T]) Join(m *Member[T], rooms []string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.phase == gone { // before, hooks and handlers of a client that left go on
		return ErrGone
	}
	for _, room := range rooms {
		if _, in := m.rooms[room]; in || room == m.ID {
			continue
		}
		switch {
		case room == "" || len(room) > g.maxName:
			return ErrName
		case IsID(room):
			return ErrID
		case len(m.rooms) >= g.maxRooms:
			return ErrTooMany
		}
		if m.rooms == nil {
			m.rooms = make(map[string]struct{})
		}
		room = strings.Clone(room) // it may be a part of a long text
		m.rooms[room] = struct{}{}
		if m.phase == inside {
			g.mu.Lock()
			g.enterLocked(m, room)
			g.mu.Unlock()
		}
	}
	return nil
}

// Leave takes a member out of rooms.
func (g *Registry[T]) Leave(m *Member[T], rooms []string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, room := range rooms {
		if _, in := m.rooms[room]; !in {
			continue
		}
		delete(m.rooms, room)
		if m.phase == inside {
			g.mu.Lock()
			g.exitLocked(m, room)
			g.mu.Unlock()
		}
	}
	if len(m.rooms) == 0 {
		m.rooms = nil // a map keeps the room it once needed
	}
}

// Rooms returns the rooms of a member, sorted, without its own.
func (m *Member[T]) Rooms() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Sorted(maps.Keys(m.rooms))
}

// SetData and Data keep what others are shown of a member.
func (m *Member[T]) SetData(data []byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.data = data
}

// Data returns what SetData has set, nil if nothing.
func (m *Member[T]) Data() []byte {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.data
}

// Size returns how many members and rooms there are.
func (g *Registry[T]) Size() (members, rooms int) {
	g.mu.RLock()
	defer g.mu.RUnlock()
	return len(g.members), len(g.rooms)
}

// Has reports whether anybody is in the room.
func (g *Registry[T]) Has(room string) bool {
	g.mu.RLock()
	defer g.mu.RUnlock()
	return g.members[room] != nil || len(g.rooms[room]) > 0
}

// All returns the names of all rooms, without the members' own.
func (g *Registry[T]) All() []string {
	g.mu.RLock()
	defer g.mu.RUnlock()
	return slices.Collect(maps.Keys(g.rooms))
}
