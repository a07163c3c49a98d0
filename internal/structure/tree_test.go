// Package structure_test checks the layout of the repository: who imports whom,
// where methods live, how long things are, and which names the root exports.
package structure_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const (
	root   = "../.."
	module = "github.com/wsrouter/wsrouter"
)

// source is a file that is not a test.
type source struct {
	*ast.File
	dir, name string // "" means the root directory
	text      string
	fset      *token.FileSet
}

func (s *source) path() string { return filepath.Join(s.dir, s.name) }

func (s *source) line(pos token.Pos) int { return s.fset.Position(pos).Line }

// tree holds what has been parsed.
type tree struct {
	fset  *token.FileSet
	files []*source
}

// parse reads the files below dir that are not tests; of nested modules only those
// below dir itself.
func parse(t *testing.T, dir string) *tree {
	t.Helper()
	tr := &tree{fset: token.NewFileSet()}
	base := filepath.Join(root, dir)
	require.NoError(t, filepath.WalkDir(base, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && path != base && skipped(path, entry.Name()):
			return filepath.SkipDir
		case entry.IsDir(), !strings.HasSuffix(path, ".go"), strings.HasSuffix(path, "_test.go"):
			return nil
		}
		return tr.add(path)
	}))
	require.NotEmpty(t, tr.files)
	return tr
}

func skipped(path, name string) bool {
	_, err := os.Stat(filepath.Join(path, "go.mod"))
	return err == nil || name == "node_modules" || name == "testdata" || name[0] == '.' && name != ".." && name != "."
}

func (tr *tree) add(path string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	file, err := parser.ParseFile(tr.fset, path, text, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return err
	}
	dir, err := filepath.Rel(root, filepath.Dir(path))
	if err != nil {
		return err
	}
	if dir == "." {
		dir = ""
	}
	tr.files = append(tr.files, &source{file, filepath.ToSlash(dir), filepath.Base(path), string(text), tr.fset})
	return nil
}

// in returns the files of these directories.
func (tr *tree) in(dirs ...string) (files []*source) {
	for _, f := range tr.files {
		if slices.Contains(dirs, f.dir) {
			files = append(files, f)
		}
	}
	return files
}

// functions calls do for each function and method of a file.
func functions(f *source, do func(fn *ast.FuncDecl)) {
	for _, d := range f.Decls {
		if fn, ok := d.(*ast.FuncDecl); ok {
			do(fn)
		}
	}
}

// receiver returns the name of the type that a method belongs to, or "" for a
// function.
func receiver(fn *ast.FuncDecl) string {
	if fn.Recv == nil {
		return ""
	}
	x := fn.Recv.List[0].Type
	for {
		switch e := x.(type) {
		case *ast.StarExpr:
			x = e.X
		case *ast.IndexExpr:
			x = e.X
		case *ast.IndexListExpr:
			x = e.X
		case *ast.Ident:
			return e.Name
		default:
			return ""
		}
	}
}
