package socketio

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wsrouter/wsrouter/internal/interop/process"
	"github.com/wsrouter/wsrouter/internal/page"
)

const pagePath = repository + "/docs/from-nestjs.md"

// programs returns the samples that the page shows, which package pages also
// compiles.
func programs(t *testing.T) (programs []string) {
	t.Helper()
	for _, block := range page.Blocks(t, pagePath, "go") {
		if strings.HasPrefix(block, "package main\n") {
			programs = append(programs, block)
		}
	}
	require.Len(t, programs, 2, "the samples")
	return programs
}

// port replaces the ":3000" in a sample.
const port = `package main

import (
	"os"
	"os/signal"
	"syscall"
)

func addr() string {
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, syscall.SIGTERM)
	go func() { <-ended; os.Exit(0) }()
	return os.Args[2] // behind -addr
}
`

// buildSample builds one of the page's programs.
func buildSample(t *testing.T, n int) (binary string) {
	t.Helper()
	source := programs(t)[n]
	require.Contains(t, source, `":3000"`)
	source = strings.Replace(source, `":3000"`, "addr()", 1)
	binary = filepath.Join(t.TempDir(), "sample")
	args := []string{"-buildvcs=false", "-o", binary}
	if process.RaceEnabled() {
		args = append(args, "-race")
	}
	page.Compile(t, ".", map[string]string{"main.go": source, "port.go": port}, args...)
	return binary
}
