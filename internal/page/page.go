// Package page reads the code of our pages, for tests that hold them to it.
package page

import (
	"os"
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
