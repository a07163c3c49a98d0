package wsrouter

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"sync"
	"time"

	"github.com/wsrouter/wsrouter/adapter"
	"github.com/wsrouter/wsrouter/internal/meta"
)

// Response is a reply, or an item of a stream, under an event name of its own:
//
//	return c.Reply(wsrouter.Response{Event: "events", Data: 1})
//
// It is what NestJS calls WsResponse. It is always the whole reply or item: encoding a
// value that has a Response in it fails.
type Response struct {
	Event string
	Data  any // encoded as JSON; nil is null

	// Meta is sent beside the data, see [WithMeta]. Reply fails if it has more than
	// 1,024 bytes as a JSON object.
	Meta map[string]string
}

// MarshalJSON always returns an error. A Response that has become a part of another
// value would lose its event and show its fields to the client; middleware that wraps
// replies does that unless it looks for a Response, see [Context.WithReply].
func (Response) MarshalJSON() ([]byte, error) {
	return nil, errors.New("a Response cannot be part of a value")
}

// Args are several values, as a Socket.IO ack may have. They stand wherever one
// value does: in Reply, as an item of a stream, as the result of a function that
// [Handle] was given, in [Response] and in a call. On the plain protocol several are
// an array, and one stands for itself. None of them is no data, nil as well as empty.
type Args []any

// Reply answers this event: the request, if the client wants an answer, else
// with an event of the same name. v is encoded as JSON before Reply returns; a
// [Response], or a pointer to one, is sent under its own event.
//
// Like [Context.Emit], Reply waits while the client reads slower than it is sent
// to, at most for [Options.WriteTimeout]: so hold no lock meanwhile.
//
// An event is answered at most once, after that the error is [ErrReplied]. A
// request whose handler returns nil without a reply gets an empty answer. Other
// errors are those of [Conn.Emit], and the context's cause after the asker
// canceled.
func (c *Context) Reply(v any) error {
	m, err := c.response(v, false)
	if err != nil {
		return err
	}
	f, err := c.conn.format.Encode(m)
	if err != nil {
		return encodeError(m.Event, err)
	}
	return c.req.reply(f)
}

// reply sends the last frame of the event.
func (r *request) reply(f adapter.Frame) error {
	c := r.conn
	c.mu.Lock()
	fresh := r.answer == answerNone
	cause := r.cause
	var p placed
	var err error
	if fresh && cause != errCanceled && cause != errOver {
		r.giveLocked()
		if !r.muted() {
			p, err = c.putLocked(f, sendReply)
		}
	}
	c.mu.Unlock()
	switch {
	case fresh && cause == errCanceled:
		return cause
	case !fresh || cause == errOver:
		return ErrReplied
	}
	return c.placed(f, sendReply, p, err)
}

// muted reports whether an answer goes nowhere: an end that dialed answers requests
// only.
func (r *request) muted() bool { return r.msg.ID == "" && r.conn.dialed }

// response makes the message that answers the event, or is an item of its
// stream.
func (c *Context) response(v any, more bool) (*adapter.Message, error) {
	var both struct { // in one piece
		m    adapter.Message
		args [1]any
	}
	m := &both.m
	v, err := c.passed(v)
	if err != nil {
		return nil, err
	}
	m.Kind, m.Event, m.ID, m.More = adapter.KindReply, c.msg.Event, c.msg.ID, more && c.msg.ID != ""
	if r, ok := v.(Response); ok {
		if r.Event == "" {
			return nil, fmt.Errorf("wsrouter: a Response needs an Event")
		}
		if err := checkEvent(r.Event); err != nil {
			return nil, err
		}
		m.Event, m.Named, v = r.Event, true, r.Data
		if m.Meta, err = meta.Of(r.Meta); err != nil {
			return nil, encodeError(r.Event, err)
		}
	}
	if args, ok := v.(Args); ok {
		if m.Args = args; args == nil {
			m.Args = Args{} // it is an answer
		}
		return m, nil
	}
	both.args[0] = v
	m.Args = both.args[:]
	return m, nil
}

// Stream answers the event with every value received from ch, in order, until
// ch is closed; a nil ch is a stream of nothing. A [Response] is sent under its
// own event, everything else under the event's. It is what a handler returns:
//
//	return wsrouter.Stream(c, ch)
//
// Stream yields the connection's turn, so other events are handled meanwhile. It
// sends no faster than the client reads or, on a request with credit, than the
// client pulls.
//
// When the client cancels or goes, or the server shuts down, c.Context() is
// canceled and Stream returns its cause. From then on ch is received from until
// it is closed, so that a producer which does not look at the context is not
// blocked forever. Still it has to close ch at some time: one that does not is
// logged and counted in [Stats].
func Stream[T any](c *Context, ch <-chan T) error {
	if ch == nil {
		empty := make(chan T)
		close(empty)
		ch = empty
	}
	own, event := c.Context().Done(), c.req.context().Done()
	err := c.stream(func(send func(any) error) error {
		for {
			select {
			case v, ok := <-ch:
				if !ok { // perhaps as the producer saw the context end
					return c.cause()
				}
				if err := send(v); err != nil {
					return err
				}
			case <-own:
				return c.cause()
			case <-event:
				return c.cause()
			case <-c.conn.done.Done():
				return c.conn.gone()
			}
		}
	})
	if err != nil {
		c.conn.addProducer(1)
		go drain(c.conn, c.Logger(), ch)
	}
	return err
}

// producerPatience is how long a producer may go on after its stream has ended
// before it is logged.
const producerPatience = 10 * time.Second

// drain receives what nobody wants any more. Shutdown waits for its end. It does not
// hold the event's message.
func drain[T any](c *Conn, log *slog.Logger, ch <-chan T) {
	defer c.addProducer(-1)
	late := time.AfterFunc(producerPatience, func() {
		log.Warn("wsrouter: producer goes on although its stream has ended")
	})
	defer late.Stop()
	for range ch {
	}
}

// producers counts those of a Conn that go on although their streams have ended.
type producers struct {
	mu    sync.Mutex // guards what follows
	n     int
	quiet chan struct{} // closed when there are none; nil if nobody waits
}

func (c *Conn) addProducer(n int) {
	c.router.app.counters.producers.Add(int64(n))
	c.producers.add(n)
}

func (p *producers) add(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.n += n
	p.signalLocked()
}

func (p *producers) signalLocked() {
	if p.n == 0 && p.quiet != nil {
		close(p.quiet)
		p.quiet = nil
	}
}

// none returns a channel that is closed when none goes on.
func (p *producers) none() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.quiet == nil {
		p.quiet = make(chan struct{})
	}
	quiet := p.quiet
	p.signalLocked()
	return quiet
}

// StreamSeq is [Stream] for a producer without a goroutine: seq is run in the
// handler's, and its yield function returns false when no more is wanted. An
// error in seq ends the stream with that error; the value beside it is not sent.
func StreamSeq[T any](c *Context, seq iter.Seq2[T, error]) error {
	return c.stream(func(send func(any) error) error {
		for v, err := range seq {
			if err != nil {
				return err
			}
			if err := send(v); err != nil {
				return err
			}
		}
		return c.cause()
	})
}

// cause says why the event's context has ended: the event itself, or middleware
// with a context of its own; nil while it goes on.
func (c *Context) cause() error {
	if err := context.Cause(c.req.context()); err != nil || c.ctx == nil {
		return err
	}
	return context.Cause(c.ctx)
}

// stream runs produce with a function that sends an item. The end of the stream
// is sent like the end of any other event when the handler has returned.
func (c *Context) stream(produce func(send func(any) error) error) error {
	if err := c.req.beginStream(); err != nil {
		return err
	}
	c.Yield()
	err := produce(c.sendItem)
	if err != nil {
		c.conn.mu.Lock()
		c.req.cancelLocked(err)
		c.conn.mu.Unlock()
	}
	return err
}

// beginStream marks the event as answered by a stream.
func (r *request) beginStream() error {
	c := r.conn
	c.mu.Lock()
	resume, err := r.beginStreamLocked()
	c.mu.Unlock()
	if err != nil {
		return err
	}
	c.router.app.counters.streams.Add(1)
	resume.resume(resume != nil)
	return nil
}

func (r *request) beginStreamLocked() (resume *link, err error) {
	c := r.conn
	if r.answer != answerNone || r.cause == errOver {
		return nil, ErrReplied
	}
	r.answer = answerStreaming
	if c.streams == nil {
		c.streams = make(map[*request]struct{})
	}
	c.streams[r] = struct{}{}
	switch {
	case c.phase == connParting:
		r.leaveLocked(c.ce)
	case c.lane.Closed():
		r.cancelLocked(errShutdown)
	}
	return c.waitsLocked(1), nil
}

func (c *Context) sendItem(v any) error {
	if err := c.takeCredit(); err != nil {
		return err
	}
	if err := c.cause(); err != nil {
		return err
	}
	if c.req.muted() {
		return nil
	}
	m, err := c.response(v, true)
	if err != nil {
		return err
	}
	return c.conn.send(m, sendWait)
}

// takeCredit waits until the asker takes another item; not beyond the end of the
// event, or of the connection, for which sendItem looks.
func (c *Context) takeCredit() error {
	for r := c.req; ; {
		more := r.spend()
		if more == nil {
			return nil
		}
		select {
		case <-more:
		case <-c.Context().Done():
			return nil
		case <-r.context().Done():
			return nil
		case <-r.conn.done.Done():
			return r.conn.gone()
		}
	}
}

// spend takes one item off the credit; else it returns a channel that is closed
// when there is more.
func (r *request) spend() (more <-chan struct{}) {
	r.conn.mu.Lock()
	defer r.conn.mu.Unlock()
	switch {
	case r.credit < 0:
		return nil
	case r.credit > 0:
		r.credit--
		return nil
	}
	if r.more == nil {
		r.more = make(chan struct{})
	}
	return r.more
}
