package rooms

import "slices"

// Selection names members: those in any of the rooms To, or everybody if All is
// set, except those in any of the rooms Except. Both lists are sets, as made by
// Union.
type Selection struct {
	All     bool
	To      []string
	Except  []string
	Waiting bool // also those that wait in any of the rooms To
}

// Names returns how many names the selection has.
func (s *Selection) Names() int { return len(s.To) + len(s.Except) }

// Select returns the members of a selection, each once, in no order. If the
// selection has more than MaxNames names there are none.
func (g *Registry[T]) Select(s *Selection) []T {
	if s.Names() > MaxNames {
		return nil
	}
	g.mu.RLock()
	defer g.mu.RUnlock()
	list := g.inside.selected(s)
	if s.Waiting && !s.All && len(g.waiting.members) > 0 {
		list = append(list, g.waiting.selected(s)...)
	}
	return list
}

func (x *index[T]) selected(s *Selection) []T {
	excepted := x.excepted(s.Except)
	switch {
	case s.All:
		return x.everyone(excepted)
	case len(s.To) == 1:
		return x.room(s.To[0], excepted)
	}
	return x.union(s.To, excepted)
}

// Count returns how many members Select would return.
func (g *Registry[T]) Count(s *Selection) int {
	if len(s.Except) == 0 && s.All {
		n, _ := g.Size()
		return n
	}
	return len(g.Select(s))
}

// few names are found in a list as fast as in a map.
const few = 8

// Union returns the names of both lists, each once, in order of first appearance.
// It stops at MaxNames+1, which is too many.
func Union(names, more []string) []string {
	all := make([]string, 0, min(len(names)+len(more), MaxNames+1))
	var seen map[string]struct{}
	if len(names)+len(more) > few {
		seen = make(map[string]struct{}, min(len(names)+len(more), few))
	}
	for _, list := range [...][]string{names, more} {
		for _, name := range list {
			if len(all) > MaxNames {
				return all
			}
			if seen == nil {
				if !slices.Contains(all, name) {
					all = append(all, name)
				}
			} else if _, dup := seen[name]; !dup {
				seen[name] = struct{}{}
				all = append(all, name)
			}
		}
	}
	return slices.Clip(all)
}

// excepted returns a function that reports whether a member is in any of the rooms.
// Its cost does not depend on how many there are.
func (x *index[T]) excepted(rooms []string) func(*Member[T]) bool {
	switch len(rooms) {
	case 0:
		return func(*Member[T]) bool { return false }
	case 1:
		id, members := rooms[0], x.rooms[rooms[0]]
		return func(m *Member[T]) bool {
			_, in := members[m]
			return in || m.ID == id
		}
	}
	out := make(map[*Member[T]]struct{})
	for _, room := range rooms {
		if m := x.members[room]; m != nil {
			out[m] = struct{}{}
		}
		for m := range x.rooms[room] {
			out[m] = struct{}{}
		}
	}
	return func(m *Member[T]) bool { _, in := out[m]; return in }
}

func (x *index[T]) everyone(excepted func(*Member[T]) bool) []T {
	list := make([]T, 0, len(x.members))
	for _, m := range x.members {
		if !excepted(m) {
			list = append(list, m.Value)
		}
	}
	return list
}

func (x *index[T]) room(room string, excepted func(*Member[T]) bool) []T {
	members := x.rooms[room]
	own := x.members[room]
	n := len(members)
	if own != nil {
		n++
	}
	list := make([]T, 0, n)
	if own != nil && !excepted(own) {
		list = append(list, own.Value)
	}
	for m := range members {
		if m != own && !excepted(m) {
			list = append(list, m.Value)
		}
	}
	return list
}

func (x *index[T]) union(rooms []string, excepted func(*Member[T]) bool) []T {
	seen := make(map[*Member[T]]struct{})
	var list []T
	take := func(m *Member[T]) {
		if _, dup := seen[m]; dup || excepted(m) {
			return
		}
		seen[m] = struct{}{}
		list = append(list, m.Value)
	}
	for _, room := range rooms {
		if m := x.members[room]; m != nil {
			take(m)
		}
		for m := range x.rooms[room] {
			take(m)
		}
	}
	return list
}
