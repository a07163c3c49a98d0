package loop

import (
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"
)

// TestWorkers: each call is made at once, in a goroutine that nobody else uses.
// Surplus workers end, and in the end all do: the bubble would notice one that
// stays.
func TestWorkers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var w workers
		before := runtime.NumGoroutine()
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
			require.LessOrEqual(t, len(w.idle), maxIdle)
		}
		require.Len(t, w.idle, maxIdle, "those that did fewer calls have stayed")
		require.Equal(t, before+maxIdle, runtime.NumGoroutine())
		w.close()
		synctest.Wait()
		require.Equal(t, before, runtime.NumGoroutine())
	})
}

// TestWorkersCloseWhileWorking: a worker that is busy during close ends when it is
// done; so does one whose call ends its goroutine, and one that is started after
// close.
func TestWorkersCloseWhileWorking(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var w workers
		free := make(chan struct{})
		w.run(func() { <-free })
		w.run(runtime.Goexit)
		w.run(func() {})
		synctest.Wait()
		require.Len(t, w.idle, 1)
		w.close()
		done := false
		w.run(func() { done = true })
		close(free)
		synctest.Wait()
		require.True(t, done)
		require.Empty(t, w.idle)
	})
}
