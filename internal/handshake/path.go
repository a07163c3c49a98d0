package handshake

import (
	"net/http"
	"reflect"
	"strings"
)

// pathNames returns the names that have a PathValue in r: the wildcards of its
// pattern, and those that routers other than net/http's, or middleware, have set. It
// reports false if it cannot tell.
func pathNames(r *http.Request) ([]string, bool) {
	names := wildcards(r.Pattern)
	if setPathValues.Type != reflect.TypeFor[map[string]string]() {
		return nil, false
	}
	set := reflect.ValueOf(r).Elem().FieldByIndex(setPathValues.Index)
	for _, key := range set.MapKeys() {
		names = append(names, key.String())
	}
	return names, true
}

// setPathValues is the field of a request that has what SetPathValue was called with.
// Nothing public lists that.
var setPathValues, _ = reflect.TypeFor[http.Request]().FieldByName("otherValues")

// wildcards returns the names of the wildcards in a pattern of net/http.
func wildcards(pattern string) (names []string) {
	for {
		_, rest, ok := strings.Cut(pattern, "{")
		if !ok {
			return names
		}
		name, after, _ := strings.Cut(rest, "}")
		pattern = after
		if name = strings.TrimSuffix(name, "..."); name != "$" && name != "" {
			names = append(names, name)
		}
	}
}
