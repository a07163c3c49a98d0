// Package leak fails a test run that leaves goroutines behind.
package leak

import (
	"fmt"
	"log/slog"
	"os"
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
		buf := make([]byte, 1<<20)
		stacks = ""
		for _, g := range strings.Split(string(buf[:runtime.Stack(buf, true)]), "\n\n") {
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
