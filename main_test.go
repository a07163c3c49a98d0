package wsrouter_test

import (
	"testing"

	"github.com/wsrouter/wsrouter/internal/leak"
)

// TestMain fails the run if it leaves goroutines behind.
func TestMain(m *testing.M) { leak.Main(m) }
