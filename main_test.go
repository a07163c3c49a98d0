package wsrouter_test

import (
	"testing"

	"github.com/wsrouter/wsrouter/internal/leak"
	"github.com/wsrouter/wsrouter/internal/rawtest"
)

// TestMain fails the run if it leaves goroutines behind.
func TestMain(m *testing.M) { leak.Main(m) }

var (
	newRouter     = rawtest.NewRouter
	newRouterWith = rawtest.NewRouterWith
	crowd         = rawtest.Crowd
	allocated     = rawtest.Allocated
)
