// Package hooks makes one hook of two, which both may be nil. The second is called even
// if the first panics.
package hooks

import "context"

// Both1 returns a function that calls f, then g.
func Both1[A any](f, g func(A)) func(A) {
	if f == nil || g == nil {
		return either(f, g, f == nil)
	}
	return func(a A) { defer g(a); f(a) }
}

// Both2 is Both1 for two arguments.
func Both2[A, B any](f, g func(A, B)) func(A, B) {
	if f == nil || g == nil {
		return either(f, g, f == nil)
	}
	return func(a A, b B) { defer g(a, b); f(a, b) }
}

// Both3 is Both1 for three arguments.
func Both3[A, B, C any](f, g func(A, B, C)) func(A, B, C) {
	if f == nil || g == nil {
		return either(f, g, f == nil)
	}
	return func(a A, b B, c C) { defer g(a, b, c); f(a, b, c) }
}

// Both5 is Both1 for five arguments.
func Both5[A, B, C, D, E any](f, g func(A, B, C, D, E)) func(A, B, C, D, E) {
	if f == nil || g == nil {
		return either(f, g, f == nil)
	}
	return func(a A, b B, c C, d D, e E) { defer g(a, b, c, d, e); f(a, b, c, d, e) }
}

func either[F any](f, g F, second bool) F {
	if second {
		return g
	}
	return f
}

// BothStart is for hooks at the start of something that return the context to go on
// with, or nil for ctx itself. g gets the context that f has returned. If either
// panics, the other's context is not lost: [TryStart] returns it.
func BothStart[A, B any](f, g func(context.Context, A, B) context.Context) func(context.Context, A, B) context.Context {
	if f == nil || g == nil {
		return either(f, g, f == nil)
	}
	return func(ctx context.Context, a A, b B) context.Context {
		ctx, first := TryStart(f, ctx, a, b)
		ctx, second := TryStart(g, ctx, a, b)
		for _, panicked := range []any{first, second} {
			if panicked != nil {
				panic(startPanic{panicked, ctx})
			}
		}
		return ctx
	}
}

// startPanic is a panic of one of two hooks. It carries the context that the other has
// made, for the hook at the end.
type startPanic struct {
	value any
	ctx   context.Context
}

// TryStart calls a hook. It returns the context to go on with, which is never nil, and
// what the hook panicked with.
func TryStart[A, B any](f func(context.Context, A, B) context.Context, ctx context.Context, a A, b B) (got context.Context, panicked any) {
	defer func() {
		if panicked = recover(); panicked == nil {
			return
		}
		got = ctx
		if p, ok := panicked.(startPanic); ok {
			got, panicked = p.ctx, p.value
		}
	}()
	if got = f(ctx, a, b); got == nil {
		got = ctx
	}
	return got, nil
}
