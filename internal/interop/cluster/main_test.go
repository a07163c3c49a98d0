package cluster
import ("testing"; "github.com/wsrouter/wsrouter/internal/leak"; "github.com/wsrouter/wsrouter/internal/interop/process")
func TestMain(m *testing.M) { leak.Main(m) }
func startGo(t *testing.T, args ...string) *process.Process { return nil }
