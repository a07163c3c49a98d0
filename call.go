package wsrouter

import (
	"context"
	"errors"
	"fmt"
	"strconv"
)

// call is a request of ours that waits for its answer, or for the items of its
// stream. The read loop never waits for it: there is room for all that may come.
type call struct {
	answers chan *Message
	failed  chan struct{} // closed when no answer can come any more
	err     error         // set before failed is closed
}

// wait returns the next frame of the exchange.
func (w *call) wait(ctx context.Context) (*Message, error) {
	select {
	case m := <-w.answers:
		return m, nil
	case <-w.failed:
		select { // it may have come before the end
		case m := <-w.answers:
			return m, nil
		default:
			return nil, w.err
		}
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Call sends a request and waits for its answer, which it stores in out, a
// pointer as for [json.Unmarshal], or nil to ignore it. A nil in sends no data.
// For Brokers an in of type []Encoded is several arguments, and an out of type
// *Encoded the answer as it came.
// It may be used in handlers: answers are read while a handler blocks, and
// events that arrive in between are handled in their order.
//
// The error is a *[WsError] if the other side answered with an exception, a
// *[CloseError] if the connection went, ctx's error if ctx ended first (the
// other side is then told to cancel), [ErrNotConnected] in OnConnect,
// [ErrStream] if a stream came, and [ErrTooManyOpen] beyond [Options.MaxOpen].
func (c *Conn) Call(ctx context.Context, event string, in, out any) error {
	answer, err := c.ask(ctx, event, in)
	if err != nil || out == nil {
		return err
	}
	if out, ok := out.(*Encoded); ok {
		*out = answer
		return nil
	}
	return answerShape(answer.bind(out))
}

// ask is Call; it returns the answer's data.
func (c *Conn) ask(ctx context.Context, event string, in any) (Encoded, error) {
	id, waiting, err := c.openCall(1)
	if err != nil {
		return Encoded{}, err
	}
	defer c.closeCall(id)
	if err := c.request(requestMessage(event, in, id)); err != nil {
		return Encoded{}, err
	}
	m, err := waiting.wait(ctx)
	switch {
	case err != nil && ctx.Err() != nil:
		c.request(&Message{Kind: KindCancel, ID: id})
		return Encoded{}, fmt.Errorf("wsrouter: call %q: %w", event, err)
	case err != nil:
		return Encoded{}, err
	case m.More:
		c.request(&Message{Kind: KindCancel, ID: id})
		return Encoded{}, ErrStream
	case m.Kind == KindError:
		return Encoded{}, remoteError(m.Args)
	}
	return joinArgs(m.Args), nil
}

func requestMessage(event string, in any, id string) *Message {
	m := &Message{Kind: KindEvent, Event: event, ID: id}
	switch in := in.(type) {
	case nil:
	case []Encoded:
		m.Args = anys(in)
	default:
		m.Args = []any{in}
	}
	return m
}

// request sends a frame of an exchange of ours. It waits for nobody on the side
// that was dialled, as Emit does.
func (c *Conn) request(m *Message) error {
	if m.Kind == KindEvent {
		if err := checkEvent(m.Event); err != nil {
			return err
		}
	}
	mode := sendNow
	if c.link.client {
		mode = sendWait
	}
	return c.send(m, mode)
}

// answerShape keeps our complaint about an answer apart from the other side's
// exceptions.
func answerShape(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("wsrouter: answer of the wrong shape: %v", err)
}

var errOverrun = errors.New("wsrouter: more items came than were pulled")

// openCall registers a request with room for that many frames.
func (c *Conn) openCall(room int) (id string, _ *call, err error) {
	l := c.link
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.ce != nil || c.leaving:
		return "", nil, c.goneLocked()
	case !c.live && !l.client:
		return "", nil, ErrNotConnected
	case len(c.calls) >= l.app.opts.MaxOpen:
		return "", nil, ErrTooManyOpen
	}
	c.lastID++
	id = strconv.FormatUint(c.lastID, 10)
	if c.calls == nil {
		c.calls = make(map[string]*call)
	}
	waiting := &call{answers: make(chan *Message, room), failed: make(chan struct{})}
	c.calls[id] = waiting
	l.addWaitLocked(1)
	return id, waiting, nil
}

func (c *Conn) closeCall(id string) {
	c.link.mu.Lock()
	defer c.link.mu.Unlock()
	if c.calls[id] != nil {
		delete(c.calls, id)
		c.link.addWaitLocked(-1)
	}
}

// answer hands a frame to the call that waits for it. A late one, or one to
// nothing, is nobody's.
func (c *Conn) answer(m *Message) {
	c.link.mu.Lock()
	defer c.link.mu.Unlock()
	waiting := c.calls[m.ID]
	if waiting == nil {
		return
	}
	select {
	case waiting.answers <- m:
	default:
		c.failCallLocked(m.ID, errOverrun)
	}
}

func (c *Conn) failCallLocked(id string, err error) {
	waiting := c.calls[id]
	waiting.err = err
	close(waiting.failed)
	delete(c.calls, id)
	c.link.addWaitLocked(-1)
}

func (c *Conn) failCallsLocked(ce *CloseError) {
	for id := range c.calls {
		c.failCallLocked(id, ce)
	}
}
