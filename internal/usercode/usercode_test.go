package usercode_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wsrouter/wsrouter/internal/usercode"
)

var errOwn = errors.New("own")

func returns(err error) func() error { return func() error { return err } }

func boom() error { panic("boom") }

func exits() error { runtime.Goexit(); return nil }

// requirePanic checks the error of a function that has panicked.
func requirePanic(t *testing.T, err error) {
	t.Helper()
	var p *usercode.Panic
	require.ErrorAs(t, err, &p)
	require.Equal(t, "boom", p.Value)
	require.EqualError(t, err, "panic: boom")
	require.Contains(t, string(p.Stack), "usercode_test.boom")
}

func TestCall(t *testing.T) {
	require.NoError(t, usercode.Call(returns(nil)))
	require.Equal(t, errOwn, usercode.Call(returns(errOwn)))
	requirePanic(t, usercode.Call(boom))
}

func TestApart(t *testing.T) {
	require.NoError(t, usercode.Apart(returns(nil)))
	require.Equal(t, errOwn, usercode.Apart(returns(errOwn)))
	requirePanic(t, usercode.Apart(boom))
	var p *usercode.Panic
	require.ErrorAs(t, usercode.Apart(exits), &p)
	require.EqualError(t, p, usercode.Goexit().Error())
	require.Contains(t, string(p.Stack), "usercode_test.exits", "who has called it")
}

func TestElsewhere(t *testing.T) {
	called := false
	usercode.Elsewhere(func() { called = true })
	require.True(t, called)
	require.PanicsWithValue(t, http.ErrAbortHandler, func() { usercode.Elsewhere(func() { panic(http.ErrAbortHandler) }) })
}

// TestElsewhereExits: a reader in a goroutine of ours would end the process if it panicked
// where a test of the user's calls FailNow.
func TestElsewhereExits(t *testing.T) {
	recovered := make(chan any, 1)
	go func() {
		defer func() { recovered <- recover() }()
		usercode.Elsewhere(runtime.Goexit)
		panic("returned")
	}()
	require.Nil(t, <-recovered)
}

// TestElsewhereShowsTheStack: net/http prints what it recovers and its own stack, which
// does not say where another goroutine has panicked.
func TestElsewhereShowsTheStack(t *testing.T) {
	for _, value := range []any{"boom", errOwn} {
		func() {
			defer func() {
				err, _ := recover().(error)
				require.ErrorContains(t, err, fmt.Sprint(value))
				require.ErrorContains(t, err, "usercode_test.crash")
				require.Equal(t, value == any(errOwn), errors.Is(err, errOwn))
			}()
			usercode.Elsewhere(func() { crash(value) })
		}()
	}
}

func crash(value any) { panic(value) }

func TestAskedFails(t *testing.T) {
	for want, fn := range map[string]func() error{"panic: runtime.Goexit called": exits, "panic: boom": boom} {
		a := usercode.Asked[int]{Fn: func(context.Context) (int, error) { return 1, fn() }}
		n, err := a.Call(t.Context())
		require.EqualError(t, err, want)
		require.Zero(t, n)
	}
}

// TestAskedModel: whatever its patience, nobody waits longer than that, and the function
// never runs twice at a time. An answer is that of the call that asked, even if earlier
// ones came too late.
func TestAskedModel(t *testing.T) {
	for seed := range uint64(50) {
		synctest.Test(t, func(t *testing.T) {
			rnd := rand.New(rand.NewPCG(seed, 0))
			var running atomic.Int32
			type question struct{}
			a := usercode.Asked[int]{Fn: func(ctx context.Context) (int, error) {
				require.EqualValues(t, 1, running.Add(1))
				defer running.Add(-1)
				n := ctx.Value(question{}).(int)
				time.Sleep(time.Duration(n%10) * time.Second)
				return n, errOwn
			}}
			var busy time.Time // the function runs until then
			for range 50 {
				n, patience := rnd.IntN(1000), time.Duration(rnd.IntN(10_000))*time.Millisecond+time.Microsecond
				ctx, cancel := context.WithTimeout(context.WithValue(t.Context(), question{}, n), patience)
				begin := time.Now()
				starts := begin
				if busy.After(begin) {
					starts = busy
				}
				got, err := a.Call(ctx)
				cancel()
				took := time.Since(begin)
				if starts.Sub(begin) < patience {
					busy = starts.Add(time.Duration(n%10) * time.Second)
				}
				if busy.Sub(begin) < patience {
					require.Equal(t, errOwn, err)
					require.Equal(t, n, got)
					require.Equal(t, max(busy.Sub(begin), 0), took)
				} else {
					require.Equal(t, context.DeadlineExceeded, err)
					require.Equal(t, patience, took)
				}
				time.Sleep(time.Duration(rnd.IntN(5)) * time.Second)
			}
			a.Wait()
			require.Zero(t, running.Load())
			a.Wait() // again
		})
	}
}
