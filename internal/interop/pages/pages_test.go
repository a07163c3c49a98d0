package pages

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wsrouter/wsrouter/internal/page"
)

const repository = "../../.."

// given declares what snippets may use without declaring it.
const given = `
var (
	router      *wsrouter.Router
	handler     wsrouter.HandlerFunc
	middleware  wsrouter.Middleware
	validate    func(any) error
	oops        wsrouter.Middleware
	envelope    wsrouter.Middleware
	whoIs       func(*http.Request) (string, error)
	verify      func(token string) (string, error)
	allowed     func(*http.Request) bool
	history     func(room string) []string
	produce     func(context.Context, chan<- int)
	sum         func([]int) int
	server      *http.Server
	opts        = new(wsrouter.Options)
	conn        *wsrouter.Conn
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

// packages may be used by snippets without an import.
var packages = map[string]string{
	"context": "context", "errors": "errors", "fmt": "fmt", "http": "net/http", "iter": "iter", "log": "log", "time": "time",
	"slog": "log/slog", "strings": "strings", "testing": "testing", "synctest": "testing/synctest",
	"rueidis": "github.com/redis/rueidis", "redisbroker": "github.com/wsrouter/wsrouter/redisbroker",
	"wsrouter": "github.com/wsrouter/wsrouter", "socketio": "github.com/wsrouter/wsrouter/socketio",
	"wsrouterprom": "github.com/wsrouter/wsrouter/wsrouterprom", "wsrouterotel": "github.com/wsrouter/wsrouter/wsrouterotel",
	"otel":     "go.opentelemetry.io/otel",
	"clientjs": "github.com/wsrouter/wsrouter/clientjs", "wsroutertest": "github.com/wsrouter/wsrouter/wsroutertest",
}

// tables are the pages whose tables have Go in their last column.
var tables = map[string]bool{"docs/from-nestjs.md": true}

// TestPages compiles what the pages show. Blocks that are in a Go file of the
// repository are compiled there. The others are programs, declarations, or
// statements of a function that returns an error.
func TestPages(t *testing.T) {
	pages, err := page.All(repository)
	require.NoError(t, err)
	sources := readSources(t)
	for _, name := range []string{"README.md", "docs/from-nestjs.md", "docs/recipes.md", "docs/zh.md"} {
		require.Contains(t, pages, name)
		require.Greater(t, len(pages[name].Blocks("go")), 3, name)
	}
	for name, p := range pages {
		t.Run(name, func(t *testing.T) {
			var statements []string
			for _, block := range p.Blocks("go") {
				switch {
				case strings.Contains(sources, block):
				case name == "README.md" && strings.HasPrefix(block, "package main\n"): // TestReadme runs them
				case strings.HasPrefix(block, "package main\n"):
					page.Compile(t, ".", map[string]string{"main.go": block}, "-o", os.DevNull)
				default:
					statements = append(statements, block)
				}
			}
			if tables[name] {
				rows := lastColumn(t, p.Text)
				require.Greater(t, len(rows), 50)
				statements = append(statements, rows...)
			}
			if len(statements) > 0 {
				module := moduleOf(name)
				page.Compile(t, module, map[string]string{"page.go": source(t, module, statements)})
			}
		})
	}
}

// moduleOf returns the directory of the module by which a page's code is compiled: this
// one, unless the page is that of another module.
func moduleOf(name string) string {
	dir := filepath.Join(repository, filepath.Dir(name))
	if _, err := os.Stat(filepath.Join(dir, "go.mod")); err != nil || dir == filepath.Clean(repository) {
		return "."
	}
	return dir
}

// withoutRedis is given for modules that do not require it.
var withoutRedis = regexp.MustCompile(`(?m)^.*\b(rueidis|redisbroker)\..*\n`).ReplaceAllString(given, "")

// readSources returns the Go files of the repository.
func readSources(t *testing.T) string {
	t.Helper()
	var all strings.Builder
	require.NoError(t, filepath.WalkDir(repository, func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && (entry.Name() == "node_modules" || entry.Name()[0] == '.' && entry.Name() != ".."):
			return filepath.SkipDir
		case filepath.Ext(name) != ".go":
			return nil
		}
		text, err := os.ReadFile(name)
		all.Write(text)
		return err
	}))
	return all.String()
}

// lastColumn returns the code in the right column of a page's tables with two
// columns.
func lastColumn(t *testing.T, text string) (snippets []string) {
	t.Helper()
	code := regexp.MustCompile("`([^`]+)`")
	for line := range strings.Lines(text) {
		cells := strings.Split(line, " | ")
		if !strings.HasPrefix(line, "| ") || strings.HasPrefix(strings.TrimSpace(cells[1]), "none:") {
			continue
		}
		require.Len(t, cells, 2, "%s", line)
		for _, match := range code.FindAllStringSubmatch(cells[1], -1) {
			snippets = append(snippets, match[1])
		}
	}
	return snippets
}

// source makes one file of a page's snippets.
func source(t *testing.T, module string, snippets []string) string {
	t.Helper()
	var b strings.Builder
	if module == "." {
		b.WriteString(given)
	} else {
		b.WriteString(withoutRedis)
	}
	for i, snippet := range snippets {
		if isDeclarations(snippet) {
			fmt.Fprintf(&b, "\n// snippet %d\n%s\n", i, snippet)
		} else {
			fmt.Fprintf(&b, "\nfunc _() error { // snippet %d\n%s\nreturn nil\n}\n", i, complete(t, snippet))
		}
	}
	return withImports(b.String())
}

func isDeclarations(snippet string) bool {
	_, err := parser.ParseFile(token.NewFileSet(), "", "package p\n"+snippet, 0)
	return err == nil
}

// complete uses the values that a snippet declares, so that it compiles.
func complete(t *testing.T, snippet string) string {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "", "package p\nfunc _() {\n"+snippet+"\n}", 0)
	require.NoError(t, err, "%s", snippet)
	for _, statement := range file.Decls[0].(*ast.FuncDecl).Body.List {
		switch statement := statement.(type) {
		case *ast.AssignStmt:
			for _, left := range statement.Lhs {
				if name, ok := left.(*ast.Ident); ok && name.Name != "_" {
					snippet += "\n_ = " + name.Name
				}
			}
		case *ast.ReturnStmt:
			snippet = "if true {\n" + snippet + "\n}"
		}
	}
	return snippet
}

func withImports(source string) string {
	var b strings.Builder
	b.WriteString("package page\n\nimport (\n")
	for name, path := range packages {
		if regexp.MustCompile(`\b` + name + `\.`).MatchString(source) {
			fmt.Fprintf(&b, "\t%q\n", path)
		}
	}
	return b.String() + ")\n" + source
}
