package loop

import (
	"fmt"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/wsrouter/wsrouter/internal/leak"
)

// TestWorkers: each call is made at once, in a goroutine that nobody else uses.
// Surplus workers end, and in the end all do: the bubble would notice one that
// stays.
func TestWorkers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorkers()
		for _, n := range []int{1, 10, maxIdle + 30, 3} {
			var running atomic.Int32
			free := make(chan struct{})
			for range n {
				w.run(func() {
					running.Add(1)
					<-free
				})
			}
			synctest.Wait()
			require.EqualValues(t, n, running.Load(), "none waits for another")
			close(free)
			synctest.Wait()
			require.LessOrEqual(t, int(w.idle.Load()), maxIdle)
		}
		require.EqualValues(t, maxIdle, w.idle.Load(), "those that did fewer calls have stayed")
		require.Equal(t, maxIdle, countWorkers(w))
		w.close()
		synctest.Wait()
		require.Zero(t, countWorkers(w))
	})
}

// countWorkers counts the goroutines that work or wait for work, without those of
// other tests that are about to end. NumGoroutine counts some that have just ended,
// too.
func countWorkers(w *workers) int {
	return strings.Count(strings.Join(leak.Stacks(), ""), fmt.Sprintf("(*workers).work(%p", w))
}

// TestWorkersCloseWhileWorking: one that works when the rest goes follows when it is
// done. One whose call ends its goroutine is missed by nobody.
func TestWorkersCloseWhileWorking(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorkers()
		free := make(chan struct{})
		w.run(func() { <-free })
		w.run(runtime.Goexit)
		w.run(func() {})
		synctest.Wait()
		require.EqualValues(t, 1, w.idle.Load())
		w.close()
		close(free)
		synctest.Wait()
		require.Zero(t, w.idle.Load())
	})
}
