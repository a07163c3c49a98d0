package scan_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/wsrouter/wsrouter/internal/scan"
)

var seeds = []string{
	`{}`, `[]`, ` { "a" : [ 1 , -0.5e+3 , {"b":null} ] , "c\u00e9\n" : true } `, `"x\"y"`, `0`, `-`, `01`, `1.`, `1e`, `.5`,
	`[1,]`, `{"a":1,}`, `{"a"}`, `{a:1}`, `[`, `{`, `"`, `"\`, `"\u12`, `"\x"`, "\"\n\"", `tru`, `nul`, `falsey`, `[}`, `{"a":[}`, ``, ` `,
	`[[[]]]`, `{"":{}}`, `[1 2]`, `{"a":1 "b":2}`, `[,]`, `{,}`, `-1E-1`, `1e5.5`, `--1`, `"\u00g0"`, "\xff", "\"\xff\"", `]`, `[]]`,
}

// valid is json.Valid, implemented with this package.
func valid(data []byte) bool {
	end := scan.Value(data, 0)
	return end >= 0 && scan.Space(data, end) == len(data)
}

// FuzzValue checks that a text is valid here if and only if encoding/json finds it
// valid.
func FuzzValue(f *testing.F) {
	for _, seed := range seeds {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if got, want := valid(data), json.Valid(data); got != want {
			t.Errorf("%q: got %v, want %v", data, got, want)
		}
	})
}

// TestDepth checks that encoding/json reads an accepted value even with one more
// level around it.
func TestDepth(t *testing.T) {
	for depth, want := range map[int]bool{33: true, 9_999: true, 10_000: false, 1_000_000: false} {
		deep := []byte(strings.Repeat("[", depth) + strings.Repeat("]", depth))
		if got := valid(deep); got != want {
			t.Errorf("depth %d: got %v, want %v", depth, got, want)
		}
	}
	around := []byte("[" + strings.Repeat("[", 9_999) + strings.Repeat("]", 9_999) + "]")
	if !json.Valid(around) {
		t.Error("encoding/json is stricter")
	}
}

func BenchmarkValue(b *testing.B) {
	data := []byte(`{"event":"message","data":{"room":"lobby","text":"hello, world","n":[1,2.5,-3]},"id":7}`)
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		if scan.Value(data, 0) != len(data) {
			b.Fatal("not valid")
		}
	}
}

// TestPlain finds every byte at every place: Plain looks at eight bytes at a time.
func TestPlain(t *testing.T) {
	for size := range 20 {
		for at := range size {
			for c := range 256 {
				data := []byte(strings.Repeat("~", size))
				data[at] = byte(c)
				wantEnd := size
				if c < ' ' || c == '"' || c == '\\' {
					wantEnd = at
				}
				end, ascii := scan.Plain(data, 0)
				if end != wantEnd || ascii != (c < 0x80) {
					t.Fatalf("%q: got %d, %v", data, end, ascii)
				}
				// What follows the first byte that has a meaning does not count.
				for _, next := range []byte("\x00!\"\\\x80\xff") {
					if at+1 < size && end == at {
						data[at+1] = next
						if end, ascii := scan.Plain(data, 0); end != at || !ascii {
							t.Fatalf("%q: got %d, %v", data, end, ascii)
						}
					}
				}
			}
		}
	}
}
