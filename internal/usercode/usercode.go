// Package usercode calls functions of users, which may panic, call runtime.Goexit, or
// not return. It logs nothing; its caller decides what that means.
package usercode

import (
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"runtime/debug"
)

// Panic is the error of a function that has panicked, or called runtime.Goexit.
type Panic struct {
	Value any
	Stack []byte
}

// Error returns the value that the function panicked with.
func (e *Panic) Error() string { return fmt.Sprintf("panic: %v", e.Value) }

// Call calls fn, and returns a panic as a *[Panic]. It cannot stop a runtime.Goexit.
func Call(fn func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &Panic{v, debug.Stack()}
		}
	}()
	return fn()
}

// Goexit returns the error of a function that has called runtime.Goexit. A deferred
// function calls it, so that the stack shows who has.
func Goexit() error { return &Panic{"runtime.Goexit called", debug.Stack()} }

// Apart is Call in a goroutine of its own. It waits for the goroutine, however that
// ends.
func Apart(fn func() error) error {
	err, _ := apart(fn)
	return err
}

// apart also reports whether fn has called runtime.Goexit.
func apart(fn func() error) (err error, exited bool) {
	done := make(chan struct{})
	exited = true
	go func() {
		defer close(done)
		defer func() {
			if exited {
				err = Goexit()
			}
		}()
		err = Call(fn)
		exited = false
	}()
	<-done
	return err, exited
}

// Elsewhere calls fn in another goroutine, and returns, panics or calls runtime.Goexit as
// fn does. It is for a goroutine that stays: the stack that fn needs for a moment is not
// added to its own. A panic other than with http.ErrAbortHandler becomes a [*Crash].
func Elsewhere(fn func()) {
	err, exited := apart(func() error { fn(); return nil })
	var p *Panic
	switch {
	case exited:
		runtime.Goexit()
	case errors.As(err, &p) && p.Value == any(http.ErrAbortHandler):
		panic(p.Value)
	case p != nil:
		panic(&Crash{p})
	}
}

// Crash is a panic that has come from another goroutine. Whoever recovers it and prints
// it, as net/http does, shows where it began.
type Crash struct{ *Panic }

// Error returns the value that was panicked with, and the stack of the goroutine.
func (c *Crash) Error() string { return fmt.Sprintf("%v\n\n%s", c.Value, c.Stack) }

// Unwrap returns the value, if it is an error.
func (c *Crash) Unwrap() error {
	err, _ := c.Value.(error)
	return err
}
