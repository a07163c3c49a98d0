package socketio

import (
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wsrouter/wsrouter/internal/interop/process"
	"github.com/wsrouter/wsrouter/internal/page"
)

const pagePath = repository + "/docs/from-nestjs.md"

// given is what the page's snippets may name without declaring it.
const given = `
var (
	router      *wsrouter.Router
	handler     wsrouter.HandlerFunc
	middleware  wsrouter.Middleware
	validate    func(any) error
	oops        wsrouter.Middleware
	whoIs       func(*http.Request) (string, error)
	history     func(room string) []string
	server      *http.Server
	c           *wsrouter.Context
	ctx         context.Context
	ch          chan int
	seq         iter.Seq2[int, error]
	value, a, b any
	body        struct{ Text string }
	answer      any
	id          string
	room, other string
	userKey     = wsrouter.NewKey[string]("user")
	user        string
	url, key    string
	option      rueidis.ClientOption
	client      rueidis.Client
	broker      *redisbroker.Broker
)
`

// packages may be used by them without an import.
var packages = map[string]string{
	"context": "context", "errors": "errors", "http": "net/http", "iter": "iter", "time": "time",
	"rueidis": "github.com/redis/rueidis", "redisbroker": "github.com/wsrouter/wsrouter/redisbroker",
	"wsrouter": "github.com/wsrouter/wsrouter", "socketio": "github.com/wsrouter/wsrouter/socketio",
}

// TestPage compiles every snippet of docs/from-nestjs.md: its blocks, and the code
// in the right column of its tables.
func TestPage(t *testing.T) {
	programs, snippets := readPage(t)
	require.Len(t, programs, 2, "the samples")
	require.Greater(t, len(snippets), 50)
	var b strings.Builder
	for i, snippet := range snippets {
		fmt.Fprintf(&b, "\nfunc _() error { // snippet %d\n%s\nreturn nil\n}\n", i, complete(t, snippet))
	}
	compile(t, map[string]string{"page.go": withImports("page", given+b.String())})
	for _, program := range programs {
		compile(t, map[string]string{"main.go": program}, "-o", os.DevNull)
	}
}

// readPage returns the blocks that are programs, and all other Go code.
func readPage(t *testing.T) (programs, snippets []string) {
	t.Helper()
	text, err := os.ReadFile(pagePath)
	require.NoError(t, err)
	for _, block := range page.Blocks(t, pagePath, "go") {
		if strings.HasPrefix(block, "package main\n") {
			programs = append(programs, block)
		} else {
			snippets = append(snippets, block)
		}
	}
	code := regexp.MustCompile("`([^`]+)`")
	for line := range strings.Lines(string(text)) {
		cells := strings.Split(line, " | ")
		if !strings.HasPrefix(line, "| ") || strings.HasPrefix(strings.TrimSpace(cells[1]), "none:") {
			continue
		}
		require.Len(t, cells, 2, "%s", line)
		for _, match := range code.FindAllStringSubmatch(cells[1], -1) {
			snippets = append(snippets, match[1])
		}
	}
	return programs, snippets
}

// complete makes statements of a snippet that compile by themselves: values that
// it makes are used.
func complete(t *testing.T, snippet string) string {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "", "package p\nfunc _() {\n"+snippet+"\n}", 0)
	require.NoError(t, err, "%s", snippet)
	for _, statement := range file.Decls[0].(*ast.FuncDecl).Body.List {
		switch statement := statement.(type) {
		case *ast.AssignStmt:
			for _, left := range statement.Lhs {
				snippet += "\n_ = " + left.(*ast.Ident).Name
			}
		case *ast.ReturnStmt:
			snippet = "if true {\n" + snippet + "\n}"
		}
	}
	return snippet
}

func withImports(name, source string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "package %s\n\nimport (\n", name)
	for name, path := range packages {
		if strings.Contains(source, name+".") {
			fmt.Fprintf(&b, "\t%q\n", path)
		}
	}
	return b.String() + ")\n" + source
}

// compile builds a package that is on no disk: for the go command it is a folder
// beside the tests, so that their go.mod counts.
func compile(t *testing.T, files map[string]string, args ...string) {
	t.Helper()
	here, err := os.Getwd()
	require.NoError(t, err)
	temp := t.TempDir()
	overlay := struct{ Replace map[string]string }{make(map[string]string)}
	for name, source := range files {
		path := filepath.Join(temp, name)
		require.NoError(t, os.WriteFile(path, []byte(source), 0o600))
		overlay.Replace[filepath.Join(here, "overlay", name)] = path
	}
	data, err := json.Marshal(overlay)
	require.NoError(t, err)
	path := filepath.Join(temp, "overlay.json")
	require.NoError(t, os.WriteFile(path, data, 0o600))
	goTool(t, ".", append(append([]string{"build", "-overlay", path}, args...), "./overlay")...)
}

// port stands in a sample for its ":3000".
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
	programs, _ := readPage(t)
	source := programs[n]
	require.Contains(t, source, `":3000"`)
	source = strings.Replace(source, `":3000"`, "addr()", 1)
	binary = filepath.Join(t.TempDir(), "sample")
	args := []string{"-buildvcs=false", "-o", binary}
	if process.RaceEnabled() {
		args = append(args, "-race")
	}
	compile(t, map[string]string{"main.go": source, "port.go": port}, args...)
	return binary
}
