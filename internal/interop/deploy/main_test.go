package deploy

import (
	"testing"

	"github.com/wsrouter/wsrouter/internal/leak"
)

func TestMain(m *testing.M) { leak.Main(m) }
