package structure_test

import (
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wsrouter/wsrouter/internal/page"
)

// pages returns the pages of the repository, by their paths.
func pages(t *testing.T) map[string]*page.Page {
	t.Helper()
	all, err := page.All(root)
	require.NoError(t, err)
	require.Contains(t, all, "README.md")
	require.Contains(t, all, "docs/architecture.md")
	return all
}

// TestLinks: files, folders and headings that pages link to exist.
func TestLinks(t *testing.T) {
	all := pages(t)
	for name, p := range all {
		for _, link := range p.Links() {
			if strings.Contains(link, "://") || strings.HasPrefix(link, "mailto:") {
				continue
			}
			file, anchor, _ := strings.Cut(link, "#")
			to := name
			if file != "" {
				to = path.Join(path.Dir(name), file)
				_, err := os.Stat(filepath.Join(root, to))
				require.NoError(t, err, "%s links to %s", name, link)
			}
			if anchor != "" {
				require.Contains(t, all, to, "%s links to %s, which is not a page", name, link)
				require.Contains(t, all[to].Anchors(), anchor, "%s links to a heading that %s does not have", name, to)
			}
		}
	}
}

var (
	// testName is the name of a test that pages give as a proof.
	testName = regexp.MustCompile(`^(?:Test|Fuzz|Benchmark|Example)[A-Z]\w*$`)

	// linkedTest is a test's name with a link to its file.
	linkedTest = regexp.MustCompile("\\[`((?:Test|Fuzz)\\w+)`\\]\\(([\\w/]+\\.go)\\)")
)

// TestProofs: tests that pages name exist, in the file that is linked to.
func TestProofs(t *testing.T) {
	tests := map[string]bool{}
	function := regexp.MustCompile(`(?m)^func (\w+)\(`)
	require.NoError(t, filepath.WalkDir(root, func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && (entry.Name() == "node_modules" || name != root && entry.Name()[0] == '.'):
			return filepath.SkipDir
		case !strings.HasSuffix(name, ".go"):
			return nil
		}
		text, err := os.ReadFile(name)
		for _, found := range function.FindAllStringSubmatch(string(text), -1) {
			tests[found[1]] = true
		}
		return err
	}))
	seen := 0
	for name, p := range pages(t) {
		for _, code := range p.Code() {
			code = code[strings.LastIndex(code, ".")+1:] // wsroutertest.TestBroker
			if testName.MatchString(code) {
				seen++
				require.True(t, tests[code], "%s names %s, which does not exist", name, code)
			}
		}
	}
	require.Positive(t, seen)
	for name, p := range pages(t) {
		for _, found := range linkedTest.FindAllStringSubmatch(p.Text, -1) {
			text, err := os.ReadFile(filepath.Join(root, path.Dir(name), found[2]))
			require.NoError(t, err)
			has := strings.Contains(string(text), "func "+found[1]+"(")
			require.True(t, has, "%s looks for %s in %s", name, found[1], found[2])
		}
	}
}

// atlas are the pages that say where things are.
var atlas = []string{"CONTRIBUTING.md", "RELEASING.md", "docs/architecture.md"}

var (
	filePath = regexp.MustCompile(`^[\w-]+(/[\w.-]+)+$|^\w+\.(go|md|sh)$`)
	noFile   = regexp.MustCompile(`^testing/synctest$|/v0\.`) // names in Go's library, and tags
	selector = regexp.MustCompile(`^[A-Za-z]\w*\.[A-Za-z]\w*$`)
	at       = regexp.MustCompile("`([\\w.]+)` \\(`([\\w/]+\\.go)`")
)

// TestMaps: files, folders, functions and fields that these pages name exist, and
// functions are in the file that is named after them.
func TestMaps(t *testing.T) {
	declared, files := declaredNames(t)
	for _, name := range atlas {
		p := pages(t)[name]
		require.NotNil(t, p, name)
		for _, code := range p.Code() {
			switch {
			case filePath.MatchString(code) && !noFile.MatchString(code):
				_, err := os.Stat(filepath.Join(root, code))
				require.NoError(t, err, "%s names %s", name, code)
			case name == "docs/architecture.md" && selector.MatchString(code):
				require.True(t, declared[code], "%s names %s, which does not exist", name, code)
			}
		}
		for _, found := range at.FindAllStringSubmatch(p.Text, -1) {
			function := found[1][strings.LastIndex(found[1], ".")+1:]
			require.Contains(t, files[found[2]], function, "%s looks for %s in %s", name, found[1], found[2])
		}
	}
}

// TestModulesAreReleased: RELEASING.md names every module that others may require.
func TestModulesAreReleased(t *testing.T) {
	text := pages(t)["RELEASING.md"].Text
	mods, err := filepath.Glob(filepath.Join(root, "*", "go.mod"))
	require.NoError(t, err)
	require.NotEmpty(t, mods)
	for _, mod := range mods {
		tag := fmt.Sprintf("| `%s/v", filepath.Base(filepath.Dir(mod)))
		require.Contains(t, text, tag, "RELEASING.md has no line for %s", mod)
	}
}
