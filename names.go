package wsrouter

import (
	"iter"
	"slices"
)

// maxNames is how many rooms one Target may name.
const maxNames = 10_000

// fewNames can be looked through as fast as a map.
const fewNames = 8

// names is a set of rooms' names. Its zero value is empty.
type names struct {
	list  []string            // in the order in which they were added
	index map[string]struct{} // of list; nil as long as they are few
}

func (n *names) has(name string) bool {
	if n.index == nil {
		return slices.Contains(n.list, name)
	}
	_, ok := n.index[name]
	return ok
}

// namesOf returns the set of the names in list, which it may keep.
func namesOf(list []string) names {
	if len(list) <= fewNames { // one that is named twice does no harm
		return names{list: list}
	}
	return names{}.with(list, len(list))
}

// add is for the only copy of a set.
func (n *names) add(name string) {
	if n.has(name) {
		return
	}
	n.list = append(n.list, name)
	if n.index != nil {
		n.index[name] = struct{}{}
	} else if len(n.list) > fewNames {
		n.index = make(map[string]struct{}, 2*fewNames)
		for _, name := range n.list {
			n.index[name] = struct{}{}
		}
	}
}

// with returns a copy with more in it. It stops at one above limit names.
func (n names) with(more []string, limit int) names {
	all := names{list: make([]string, 0, len(n.list)+min(len(more), fewNames))}
	for _, list := range [][]string{n.list, more} {
		for _, name := range list {
			if len(all.list) > limit {
				return all
			}
			all.add(name)
		}
	}
	return all
}

// meets reports whether any of rooms is in the set. However many are in that, it
// looks at each of rooms at most, or at a few.
func (n *names) meets(rooms map[string]struct{}) bool {
	for range n.shared(rooms) {
		return true
	}
	return false
}

// shared iterates over those that are in the set and among rooms, as meets does.
func (n *names) shared(rooms map[string]struct{}) iter.Seq[string] {
	return func(yield func(string) bool) {
		if n.index == nil {
			for _, name := range n.list {
				if _, in := rooms[name]; in && !yield(name) {
					return
				}
			}
			return
		}
		for room := range rooms {
			if n.has(room) && !yield(room) {
				return
			}
		}
	}
}
