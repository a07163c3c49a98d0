package wsrouterprom

import (
	"maps"
	"sync"
	"sync/atomic"
	"unicode/utf8"
)

// cache keeps one value for each key. Readers take no lock, because a map that has
// been stored no longer changes: each new key copies it. There are few keys.
type cache[K comparable, V any] struct {
	made atomic.Pointer[map[K]V] // nil until there is a key
	mu   sync.Mutex              // held while the map is replaced
}

func (c *cache[K, V]) get(key K) (v V, ok bool) {
	v, ok = c.all()[key]
	return v, ok
}

// put stores v unless the key has a value, and returns the key's value.
func (c *cache[K, V]) put(key K, v V) V {
	c.mu.Lock()
	defer c.mu.Unlock()
	if old, ok := c.get(key); ok {
		return old
	}
	made := make(map[K]V, len(c.all())+1)
	maps.Copy(made, c.all())
	made[key] = v
	c.made.Store(&made)
	return v
}

// all returns the map, which must only be read.
func (c *cache[K, V]) all() map[K]V {
	if made := c.made.Load(); made != nil {
		return *made
	}
	return nil
}

// names bounds the values that a label may have: those that are known, and the
// first others that come, until there is no more room.
type names struct {
	known cache[string, struct{}]
	most  int
	mu    sync.Mutex // held while a name is added
}

func newNames(room int, known ...string) *names {
	n := new(names)
	for _, name := range known {
		n.known.put(name, struct{}{})
	}
	n.most = len(n.known.all()) + room
	return n
}

// label returns the value for a name.
func (n *names) label(name string) string {
	if _, ok := n.known.get(name); ok {
		return name
	}
	if name == "" || len(name) > maxNameLength || !utf8.ValidString(name) || !n.add(name) {
		return Other
	}
	return name
}

func (n *names) add(name string) bool {
	if len(n.known.all()) >= n.most {
		return false
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.known.all()) >= n.most {
		_, ok := n.known.get(name)
		return ok
	}
	n.known.put(name, struct{}{})
	return true
}

// orOther returns the label of a name whose number is already bounded.
func orOther(name string) string {
	if name == "" {
		return Other
	}
	return name
}
