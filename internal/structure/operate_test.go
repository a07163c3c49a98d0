package structure_test

import (
	"go/ast"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// levels are the functions that write a line of the log, with its level.
var levels = map[string]string{"Debug": "DEBUG", "Info": "INFO", "Warn": "WARN", "Error": "ERROR", "logFailure": "ERROR"}

// TestOperate: docs/operate.md lists each line that is logged, with its level.
func TestOperate(t *testing.T) {
	files := parse(t, "").in("", "internal/membership", "internal/socket", "internal/plain", "socketio", "adapter", "broker")
	files = append(files, parse(t, "redisbroker").files...)
	logged := map[string]string{}
	for _, f := range files {
		ast.Inspect(f.File, func(n ast.Node) bool {
			if call, ok := n.(*ast.CallExpr); ok {
				if line, level := logLine(f, call); line != "" {
					logged[line] = level
				}
			}
			return true
		})
	}
	require.Greater(t, len(logged), 20)

	page, err := os.ReadFile(filepath.Join(root, "docs", "operate.md"))
	require.NoError(t, err)
	listed := map[string]string{}
	for _, row := range regexp.MustCompile("(?m)^\\| (`(?:wsrouter|redisbroker): .*?`) \\| ([A-Z]+) \\|").FindAllStringSubmatch(string(page), -1) {
		for _, line := range strings.Split(row[1], "`, `") {
			listed[strings.Trim(line, "`")] = row[2]
		}
	}
	require.Equal(t, sorted(logged), sorted(listed))
}

func sorted(levels map[string]string) (lines []string) {
	for _, line := range slices.Sorted(maps.Keys(levels)) {
		lines = append(lines, levels[line]+" "+line)
	}
	return lines
}

// logLine returns the line that a call logs, and its level. If the level depends on
// the side, that is the level on the side that serves.
func logLine(f *source, call *ast.CallExpr) (line, level string) {
	sel, ok := call.Fun.(*ast.SelectorExpr)
	if !ok {
		return "", ""
	}
	level = levels[sel.Sel.Name]
	for _, arg := range call.Args {
		switch arg := arg.(type) {
		case *ast.SelectorExpr:
			if name, ok := strings.CutPrefix(arg.Sel.Name, "Level"); ok {
				level = strings.ToUpper(name)
			}
		case *ast.Ident:
			if arg.Name == "level" { // of admit.go, which serves
				level = "INFO"
			}
		case *ast.BasicLit:
			text, err := strconv.Unquote(arg.Value)
			if err == nil && level != "" && regexp.MustCompile(`^(wsrouter|redisbroker): `).MatchString(text) {
				line = text
			}
		}
	}
	return line, level
}
