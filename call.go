package wsrouter

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"

	"github.com/wsrouter/wsrouter/adapter"
	"github.com/wsrouter/wsrouter/internal/bind"
)

// call is a request of ours that waits for its answer, or for the items of its
// stream. The reader never waits for it: it has room for everything that may
// arrive.
type call struct {
	conn    *Conn
	link    *link // the link it was made over, which holds what has arrived
	id      string
	answers chan *adapter.Message
	failed  chan struct{} // closed when no answer can arrive any more
	err     error         // set before failed is closed
	queued  int           // answers that nobody has taken; guarded by Conn.mu
}

// wait returns the next frame of the answer, which then belongs to the caller. The
// wait is bounded by ctx and by the life of the connection, see link.checkAlive.
func (w *call) wait(ctx context.Context) (*adapter.Message, error) {
	m, err := w.next(ctx)
	if m != nil {
		w.take(m)
	}
	return m, err
}

func (w *call) next(ctx context.Context) (*adapter.Message, error) {
	select {
	case m := <-w.answers:
		return m, nil
	case <-w.failed:
		select { // the answer may have arrived before the end
		case m := <-w.answers:
			return m, nil
		default:
			return nil, w.err
		}
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// take releases an answer.
func (w *call) take(m *adapter.Message) {
	w.conn.mu.Lock()
	defer w.conn.mu.Unlock()
	w.takeLocked(m)
}

func (w *call) takeLocked(m *adapter.Message) {
	w.queued--
	w.link.bytes.Taken(m.Held())
}

// Call sends a request, with the meta of ctx, and waits for its answer, which it
// stores in out. To ignore the answer pass nil as out; to get also what was sent
// beside the data pass a pointer to an [Answer]; any other pointer is used as by
// [json.Unmarshal]. If in is nil the request has no data. [Args] are sent as
// several values. An answer of several values is stored as an array. Call may be
// used in handlers: answers are read while a handler blocks, and events that arrive
// in the meantime are handled in their order.
//
// The error is
//   - a *[WsError] if the other side answered with an exception,
//   - a *[CloseError] if the connection ended,
//   - ctx's error if ctx ended first; the other side is then told to cancel,
//   - [ErrNotConnected] in OnConnect of the side that serves,
//   - [ErrStream] if the answer is a stream,
//   - [ErrTooManyOpen] beyond [Options.MaxOpen].
func (c *Conn) Call(ctx context.Context, event string, in, out any) error {
	m, err := c.ask(ctx, event, oneArg(in))
	if err != nil || out == nil {
		return err
	}
	if a, ok := out.(*Answer); ok {
		*a = answerOf(c, m)
		return nil
	}
	return answerShape(bind.Value(m.Data, out))
}

// CallOutcome returns the outcome of a [Conn.Call], or of any other call that this
// side sends, given its error. Outcomes are those of [Context.Outcome]: "" for nil;
// the code of the *[WsError] that the other side answered with; CodeTimeout or
// CodeCanceled if ctx ended first; CodeTooMany for [ErrTooManyOpen]; OutcomeGone if
// the connection ended; OutcomeError if the other side answered with an error
// without a code; otherwise OutcomeInternal. Use it in [Trace.CallEnd].
func CallOutcome(err error) string {
	var ws *WsError
	switch {
	case err == nil:
		return ""
	case errors.As(err, &ws) && ws.Code != "":
		return ws.Code
	case ws != nil:
		return OutcomeError
	case errors.Is(err, context.DeadlineExceeded):
		return CodeTimeout
	case errors.Is(err, context.Canceled):
		return CodeCanceled
	case errors.Is(err, ErrTooManyOpen):
		return CodeTooMany
	case errors.Is(err, net.ErrClosed):
		return OutcomeGone
	}
	return OutcomeInternal
}

// oneArg returns nil, several values, or one value as arguments.
func oneArg(in any) []any {
	switch in := in.(type) {
	case nil:
		return nil
	case Args:
		return in
	}
	return []any{in}
}

// ask is Call, but returns the answer.
func (c *Conn) ask(ctx context.Context, event string, args []any) (m *adapter.Message, err error) {
	traced := c.router.app.callStart(ctx, c, event)
	err = errBroken // unless exchange returns
	defer func() { traced.end(err) }()
	m, err = c.exchange(traced.ctx, event, args)
	return m, err
}

// errBroken is the error that [Trace.CallEnd] gets if encoding an argument, which
// is user code, panics.
var errBroken = errors.New("wsrouter: encoding the request panicked")

func (c *Conn) exchange(ctx context.Context, event string, args []any) (*adapter.Message, error) {
	w, err := c.openCall(1)
	if err != nil {
		return nil, err
	}
	defer w.close()
	if err := c.sendRequest(&adapter.Message{Kind: adapter.KindEvent, Event: event, ID: w.id, Args: args, Meta: metaOf(ctx)}); err != nil {
		return nil, err
	}
	m, err := w.wait(ctx)
	switch {
	case err != nil && ctx.Err() != nil:
		c.sendRequest(&adapter.Message{Kind: adapter.KindCancel, ID: w.id})
		return nil, fmt.Errorf("wsrouter: call %q: %w", event, err)
	case err != nil:
		return nil, err
	case m.More:
		c.sendRequest(&adapter.Message{Kind: adapter.KindCancel, ID: w.id})
		return nil, ErrStream
	case m.Kind == adapter.KindError:
		return nil, remoteError(m.Data)
	}
	return m, nil
}

// sendRequest sends a frame of a request of ours. On the side that serves it does
// not wait, like Emit.
func (c *Conn) sendRequest(m *adapter.Message) error {
	if m.Kind == adapter.KindEvent {
		if err := checkEvent(m.Event); err != nil {
			return err
		}
	}
	mode := sendNow
	if c.dialed {
		mode = sendWait
	}
	return c.send(m, mode)
}

// answerShape distinguishes our complaint about an answer from the other side's
// exceptions.
func answerShape(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("wsrouter: answer has the wrong shape: %v", err)
}

var errOverrun = errors.New("wsrouter: more items came than were pulled, or than pulls may hold")

// openCall registers a request with room for that many frames.
func (c *Conn) openCall(room int) (*call, error) {
	c.mu.Lock()
	w, resume, err := c.openCallLocked(room)
	c.mu.Unlock()
	resume.resume(resume != nil)
	return w, err
}

func (c *Conn) openCallLocked(room int) (_ *call, resume *link, err error) {
	switch {
	case c.phase >= connParting:
		return nil, nil, c.ce
	case c.phase == connConnecting && !c.dialed:
		return nil, nil, ErrNotConnected
	case len(c.calls) >= c.router.app.opts.MaxOpen:
		return nil, nil, ErrTooManyOpen
	}
	c.lastID++
	if c.calls == nil {
		c.calls = make(map[string]*call)
	}
	w := &call{
		conn:    c,
		link:    c.link,
		id:      strconv.FormatUint(c.lastID, 10),
		answers: make(chan *adapter.Message, room),
		failed:  make(chan struct{}),
	}
	c.calls[w.id] = w
	return w, c.waitsLocked(1), nil
}

// close ends the request.
func (w *call) close() {
	w.conn.mu.Lock()
	defer w.conn.mu.Unlock()
	w.endLocked()
	w.dropLocked()
}

// dropLocked discards what nobody has taken.
func (w *call) dropLocked() {
	for {
		select {
		case m := <-w.answers:
			w.takeLocked(m)
		default:
			return
		}
	}
}

// endLocked ensures that no more answers reach the request. It reports false if
// that was already so.
func (w *call) endLocked() bool {
	if w.conn.calls[w.id] != w {
		return false
	}
	delete(w.conn.calls, w.id)
	w.conn.waitsLocked(-1)
	return true
}

// answer passes a frame to the call that waits for it. A frame that is late, or
// that answers nothing, is ignored.
func (c *Conn) answer(m *adapter.Message) {
	c.mu.Lock()
	defer c.mu.Unlock()
	w := c.calls[m.ID]
	if w == nil || w.queued == 1 && cap(w.answers) == 1 { // a Call that already has its answer
		return
	}
	if w.queued == cap(w.answers) || w.queued > 0 && w.link.answersFull() {
		w.failLocked(errOverrun)
		w.dropLocked()
		return
	}
	w.link.bytes.Answer(m.Held())
	w.queued++
	w.answers <- m // there is room
}

// answersFull reports whether the answers that nobody has taken hold as much as a
// single pull may.
func (l *link) answersFull() bool {
	return l.bytes.Answers()/(pullWindow+1) >= max(l.app.opts.MaxMessage, 1)
}

func (w *call) failLocked(err error) {
	if w.endLocked() {
		w.err = err
		close(w.failed)
	}
}

func (c *Conn) failCallsLocked(ce *CloseError) {
	for _, w := range c.calls {
		w.failLocked(ce)
	}
}
