package structure_test

import (
	"slices"
	"strconv"
	"strings"
	"testing"
)

// imports lists the packages of this module that each package may import. A package
// that is not listed imports only public ones.
var imports = map[string][]string{
	"internal/scan":      {},
	"internal/outbox":    {},
	"internal/lane":      {},
	"internal/rooms":     {},
	"internal/budget":    {},
	"internal/tail":      {},
	"internal/origin":    {},
	"internal/quota":     {},
	"internal/lazy":      {},
	"internal/handshake": {},
	"internal/heartbeat": {},
	"internal/hooks":     {},
	"internal/gather":    {},
	"internal/usercode":  {},
	"internal/closecode": {},
	"internal/loop":      {},
	"internal/sessions":  {},
	"clientjs":           {},

	"payload":             {"internal/scan"},
	"adapter":             {"payload", "internal/lazy"},
	"broker":              {"payload"},
	"internal/bind":       {"payload", "internal/scan"},
	"internal/meta":       {"payload", "internal/scan"},
	"internal/scratch":    {"adapter"},
	"internal/plain":      {"adapter", "payload", "internal/meta", "internal/scan", "internal/scratch", "internal/usercode"},
	"internal/pipe":       {"adapter"},
	"internal/socket":     {"adapter", "internal/closecode", "internal/lazy", "internal/loop"},
	"internal/membership": {"broker"},

	"": {
		"adapter", "broker", "payload", "internal/bind", "internal/budget", "internal/closecode", "internal/gather",
		"internal/handshake", "internal/heartbeat", "internal/hooks", "internal/lane", "internal/lazy", "internal/membership", "internal/meta",
		"internal/origin", "internal/outbox", "internal/pipe", "internal/plain", "internal/quota", "internal/rooms",
		"internal/scratch", "internal/sessions", "internal/socket", "internal/tail", "internal/usercode",
	},

	"internal/loopback":  {},
	"internal/redistest": {"internal/loopback"},
	"internal/promtest":  {"internal/loopback"},
	"internal/rawtest":   {"", "adapter", "wsroutertest", "internal/pipe", "internal/plain"},

	"socketio": {
		"", "adapter", "payload", "internal/lazy", "internal/origin", "internal/scan", "internal/scratch", "internal/socket",
		"internal/usercode",
	},
	"wsroutertest":  {"", "adapter", "broker", "payload"},
	"examples/chat": {"", "examples/chat/page", "examples/chat/robot"},
}

var public = []string{"", "adapter", "broker", "payload", "clientjs", "socketio", "wsroutertest"}

// foreign lists the packages of others that code other than tests may import, by
// importer.
var foreign = map[string][]string{
	"internal/socket":  {"github.com/coder/websocket"},          // dials, and answers invalid handshakes
	"internal/rawtest": {"github.com/stretchr/testify/require"}, // only used by tests
}

// TestImports checks that packages only import what the table allows, so that a
// leaf cannot reach back to what uses it.
func TestImports(t *testing.T) {
	for _, f := range parse(t, "").files {
		for _, spec := range f.Imports {
			name, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				t.Fatal(err)
			}
			own, ours := strings.CutPrefix(name, module)
			own = strings.TrimPrefix(own, "/")
			allowed, listed := imports[f.dir]
			switch {
			case ours && !listed:
				allowed = public
			case !ours && !strings.Contains(strings.Split(name, "/")[0], "."):
				continue // in the standard library
			case !ours:
				own, allowed = name, foreign[f.dir]
			}
			if !slices.Contains(allowed, own) {
				t.Errorf("%s imports %s, but %s may only import %q. Let the caller pass what is needed, or move up what needs both",
					f.path(), name, "./"+f.dir, allowed)
			}
		}
	}
}
