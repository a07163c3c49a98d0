package structure_test

import (
	"fmt"
	"go/ast"
	"slices"
	"strings"
	"testing"
)

// homes are types whose methods live in several files, and which. All others have
// one file, in which they are declared.
//
// A Router is the handle of all that a namespace does, each in the file of its
// subject, as in the table of CONTRIBUTING.md; and so is an app of all that a tree of
// namespaces does. A Conn has its requests, calls and streams, whose lock is its own.
var homes = map[string][]string{
	"Router": {"adapter_ws.go", "admit.go", "app.go", "client.go", "cluster.go", "guard.go", "lifecycle.go", "recovery.go", "shutdown.go", "stats.go", "target.go"},
	"app":    {"admit.go", "cluster.go", "link.go", "recovery.go", "shutdown.go", "trace.go", "wsrouter.go"},
	"Conn":   {"call.go", "client.go", "errors.go", "guard.go", "join.go", "lifecycle.go", "reconnect.go", "recovery.go", "request.go", "response.go", "shutdown.go", "typed.go"},

	"Client":   {"reconnect.go"},                           // how it comes to a Conn, and to the next
	"Context":  {"errors.go", "request.go", "response.go"}, // answers, and the errors that are some
	"Target":   {"cluster.go"},                             // the part of it on other nodes
	"attached": {"recovery.go", "request.go"},              // what a client may come back to; Receive is where requests begin
	"link":     {"call.go", "join.go", "recovery.go"},      // how Conns begin, and outlive it; what calls cost
	"request":  {"lifecycle.go", "response.go"},            // how it ends with its Conn, and its stream

	"internal/rooms.Registry": {"select.go"},                                    // reading, apart from changing
	"internal/rooms.index":    {"select.go"},                                    // likewise
	"payload.Value":           {"json.go"},                                      // how it is written as a part of JSON
	"internal/socket.Conn":    {"end.go", "reader.go", "writer.go", "serve.go"}, // a half each, and the end of both; who reads
	"payload.marks":           {"value.go"},                                     // what they stand for
	"socketio.handler":        {"polling.go", "session.go", "websocket.go"},     // net/http's entries to each
	"socketio.packet":         {"format.go"},                                    // encoding, apart from parsing
	"socketio.session":        {"polling.go", "websocket.go"},                   // its two transports
}

// TestMethods: who looks for a method of a type finds it in the type's file, or in
// one of its prefix (socket.go, socket_unix.go), or in those of the table.
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
				t.Errorf("%s: method %s belongs into %s, where %s is declared; or make it a function, or list the file in homes with %q",
					f.path(), fn.Name.Name, home, r, key)
			}
		})
	}
	for key, files := range homes {
		for _, name := range files {
			if !used[key+" "+name] {
				t.Errorf("%s has no methods in %s any more: take that out of homes", key, name)
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

// crossing are calls of methods that want a lock held from another file than their
// own. The list is to get shorter.
var crossing = []string{
	// Conn.mu guards requests and calls too, so that one look at the phase is enough.
	"call.go waitsLocked",
	"lifecycle.go failCallsLocked",
	"lifecycle.go giveLocked",
	"lifecycle.go cancelLocked",
	"response.go giveLocked",
	"response.go cancelLocked",
	"response.go leaveLocked",
	"response.go waitsLocked",
	"shutdown.go cancelLocked",

	"socketio/websocket.go writerLocked", // of socketio: the session's lock guards both of its transports

	// putLocked is the one door out: an answer checks its phase with it, a broadcast
	// gathers whom to wake.
	"response.go putLocked",
	"target.go putLocked",

	// The transports of a session share its queue and its lock.
	"socketio/polling.go takePendingLocked",
	"socketio/websocket.go takePendingLocked",
}

// TestLockedStaysAtHome: what wants a lock held is called where one sees that it is.
func TestLockedStaysAtHome(t *testing.T) {
	tr := parse(t, "")
	home := map[string][]string{} // files that have a method of that name
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
					t.Errorf("line %d of %s calls %s, which wants a lock held, of %v: move one to the other, or let that take the lock",
						f.line(sel.Pos()), f.path(), sel.Sel.Name, files)
				}
			}
			return true
		})
	}
	for _, call := range crossing {
		if !used[call] {
			t.Errorf("%s is not called any more: take it out of crossing", call)
		}
	}
}
