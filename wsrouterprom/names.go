package wsrouterprom

import (
	"maps"
	"sync"
	"sync/atomic"
	"unicode/utf8"
)

// cache keeps what was made for a key. Whoever looks takes no lock: a map that is there
// does not change any more. The keys are few, so it may be copied for each.
type cache[K comparable, V any] struct {
	made atomic.Pointer[map[K]V] // nil as long as there is nothing
	mu   sync.Mutex              // held while it is replaced
}

func (c *cache[K, V]) get(key K) (v V, ok bool) {
	v, ok = c.all()[key]
	return v, ok
}

// put keeps v, unless there is something for the key, and returns what is kept.
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

// all returns what is there, to be read only.
func (c *cache[K, V]) all() map[K]V {
	if made := c.made.Load(); made != nil {
		return *made
	}
	return nil
}

// names are the values that a label may have: some that are known, and as many more,
// the first that come, as there is room for.
type names struct {
	known cache[string, struct{}]
	most  int
	mu    sync.Mutex // held by whoever adds one
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

// orOther is the label of a name that is bounded already.
func orOther(name string) string {
	if name == "" {
		return Other
	}
	return name
}
