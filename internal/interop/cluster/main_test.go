package cluster

import (
	"fmt"
	"os"
	"testing"

	"github.com/wsrouter/wsrouter/internal/leak"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == asNode {
		if err := runGoNode(os.Args[2:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	leak.Main(m)
}
