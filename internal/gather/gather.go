// Package gather asks many at once, and yields the answers as they come.
package gather

import (
	"context"
	"sync"
)

// Turns limits how many are asked at once. It may be shared by any number of calls of
// [Each].
type Turns chan struct{}

// NewTurns returns Turns for n at once.
func NewTurns(n int) Turns { return make(Turns, n) }

// Each calls ask with each element of from, in a goroutine each that has got its turn,
// and yields what it returns unless that is an error. It ends early when yield returns
// false or ctx ends; the context that ask gets ends then, too. When Each returns, no ask
// is running.
func Each[I, O any](ctx context.Context, all Turns, from []I, ask func(context.Context, I) (O, error), yield func(O) bool) {
	var asking sync.WaitGroup
	defer asking.Wait() // for calls whose context has ended
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	came := make(chan answer[O])
	for waiting := 0; waiting > 0 || len(from) > 0; {
		turns := all
		if len(from) == 0 {
			turns = nil
		}
		select {
		case turns <- struct{}{}:
			next := from[0]
			asking.Go(func() {
				defer func() { <-all }()
				var a answer[O]
				a.value, a.err = ask(ctx, next)
				select {
				case came <- a:
				case <-ctx.Done():
				}
			})
			from, waiting = from[1:], waiting+1
		case a := <-came:
			if waiting--; a.err == nil && !yield(a.value) {
				return
			}
		case <-ctx.Done():
			return
		}
	}
}

type answer[O any] struct {
	value O
	err   error
}
