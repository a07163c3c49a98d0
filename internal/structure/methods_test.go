package structure_test

import (
	"fmt"
	"go/ast"
	"slices"
	"strings"
	"testing"
)

// homes lists types whose methods are in several files, and those files. All other
// types have one file, in which they are declared.
//
// A Router is the handle for everything a namespace does, each part in the file of
// its subject, see the table in CONTRIBUTING.md; an app likewise for everything a
// tree of namespaces does. A Conn owns the lock of its requests, calls and streams.
var homes = map[string][]string{
	"Router": {"adapter_ws.go", "admit.go", "app.go", "client.go", "cluster.go", "guard.go", "lifecycle.go", "recovery.go", "shutdown.go", "stats.go", "target.go"},
	"app":    {"admit.go", "cluster.go", "link.go", "recovery.go", "shutdown.go", "trace.go", "wsrouter.go"},
	"Conn":   {"call.go", "client.go", "errors.go", "guard.go", "join.go", "lifecycle.go", "reconnect.go", "recovery.go", "request.go", "response.go", "shutdown.go", "typed.go"},

	"Client":   {"reconnect.go"},                           // how it gets its Conn, and the next one
	"Context":  {"errors.go", "request.go", "response.go"}, // answers, and errors that are answers
	"Target":   {"cluster.go"},                             // the part on other nodes
	"attached": {"recovery.go", "request.go"},              // what a client may resume; Receive is where requests begin
	"link":     {"call.go", "join.go", "recovery.go"},      // how Conns begin and outlive it; what calls cost
	"request":  {"lifecycle.go", "response.go"},            // how it ends with its Conn, and its stream

	"internal/rooms.Registry": {"select.go"},                                    // reading is apart from changing
	"internal/rooms.index":    {"select.go"},                                    // likewise
	"payload.Value":           {"json.go"},                                      // how it is written as part of JSON
	"internal/socket.Conn":    {"end.go", "reader.go", "writer.go", "serve.go"}, // reading and writing, the end of both, and who reads
	"payload.marks":           {"value.go"},                                     // what they stand for
	"socketio.handler":        {"polling.go", "session.go", "websocket.go"},     // the entry points for net/http
	"socketio.packet":         {"format.go"},                                    // encoding is apart from parsing
	"socketio.session":        {"polling.go", "websocket.go"},                   // its two transports
}

// TestMethods checks that a method is in the file of its type, in one with its
// prefix (socket.go, socket_unix.go), or in one of the table.
func TestMethods(t *testing.T) {
	tr := parse(t, "")
	declared, used := declarations(tr), map[string]bool{}
	for _, f := range tr.in(bounded...) {
		functions(f, func(fn *ast.FuncDecl) {
			r := receiver(fn)
			home := declared[f.dir+"."+r]
			if r == "" || home == f.name || strings.HasPrefix(f.name, strings.TrimSuffix(home, ".go")+"_") {
				return
			}
			key := strings.TrimPrefix(f.dir+"."+r, ".")
			used[key+" "+f.name] = true
			if !slices.Contains(homes[key], f.name) {
				t.Errorf("%s: method %s belongs in %s, where %s is declared; or make it a function, or list the file in homes with %q",
					f.path(), fn.Name.Name, home, r, key)
			}
		})
	}
	for key, files := range homes {
		for _, name := range files {
			if !used[key+" "+name] {
				t.Errorf("%s no longer has methods in %s: remove that from homes", key, name)
			}
		}
	}
}

// declarations returns the file of each type.
func declarations(tr *tree) map[string]string {
	files := map[string]string{}
	for _, f := range tr.files {
		for _, d := range f.Decls {
			if gen, ok := d.(*ast.GenDecl); ok {
				for _, spec := range gen.Specs {
					if ts, ok := spec.(*ast.TypeSpec); ok {
						files[f.dir+"."+ts.Name.Name] = f.name
					}
				}
			}
		}
	}
	return files
}

// crossing lists calls to methods that require a lock from a file other than their
// own. The list should shrink.
var crossing = []string{
	// Conn.mu also guards requests and calls, so that one look at the phase is
	// enough.
	"call.go waitsLocked",
	"lifecycle.go failCallsLocked",
	"lifecycle.go giveLocked",
	"lifecycle.go cancelLocked",
	"response.go giveLocked",
	"response.go cancelLocked",
	"response.go leaveLocked",
	"response.go waitsLocked",
	"shutdown.go cancelLocked",

	"socketio/websocket.go writerLocked", // the session's lock guards both of its transports

	// putLocked is the only way out: an answer checks its phase with it, a
	// broadcast collects whom to wake.
	"response.go putLocked",
	"target.go putLocked",

	// The transports of a session share its queue and its lock.
	"socketio/polling.go takePendingLocked",
	"socketio/websocket.go takePendingLocked",
}

// TestLockedStaysAtHome checks that methods that require a lock are called where
// one can see that it is held.
func TestLockedStaysAtHome(t *testing.T) {
	tr := parse(t, "")
	home := map[string][]string{} // files that have a method with that name
	for _, f := range tr.files {
		functions(f, func(fn *ast.FuncDecl) {
			if strings.HasSuffix(fn.Name.Name, "Locked") {
				key := f.dir + "." + fn.Name.Name
				home[key] = append(home[key], f.name)
			}
		})
	}
	used := map[string]bool{}
	for _, f := range tr.files {
		ast.Inspect(f.File, func(n ast.Node) bool {
			sel, ok := n.(*ast.SelectorExpr)
			files := []string(nil)
			if ok {
				files = home[f.dir+"."+sel.Sel.Name]
			}
			if len(files) > 0 && !slices.Contains(files, f.name) {
				call := fmt.Sprintf("%s %s", f.path(), sel.Sel.Name)
				used[call] = true
				if !slices.Contains(crossing, call) {
					t.Errorf("line %d of %s calls %s, which requires a lock, in %v: move one to the other, or let the method take the lock",
						f.line(sel.Pos()), f.path(), sel.Sel.Name, files)
				}
			}
			return true
		})
	}
	for _, call := range crossing {
		if !used[call] {
			t.Errorf("%s is no longer called: remove it from crossing", call)
		}
	}
}
