// Package page reads the Markdown pages of this repository, for tests that check
// them: their code compiles, and what they link to and name exists.
package page

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// Page is one Markdown file.
type Page struct {
	Text  string // the whole file
	prose string // without blocks of code
}

var (
	block   = regexp.MustCompile("(?ms)^[ \t]*```.*?^[ \t]*```[ \t]*$")
	span    = regexp.MustCompile("`([^`\n]+)`")
	link    = regexp.MustCompile(`\]\(([^()\s]+)\)`)
	heading = regexp.MustCompile(`(?m)^#+ (.+)$`)
	linked  = regexp.MustCompile(`\[([^\]]*)\]\([^()]*\)`)
	unsaid  = regexp.MustCompile(`[^\p{L}\p{N}_ -]`)
)

// All returns the pages below a folder, by their slash-separated paths in it.
func All(root string) (map[string]*Page, error) {
	pages := map[string]*Page{}
	err := filepath.WalkDir(root, func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && skipped(name, root):
			return filepath.SkipDir
		case entry.IsDir(), filepath.Ext(name) != ".md":
			return nil
		}
		rel, err := filepath.Rel(root, name)
		if err != nil {
			return err
		}
		pages[filepath.ToSlash(rel)], err = read(name)
		return err
	})
	return pages, err
}

// skipped reports whether a folder, such as node_modules, has no pages of this
// repository. The folder .github has some.
func skipped(name, root string) bool {
	base := filepath.Base(name)
	return name != root && base != ".github" && (base[0] == '.' || base == "node_modules" || base == "testdata")
}

func read(name string) (*Page, error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	return &Page{string(text), block.ReplaceAllString(string(text), "")}, nil
}

// Links returns what the page links to, including images.
func (p *Page) Links() (to []string) {
	for _, found := range link.FindAllStringSubmatch(span.ReplaceAllString(p.prose, ""), -1) {
		to = append(to, found[1])
	}
	return to
}

// Code returns the texts between backquotes within lines.
func (p *Page) Code() (code []string) {
	for _, found := range span.FindAllStringSubmatch(p.prose, -1) {
		code = append(code, found[1])
	}
	return code
}

// Anchors returns the names by which the page's headings can be linked to, as
// GitHub makes them.
func (p *Page) Anchors() (anchors []string) {
	count := map[string]int{}
	for _, found := range heading.FindAllStringSubmatch(p.prose, -1) {
		name := strings.ToLower(linked.ReplaceAllString(found[1], "$1"))
		name = strings.ReplaceAll(unsaid.ReplaceAllString(name, ""), " ", "-")
		n := count[name]
		count[name]++
		if n > 0 {
			name += "-" + strconv.Itoa(n)
		}
		anchors = append(anchors, name)
	}
	return anchors
}

// Blocks returns the page's blocks of code in a language. Blocks in lists lose
// their indentation.
func (p *Page) Blocks(language string) (blocks []string) {
	of := regexp.MustCompile("(?ms)^([ \t]*)```" + language + "\n(.*?)^[ \t]*```$")
	for _, found := range of.FindAllStringSubmatch(p.Text, -1) {
		lines := regexp.MustCompile("(?m)^"+found[1]).ReplaceAllString(found[2], "")
		blocks = append(blocks, lines)
	}
	return blocks
}

// Blocks returns a page's blocks of code in a language. If there is none the test
// fails.
func Blocks(tb testing.TB, page, language string) []string {
	tb.Helper()
	p, err := read(page)
	if err != nil {
		tb.Fatal(err)
	}
	blocks := p.Blocks(language)
	if len(blocks) == 0 {
		tb.Fatalf("%s has no block of %s", page, language)
	}
	return blocks
}
