package suite_test

import (
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wsrouter/wsrouter"
	"github.com/wsrouter/wsrouter/internal/rawtest"
)

// TestAllocationBudget: an event costs no more than so many allocations, from the frame
// that arrives to the frame that is sent, including both ends of the in-memory
// connection and the test's own frame. They are averaged over many events, and the
// lowest of several attempts counts, to exclude those of others.
func TestAllocationBudget(t *testing.T) {
	router := wsrouter.New(nil)
	router.On("echo", func(c *wsrouter.Context) error {
		var text string
		if err := c.Bind(&text); err != nil {
			return err
		}
		return c.Reply(text)
	})
	wsrouter.Handle(router, "sum", func(c *wsrouter.Context, in []int) (int, error) { return in[0] + in[1], nil })
	raw := rawtest.Connect(router, nil, nil)
	defer raw.Wait()
	defer raw.Abort()
	for _, test := range []struct {
		in, out string
		budget  float64
	}{
		{`{"event":"echo","data":"hi"}`, `{"event":"echo","data":"hi"}`, 16},
		{`{"event":"echo","data":"hi","id":7}`, `{"event":"echo","data":"hi","re":7}`, 16},
		{`{"event":"sum","data":[1,2],"id":7}`, `{"event":"sum","data":3,"re":7}`, 18},
		{`{"event":"nobody","id":7}`, invalid + `no such event","code":"not_found"},"re":7}`, 38},
	} {
		least := 1e9
		for range 5 {
			least = min(least, allocations(1000, func() {
				require.True(t, raw.Send(test.in))
				frame, _ := raw.Read()
				if frame != test.out {
					t.Fatalf("%s: got %s, want %s", test.in, frame, test.out)
				}
			}))
		}
		t.Logf("%s: %.2f allocations", test.in, least)
		if least > test.budget {
			t.Errorf("%s: %.2f allocations, want at most %v", test.in, least, test.budget)
		}
	}
}

// allocations is testing.AllocsPerRun for code that also runs on other goroutines.
func allocations(runs int, f func()) float64 {
	f()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range runs {
		f()
	}
	runtime.ReadMemStats(&after)
	return float64(after.Mallocs-before.Mallocs) / float64(runs)
}
