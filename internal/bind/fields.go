package bind

import (
	"cmp"
	"reflect"
	"slices"
	"strings"
	"unicode"
)

// field is a field of a struct, as encoding/json decodes into it.
type field struct {
	name   string
	t      reflect.Type
	index  []int
	tagged bool
	quoted bool // has the option "string"
}

// fieldsOf returns the fields that encoding/json decodes into, by name. If several
// have the same name, the least deeply embedded one counts; among those, the one
// whose name comes from a tag; if there are still several, none counts.
func fieldsOf(t reflect.Type) map[string]field {
	var list []field
	visited := make(map[reflect.Type]bool)
	for level := []field{{t: t}}; len(level) > 0; {
		var next []field
		count := make(map[reflect.Type]int)
		for _, outer := range level {
			count[outer.t]++
		}
		for _, outer := range level {
			if visited[outer.t] {
				continue
			}
			visited[outer.t] = true
			for i := range outer.t.NumField() {
				f, embedded, ok := newField(outer, i)
				switch {
				case !ok:
				case embedded:
					next = append(next, f)
				case count[outer.t] > 1: // it is embedded twice, and so hides itself
					list = append(list, f, f)
				default:
					list = append(list, f)
				}
			}
		}
		level = next
	}
	return dominant(list)
}

// newField describes field i of a struct. embedded means that the field is a struct
// whose fields count as fields of the outer one. ok is false if the decoder ignores
// the field.
func newField(outer field, i int) (f field, embedded, ok bool) {
	sf := outer.t.Field(i)
	name, options, _ := strings.Cut(sf.Tag.Get("json"), ",")
	f = field{name: sf.Name, t: sf.Type, index: append(slices.Clone(outer.index), i)}
	inner := sf.Type
	if inner.Name() == "" && inner.Kind() == reflect.Pointer {
		inner = inner.Elem()
	}
	structure := inner.Kind() == reflect.Struct
	switch {
	case sf.Tag.Get("json") == "-", !sf.IsExported() && !(sf.Anonymous && structure):
		return f, false, false
	case validName(name):
		f.name, f.tagged = name, true
	case sf.Anonymous && structure:
		f.t = inner
		return f, true, true
	}
	f.quoted = slices.Contains(strings.Split(options, ","), "string") && literal(inner.Kind())
	return f, false, true
}

// literal reports whether the option "string" has a meaning for a kind.
func literal(k reflect.Kind) bool {
	return k >= reflect.Bool && k <= reflect.Float64 || k == reflect.String
}

// validName reports whether the name in a tag counts.
func validName(name string) bool {
	for _, r := range name {
		if !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune("!#$%&()*+-./:;<=>?@[]^_{|}~ ", r) {
			return false
		}
	}
	return name != ""
}

func dominant(list []field) map[string]field {
	slices.SortStableFunc(list, func(a, b field) int {
		return cmp.Or(cmp.Compare(a.name, b.name), compareRank(a, b))
	})
	fields := make(map[string]field, len(list))
	for i := 0; i < len(list); {
		end := i + 1
		for end < len(list) && list[end].name == list[i].name {
			end++
		}
		if end == i+1 || compareRank(list[i], list[i+1]) != 0 {
			fields[list[i].name] = list[i]
		}
		i = end
	}
	return fields
}

// compareRank orders fields of one name.
func compareRank(a, b field) int {
	untagged := func(f field) int {
		if f.tagged {
			return 0
		}
		return 1
	}
	return cmp.Or(cmp.Compare(len(a.index), len(b.index)), cmp.Compare(untagged(a), untagged(b)))
}

// findField looks for the exact name, then for the first one that only differs in
// case.
func findField(fields map[string]field, name string) (found field, ok bool) {
	if found, ok = fields[name]; ok {
		return found, true
	}
	for _, f := range fields {
		if strings.EqualFold(f.name, name) && (!ok || slices.Compare(f.index, found.index) < 0) {
			found, ok = f, true
		}
	}
	return found, ok
}
