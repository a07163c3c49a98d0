package cluster

import (
	"os"
	"testing"

	"github.com/wsrouter/wsrouter/internal/interop/process"
	"github.com/wsrouter/wsrouter/internal/leak"
)

// asNode is the first argument of this binary where it is a node, not a test.
const asNode = "node"

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == asNode {
		panic("not yet")
	}
	leak.Main(m)
}

func startGo(t *testing.T, args ...string) *process.Process {
	t.Helper()
	binary, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return process.Start(t, ".", binary, append([]string{asNode}, args...)...)
}
