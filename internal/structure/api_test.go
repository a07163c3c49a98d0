package structure_test

import (
	"bytes"
	"flag"
	"go/ast"
	"go/printer"
	"go/token"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "rewrite testdata/api.txt")

const (
	golden = "testdata/api.txt"
	asks   = " # ?" // what -update writes after a new name
)

// unexplained is how many names the root had before additions needed a reason. It
// may only shrink.
const unexplained = 260

// TestAPI checks that the root exports exactly the names in testdata/api.txt. To
// add a name run
//
//	go test ./internal/structure -run API -update
//
// and write a reason after it: why users of handlers need it.
func TestAPI(t *testing.T) {
	names := exported(parse(t, "").in(""))
	reasons := readGolden(t)
	if *update {
		writeGolden(t, names, reasons)
		reasons = readGolden(t)
	}
	bare := 0
	for _, name := range names {
		reason, ok := reasons[name]
		switch {
		case !ok:
			t.Errorf("%s\nis new or has changed. If users of handlers need it, run this test with -update and write the reason after it. Otherwise unexport it or move it to a package below", name)
		case reason == "":
			bare++
		case reason == "?":
			t.Errorf("%s\nneeds a reason in place of the question mark in %s: why do users of handlers need it?", name, golden)
		}
		delete(reasons, name)
	}
	for name := range reasons {
		t.Errorf("%s\nis no longer exported, which breaks its users. If that is intended, run this test with -update and say so in CHANGELOG.md", name)
	}
	if bare > unexplained {
		t.Errorf("%d names in %s have no reason, more than the %d there were at first: write # and a reason after each new one", bare, golden, unexplained)
	}
}

func readGolden(t *testing.T) map[string]string {
	t.Helper()
	text, err := os.ReadFile(golden)
	if *update && os.IsNotExist(err) {
		return map[string]string{}
	}
	require.NoError(t, err)
	reasons := map[string]string{}
	for line := range strings.Lines(string(text)) {
		name, reason, _ := strings.Cut(strings.TrimSpace(line), " # ")
		reasons[name] = reason
	}
	return reasons
}

func writeGolden(t *testing.T, names []string, reasons map[string]string) {
	t.Helper()
	var b strings.Builder
	for _, name := range names {
		b.WriteString(name)
		switch reason, ok := reasons[name]; {
		case !ok && len(reasons) > 0:
			b.WriteString(asks)
		case reason != "":
			b.WriteString(" # " + reason)
		}
		b.WriteByte('\n')
	}
	require.NoError(t, os.MkdirAll("testdata", 0o777))
	require.NoError(t, os.WriteFile(golden, []byte(b.String()), 0o666))
}

// exported returns one line for each exported name, sorted.
func exported(files []*source) (lines []string) {
	for _, f := range files {
		for _, d := range f.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				r := receiver(d)
				if d.Name.IsExported() && (r == "" || ast.IsExported(r)) {
					lines = append(lines, text(&ast.FuncDecl{Recv: d.Recv, Name: d.Name, Type: d.Type}))
				}
			case *ast.GenDecl:
				for _, spec := range d.Specs {
					lines = append(lines, specLines(d.Tok, spec)...)
				}
			}
		}
	}
	slices.Sort(lines)
	return lines
}

func specLines(tok token.Token, spec ast.Spec) (lines []string) {
	switch spec := spec.(type) {
	case *ast.ValueSpec:
		for _, name := range spec.Names {
			if name.IsExported() {
				lines = append(lines, strings.TrimSpace(tok.String()+" "+name.Name+" "+text(spec.Type)))
			}
		}
	case *ast.TypeSpec:
		if spec.Name.IsExported() {
			lines = typeLines(spec)
		}
	}
	return lines
}

// typeLines returns a line for a type, and one for each exported field or method
// declared with it.
func typeLines(spec *ast.TypeSpec) (lines []string) {
	name := "type " + spec.Name.Name
	fields, kind, part := []*ast.Field(nil), "", ""
	switch t := spec.Type.(type) {
	case *ast.StructType:
		fields, kind, part = t.Fields.List, "struct", ", field "
	case *ast.InterfaceType:
		fields, kind, part = t.Methods.List, "interface", ", method "
	default:
		return []string{"type " + text(&ast.TypeSpec{Name: spec.Name, TypeParams: spec.TypeParams, Assign: spec.Assign, Type: t})}
	}
	lines = []string{"type " + text(&ast.TypeSpec{Name: spec.Name, TypeParams: spec.TypeParams, Type: ast.NewIdent(kind)})}
	for _, field := range fields {
		if len(field.Names) == 0 {
			lines = append(lines, name+", embedded "+text(field.Type))
		}
		for _, n := range field.Names {
			if n.IsExported() {
				lines = append(lines, name+part+n.Name+" "+text(field.Type))
			}
		}
	}
	return lines
}

// text prints a node on one line, without comments.
func text(node ast.Node) string {
	if expr, ok := node.(ast.Expr); ok && expr == nil || node == nil {
		return ""
	}
	var b bytes.Buffer
	if err := printer.Fprint(&b, token.NewFileSet(), node); err != nil {
		panic(err)
	}
	return strings.Join(strings.Fields(b.String()), " ")
}
