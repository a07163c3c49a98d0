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
var homes = map[string][]string{}

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
var crossing = []string{}

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
		ast.Inspect(f, func(n ast.Node) bool {
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
						tr.line(sel.Pos()), f.path(), sel.Sel.Name, files)
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
