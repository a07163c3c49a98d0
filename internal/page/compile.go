package page

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Compile builds a package that is not on disk. The go command sees its files in a folder
// below module, a directory whose go.mod applies; "." is that of the test.
func Compile(tb testing.TB, module string, files map[string]string, args ...string) {
	tb.Helper()
	temp := tb.TempDir()
	here, err := filepath.Abs(module)
	if err != nil {
		tb.Fatal(err)
	}
	overlay := struct{ Replace map[string]string }{make(map[string]string)}
	for name, source := range files {
		file := filepath.Join(temp, name)
		write(tb, file, []byte(source))
		overlay.Replace[filepath.Join(here, "overlay", name)] = file
	}
	data, err := json.Marshal(overlay)
	if err != nil {
		tb.Fatal(err)
	}
	list := filepath.Join(temp, "overlay.json")
	write(tb, list, data)
	args = append(append([]string{"build", "-overlay", list}, args...), "./overlay")
	cmd := exec.CommandContext(tb.Context(), "go", args...)
	cmd.Dir = here
	cmd.Env = append(os.Environ(), "GOWORK=off")
	if out, err := cmd.CombinedOutput(); err != nil {
		tb.Fatalf("go %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

func write(tb testing.TB, name string, data []byte) {
	tb.Helper()
	if err := os.WriteFile(name, data, 0o600); err != nil {
		tb.Fatal(err)
	}
}
