package structure_test

import (
	"go/ast"
	"go/scanner"
	"go/token"
	"strings"
	"testing"
)

const (
	maxFunction  = 45
	maxFile      = 500
	maxRootFiles = 24
	maxRootLines = 5542 // of code, without comments and blanks; 4,100 is meant, and this what there is
)

// bounded lists the directories whose files and functions are bounded.
var bounded = []string{
	"", "adapter", "broker", "payload", "internal/outbox", "internal/lane", "internal/rooms", "internal/budget",
	"internal/membership", "internal/sessions", "internal/quota", "internal/plain", "internal/pipe", "internal/bind",
	"internal/socket", "internal/tail", "internal/heartbeat", "internal/lazy", "internal/hooks", "internal/gather",
	"internal/usercode", "internal/closecode", "internal/scratch", "socketio", "wsroutertest",
}

// longer lists functions and files that may be longer, and why.
var longer = map[string]string{
	"redisbroker/node.go: node.subscribed": "one connection's life, whose hooks, channels and defers all steps share",
}

func TestBounds(t *testing.T) {
	tr := parse(t, "")
	tr.files = append(tr.in(bounded...), parse(t, "redisbroker").files...)
	tr.files = append(tr.files, parse(t, "wsrouterprom").files...)
	seen := map[string]bool{}
	check := func(name string, lines, bound int) {
		switch why, ok := longer[name]; {
		case lines <= bound:
		case !ok:
			t.Errorf("%s has %d lines, more than %d: split it by what it does, or give a reason in longer", name, lines, bound)
		case why == "":
			t.Errorf("%s has no reason in longer", name)
		default:
			seen[name] = true
		}
	}
	for _, f := range tr.files {
		check(f.path(), strings.Count(f.text, "\n"), maxFile)
		functions(f, func(fn *ast.FuncDecl) {
			name := fn.Name.Name
			if r := receiver(fn); r != "" {
				name = r + "." + name
			}
			check(f.path()+": "+name, f.line(fn.End())-f.line(fn.Pos())+1, maxFunction)
		})
	}
	for name := range longer {
		if !seen[name] {
			t.Errorf("%s is short enough: remove it from longer", name)
		}
	}
}

func TestRootBounds(t *testing.T) {
	files := parse(t, "").in("")
	if len(files) > maxRootFiles {
		t.Errorf("the root has %d files that are not tests, more than %d: what users of handlers do not name belongs in a package below", len(files), maxRootFiles)
	}
	lines := 0
	for _, f := range files {
		lines += codeLines(f.text)
	}
	t.Logf("the root has %d files and %d lines of code", len(files), lines)
	if lines > maxRootLines {
		t.Errorf("the root has %d lines of code, more than %d: move what needs neither a Router nor a Conn to a leaf", lines, maxRootLines)
	}
}

// codeLines counts the lines that have something other than comments.
func codeLines(text string) int {
	file := token.NewFileSet().AddFile("", -1, len(text))
	var s scanner.Scanner
	s.Init(file, []byte(text), nil, 0)
	lines := map[int]bool{}
	for {
		pos, tok, literal := s.Scan()
		switch {
		case tok == token.EOF:
			return len(lines)
		case tok == token.SEMICOLON && literal == "\n":
			continue
		}
		first := file.Line(pos)
		for i := range strings.Count(literal, "\n") + 1 {
			lines[first+i] = true
		}
	}
}
