package structure_test

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestNestedModulesStandAlone checks that a nested module requires a version of the
// root that can exist, and imports nothing from it that other modules could not
// import.
func TestNestedModulesStandAlone(t *testing.T) {
	mods := 0
	require.NoError(t, filepath.WalkDir(root, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() && (entry.Name() == "node_modules" || name != root && entry.Name()[0] == '.') {
			return filepath.SkipDir
		}
		if entry.Name() == "go.mod" && name != filepath.Join(root, "go.mod") {
			mods++
			checkVersions(t, name)
			checkImports(t, filepath.Dir(name))
		}
		return nil
	}))
	assert.Positive(t, mods)
}

var zeroVersion = regexp.MustCompile(`wsrouter\S* v0\.0\.0-0001`)

func checkVersions(t *testing.T, name string) {
	t.Helper()
	text, err := os.ReadFile(name)
	require.NoError(t, err)
	assert.False(t, zeroVersion.Match(text), "%s requires a version that cannot exist", name)
}

func checkImports(t *testing.T, dir string) {
	t.Helper()
	rel, err := filepath.Rel(root, dir)
	require.NoError(t, err)
	own := path.Join(module, filepath.ToSlash(rel)) + "/"
	require.NoError(t, filepath.WalkDir(dir, func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		for _, spec := range file.Imports {
			imported, _ := strconv.Unquote(spec.Path.Value)
			foreign := strings.HasPrefix(imported, module+"/internal/") && !strings.HasPrefix(imported, own)
			assert.False(t, foreign, "%s imports %s", name, imported)
		}
		return nil
	}))
}
