package frameworks

import (
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/gin-gonic/gin"
)

// TestMain fails the run if it leaves goroutines behind.
func TestMain(m *testing.M) {
	gin.SetMode(gin.ReleaseMode)
	slog.SetDefault(slog.New(slog.DiscardHandler))
	code := m.Run()
	http.DefaultClient.CloseIdleConnections()
	if left := leaked(); left != "" && code == 0 {
		fmt.Fprintf(os.Stderr, "goroutines left behind:\n%s\n", left)
		code = 1
	}
	os.Exit(code)
}

// leaked gives goroutines that are about to end a moment, and returns the stacks
// of those that do not: of all but its own.
func leaked() (stacks string) {
	for range 1500 { // a closing handshake that is not answered takes 5 s
		buf := make([]byte, 1<<20)
		all := string(buf[:runtime.Stack(buf, true)])
		_, stacks, _ = strings.Cut(all, "\n\n")
		if stacks == "" {
			return ""
		}
		time.Sleep(10 * time.Millisecond) // after all tests
	}
	return stacks
}
