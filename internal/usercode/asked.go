package usercode

import "context"

// Asked is a function that is asked again and again, by one goroutine at a time. The
// zero Asked has no function. Neither method may be called concurrently with another.
type Asked[T any] struct {
	Fn      func(context.Context) (T, error)
	running chan answer[T] // a call that has not returned yet; nil if there is none
}

type answer[T any] struct {
	value T
	err   error
}

// Call asks, and goes away when ctx ends first. What has not returned then is waited
// for before it is asked again: it never runs twice at a time. A panic is an error.
func (a *Asked[T]) Call(ctx context.Context) (T, error) {
	late := a.running != nil
	if !late {
		a.start(ctx)
	}
	select {
	case got := <-a.running:
		if a.running = nil; late {
			return a.Call(ctx)
		}
		return got.value, got.err
	case <-ctx.Done():
		var none T
		return none, ctx.Err()
	}
}

func (a *Asked[T]) start(ctx context.Context) {
	running := make(chan answer[T], 1)
	a.running = running
	go func() {
		var got answer[T]
		exited := true
		defer func() {
			if exited {
				got.err = Goexit()
			}
			running <- got
		}()
		got.err = Call(func() (err error) { got.value, err = a.Fn(ctx); return err })
		exited = false
	}()
}

// Wait waits for a call that has not returned.
func (a *Asked[T]) Wait() {
	if a.running != nil {
		<-a.running
		a.running = nil
	}
}
