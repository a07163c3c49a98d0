// Package leak fails a test run that leaves goroutines behind.
package leak

import (
	"fmt"
	"log/slog"
	"os"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"
)

// Main is meant for TestMain: it runs the tests, without the output of the default
// logger, and exits.
func Main(m *testing.M) {
	slog.SetDefault(slog.New(slog.DiscardHandler))
	code := m.Run()
	if left := leaked(); left != "" && code == 0 {
		fmt.Fprintf(os.Stderr, "goroutines left behind:\n%s\n", left)
		code = 1
	}
	os.Exit(code)
}

// leaked gives goroutines that are about to end some time to do so, and returns the
// stacks of those that do not.
func leaked() (stacks string) {
	for range 1500 { // an unanswered closing handshake takes 5 s
		stacks = ""
		for _, g := range Stacks() {
			if strings.Contains(g, "wsrouter") && !strings.Contains(g, "leaked") {
				stacks += g + "\n\n"
			}
		}
		if stacks == "" {
			return ""
		}
		time.Sleep(10 * time.Millisecond) // outside any bubble, after all tests
	}
	return stacks
}

// Stacks returns the stack of each goroutine.
func Stacks() []string {
	for size := 1 << 20; ; size *= 2 {
		buf := make([]byte, size)
		if n := runtime.Stack(buf, true); n < size {
			return strings.Split(string(buf[:n]), "\n\n")
		}
	}
}

// InBubble returns the stack of each goroutine of the caller's testing/synctest bubble,
// so none of those that other tests have left.
func InBubble() (stacks []string) {
	own := make([]byte, 200)
	own = own[:runtime.Stack(own, false)]
	bubble := regexp.MustCompile(`synctest bubble \d+`).FindString(string(own))
	for _, g := range Stacks() {
		head, _, _ := strings.Cut(g, "\n")
		if strings.HasSuffix(head, bubble+"]:") {
			stacks = append(stacks, g)
		}
	}
	return stacks
}
