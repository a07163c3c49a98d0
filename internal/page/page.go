// Package page reads the code of our pages, and builds it, for tests that hold the
// pages to it.
package page

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"testing"
)

// Blocks returns the blocks of code that a page has in a language.
func Blocks(tb testing.TB, page, language string) (blocks []string) {
	tb.Helper()
	text, err := os.ReadFile(page)
	if err != nil {
		tb.Fatal(err)
	}
	for _, found := range regexp.MustCompile("(?ms)^```"+language+"\n(.*?)^```$").FindAllSubmatch(text, -1) {
		blocks = append(blocks, string(found[1]))
	}
	if len(blocks) == 0 {
		tb.Fatalf("%s has no block of %s", page, language)
	}
	return blocks
}

// Overlay returns a file for the go command's -overlay, with which ./overlay is a
// package of these files: it is on no disk, and the go.mod of the tests counts.
func Overlay(tb testing.TB, files map[string]string) (path string) {
	tb.Helper()
	here, err := os.Getwd()
	if err != nil {
		tb.Fatal(err)
	}
	temp := tb.TempDir()
	var overlay struct{ Replace map[string]string }
	overlay.Replace = make(map[string]string)
	write := func(name string, data []byte) string {
		path := filepath.Join(temp, name)
		if err := os.WriteFile(path, data, 0o600); err != nil {
			tb.Fatal(err)
		}
		return path
	}
	for name, source := range files {
		overlay.Replace[filepath.Join(here, "overlay", name)] = write(name, []byte(source))
	}
	data, err := json.Marshal(overlay)
	if err != nil {
		tb.Fatal(err)
	}
	return write("overlay.json", data)
}
