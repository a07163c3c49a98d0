package wsrouter

import (
	"context"
	"fmt"
	"iter"

	"github.com/wsrouter/wsrouter/adapter"
	"github.com/wsrouter/wsrouter/internal/bind"
)

// Handle registers a handler that takes the event's data as a value of type In, and
// replies with the value it returns. The types are inferred:
//
//	wsrouter.Handle(router, "sum", func(c *wsrouter.Context, in []int) (int, error) { … })
//
// Data is bound as by [Context.Bind], with the same errors and [Options.Validate]. See
// [Router.On] for middleware, and for when it panics.
func Handle[In, Out any](r *Router, event string, fn func(c *Context, in In) (Out, error), mws ...Middleware) {
	r.On(event, typed(fn == nil, func(c *Context, in In) error {
		out, err := fn(c, in)
		if err != nil {
			return err
		}
		return c.Reply(out)
	}), mws...)
}

// HandleStream registers a handler that answers with the values of a channel, see
// [Stream]:
//
//	wsrouter.HandleStream(router, "ticks", func(c *wsrouter.Context, every int) (<-chan Tick, error) { … })
func HandleStream[In, Item any](r *Router, event string, fn func(c *Context, in In) (<-chan Item, error), mws ...Middleware) {
	r.On(event, typed(fn == nil, func(c *Context, in In) error {
		ch, err := fn(c, in)
		if err != nil {
			return err
		}
		return Stream(c, ch)
	}), mws...)
}

// typed returns a HandlerFunc for a function that takes bound data. It returns nil if
// there is no function, so that On reports that.
func typed[In any](none bool, fn func(c *Context, in In) error) HandlerFunc {
	if none {
		return nil
	}
	return func(c *Context) error {
		var in In
		if err := c.Bind(&in); err != nil {
			return err
		}
		return fn(c, in)
	}
}

// Caller is a *[Conn] or a *[Client]: whatever can send requests. No other type can
// implement it, because a pull needs more than the exported method.
type Caller interface {
	Call(ctx context.Context, event string, in, out any) error
	pull(ctx context.Context, event string, in any) (*pull, error)
}

// Call sends a request and returns its answer. See [Conn.Call] for in and for the
// errors.
func Call[Out any](ctx context.Context, to Caller, event string, in any) (Out, error) {
	var out Out
	err := to.Call(ctx, event, in, &out)
	return out, err
}

// pullWindow is how many items may be on their way to a Pull.
const pullWindow = 16

// Pull sends a request and iterates over the stream that answers it:
//
//	for n, err := range wsrouter.Pull[int](ctx, client, "count", 5) {
//		if err != nil {
//			return err
//		}
//		fmt.Println(n)
//	}
//
// The loop sets the pace: the producer is at most 16 items ahead. Leaving the loop, or
// the end of ctx, cancels the request. An error comes last, with a zero value; errors
// are those of [Conn.Call]. A plain answer counts as a stream of one item. Each use of
// the sequence sends a new request.
//
// The items waiting in all pulls of a connection may together hold 17 times the
// [Options.MaxMessage] of the side that pulls. A pull that receives more fails.
func Pull[T any](ctx context.Context, from Caller, event string, in any) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var zero T
		p, err := from.pull(ctx, event, in)
		if err != nil {
			yield(zero, err)
			return
		}
		defer p.close()
		for {
			m, err := p.next()
			var item T
			none := err == nil && m.Data.IsZero()
			if err == nil {
				err = answerShape(bind.Value(m.Data, &item))
			}
			switch {
			case err != nil:
				yield(zero, err)
				return
			case none && !m.More: // just the end
				return
			}
			p.traced.item()
			if !yield(item, nil) || !m.More {
				return
			}
		}
	}
}

// pull is the receiving side of a stream.
type pull struct {
	conn    *Conn
	event   string
	traced  tracedCall
	waiting *call
	taken   int64 // items since the last credit was given
	ended   bool
	failed  error
}

func (c *Conn) pull(ctx context.Context, event string, in any) (p *pull, err error) {
	traced := c.router.app.callStart(ctx, c, event)
	err = errBroken // unless openPull returns
	defer func() {
		if err != nil {
			traced.end(err)
		}
	}()
	if p, err = c.openPull(traced.ctx, event, in); err != nil {
		return nil, err
	}
	p.traced = traced
	return p, nil
}

func (c *Conn) openPull(ctx context.Context, event string, in any) (*pull, error) {
	w, err := c.openCall(pullWindow + 1)
	if err != nil {
		return nil, err
	}
	sent := false
	defer func() {
		if !sent {
			w.close()
		}
	}()
	m := &adapter.Message{Kind: adapter.KindEvent, Event: event, ID: w.id, Args: oneArg(in), Meta: metaOf(ctx), Credit: pullWindow}
	if err := c.sendRequest(m); err != nil {
		return nil, err
	}
	sent = true
	return &pull{conn: c, event: event, waiting: w}, nil
}

// next waits for an item or the last frame, and gives new credit in time.
func (p *pull) next() (m *adapter.Message, err error) {
	defer func() { p.failed = err }()
	ctx := p.traced.ctx
	m, err = p.waiting.wait(ctx)
	switch {
	case err == nil:
	case ctx.Err() != nil:
		return nil, fmt.Errorf("wsrouter: pull %q: %w", p.event, err)
	default:
		p.ended = err != errOverrun
		return nil, err
	}
	if !m.More {
		p.ended = true
		if m.Kind == adapter.KindError {
			return nil, remoteError(m.Data)
		}
		return m, nil
	}
	if p.taken++; p.taken == pullWindow/2 {
		p.conn.sendRequest(&adapter.Message{Kind: adapter.KindPull, ID: p.waiting.id, Credit: p.taken})
		p.taken = 0
	}
	return m, nil
}

// close cancels the stream unless it has ended.
func (p *pull) close() {
	p.waiting.close()
	if !p.ended {
		p.conn.sendRequest(&adapter.Message{Kind: adapter.KindCancel, ID: p.waiting.id})
	}
	p.traced.end(p.failed)
}
