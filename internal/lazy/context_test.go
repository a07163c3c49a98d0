package lazy

import (
	"context"
	"errors"
	"testing"
)

func TestContext(t *testing.T) {
	cause, later := errors.New("over"), errors.New("later")
	for _, asked := range []bool{true, false} {
		var c Context
		if asked && c.Get(t.Context()).Err() != nil {
			t.Fatal("it goes on")
		}
		c.End(cause)
		c.End(later)
		ctx := c.Get(t.Context())
		if ctx.Err() != context.Canceled || context.Cause(ctx) != cause {
			t.Errorf("asked before: %v: it ended with %v, %v", asked, ctx.Err(), context.Cause(ctx))
		}
		if ctx != c.Get(t.Context()) {
			t.Error("there is one only")
		}
	}
}
