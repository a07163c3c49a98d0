package hooks_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wsrouter/wsrouter/internal/hooks"
)

// caught returns what fn panics with.
func caught(fn func()) (v any) {
	defer func() { v = recover() }()
	fn()
	return nil
}

// TestBothModel: of any combination all hooks are called, in order and with their
// arguments, and whoever calls it sees the last panic.
func TestBothModel(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 0))
	for range 2000 {
		var called, want []string
		var panicked any
		one, two, three, five := (func(int))(nil), (func(int, string))(nil), (func(int, string, bool))(nil), (func(int, string, bool, int, int))(nil)
		for i := range rnd.IntN(6) {
			fails := rnd.IntN(4) == 0
			call := func(args ...any) {
				called = append(called, fmt.Sprint(i, args))
				if fails {
					panic(i)
				}
			}
			if rnd.IntN(4) == 0 {
				one, two, three, five = hooks.Both1(one, nil), hooks.Both2(two, nil), hooks.Both3(three, nil), hooks.Both5(five, nil)
				continue
			}
			one = hooks.Both1(one, func(a int) { call(a) })
			two = hooks.Both2(two, func(a int, b string) { call(a, b) })
			three = hooks.Both3(three, func(a int, b string, c bool) { call(a, b, c) })
			five = hooks.Both5(five, func(a int, b string, c bool, d, e int) { call(a, b, c, d, e) })
			want = append(want, fmt.Sprint(i))
			if fails {
				panicked = i
			}
		}
		if len(want) == 0 {
			require.True(t, one == nil && two == nil && three == nil && five == nil, "nothing is called for nothing")
			continue
		}
		for args, fn := range map[string]func(){
			" [7]":            func() { one(7) },
			" [7 x]":          func() { two(7, "x") },
			" [7 x true]":     func() { three(7, "x", true) },
			" [7 x true 8 9]": func() { five(7, "x", true, 8, 9) },
		} {
			called = nil
			require.Equal(t, panicked, caught(fn))
			require.Len(t, called, len(want))
			for i, w := range want {
				require.Equal(t, w+args, called[i])
			}
		}
	}
}

type key int

// TestBothStartModel: of any combination all hooks are called, each with the context of
// those before it. The context of those that return one is kept, whoever panics.
func TestBothStartModel(t *testing.T) {
	type start = func(context.Context, int, string) context.Context
	rnd := rand.New(rand.NewPCG(1, 0))
	for range 2000 {
		var all start
		var panicked any
		n, called := rnd.IntN(6), 0
		made := make(map[int]bool)
		for i := range n {
			kind := rnd.IntN(3)
			all = hooks.BothStart(all, func(ctx context.Context, a int, b string) context.Context {
				require.Equal(t, "7x", fmt.Sprint(a, b))
				require.Equal(t, i, called)
				called++
				for j := range n {
					require.Equal(t, j < i && made[j], ctx.Value(key(j)) != nil)
				}
				switch kind {
				case 0:
					panic(i)
				case 1:
					return nil
				}
				return context.WithValue(ctx, key(i), true)
			})
			if made[i] = kind == 2; kind == 0 && panicked == nil {
				panicked = i
			}
		}
		if all == nil {
			continue
		}
		ctx, got := hooks.TryStart(all, t.Context(), 7, "x")
		require.Equal(t, n, called)
		require.Equal(t, panicked, got)
		for i := range n {
			require.Equal(t, made[i], ctx.Value(key(i)) != nil)
		}
	}
}
