package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestMain(m *testing.M) {
	if os.Getenv(nodeVariable) != "" {
		runNode()
		return
	}
	os.Exit(m.Run())
}

// TestMeasure: everything arrives, and costs something.
func TestMeasure(t *testing.T) {
	for _, w := range works {
		r, err := measure(w, 2, 200*time.Millisecond)
		require.NoError(t, err, w.Kind)
		require.Positive(t, r.sender, w.Kind)
		require.Positive(t, r.other, w.Kind)
		require.Positive(t, r.redis, w.Kind)
	}
}

func TestRow(t *testing.T) {
	r := result{31_400, 9_960, 999_600}
	require.Equal(t, "| 1 | 31 µs | – | 1000 µs | 1031 µs |\n", r.row(1))
	require.Equal(t, "| 3 | 31 µs | 10.0 µs | 1000 µs | 1051 µs |\n", r.row(3))
}

func TestOnPaper(t *testing.T) {
	best := make(map[work]map[int]result)
	for _, w := range works {
		best[w] = map[int]result{1: {10_000, 0, 10_000}, 8: {10_000, 5_000, 45_000}}
	}
	require.Contains(t, onPaper(best, 1, 8), "| 16 | 170 µs | 11700 a second | 170 µs | 11700 a second | 170 µs |\n")
}

func TestReplace(t *testing.T) {
	page := filepath.Join(t.TempDir(), "page.md")
	require.ErrorContains(t, replace(page, "new\n"), "no such file")
	require.NoError(t, os.WriteFile(page, []byte("before\n"+begin+"old\n"+end+"after\n"), 0o644))
	require.NoError(t, replace(page, "new\n"))
	got, err := os.ReadFile(page)
	require.NoError(t, err)
	require.Equal(t, "before\n"+begin+"new\n"+end+"after\n", string(got))
	require.NoError(t, os.WriteFile(page, []byte(strings.Repeat("x", 10)), 0o644))
	require.Error(t, replace(page, "new\n"))
}
