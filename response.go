package wsrouter

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"time"

	"github.com/wsrouter/wsrouter/adapter"
	"github.com/wsrouter/wsrouter/internal/meta"
	"github.com/wsrouter/wsrouter/internal/scratch"
)

// Response is a reply, or an item of a stream, with an event name of its own:
//
//	return c.Reply(wsrouter.Response{Event: "events", Data: 1})
//
// NestJS calls it WsResponse. It is always the whole reply or item: encoding a value that
// contains a Response fails.
type Response struct {
	Event string
	Data  any // encoded as JSON; nil means null

	// Meta is sent beside the data, see [WithMeta]. Reply returns an error if it
	// takes more than 1,024 bytes as a JSON object.
	Meta map[string]string
}

// MarshalJSON always returns an error. A Response inside another value would lose its
// event name and show its fields to the client. Middleware that wraps replies does that
// unless it looks for a Response, see [Context.WithReply].
func (Response) MarshalJSON() ([]byte, error) {
	return nil, errors.New("a Response cannot be part of a value")
}

// Args are several values, like those of a Socket.IO ack. They may be used wherever one
// value may: in Reply, as an item of a stream, as the result of a function given to
// [Handle], in [Response] and in a call. On the plain protocol several values are sent
// as an array, and one value as itself. Args that are nil or empty are no data.
type Args []any

// Reply answers this event: a request with the answer, any other event with an event of
// the same name. v is encoded as JSON before Reply returns. A [Response], or a pointer
// to one, is sent with its own event name.
//
// Like [Context.Emit], Reply waits while the client reads more slowly than it is sent
// to, at most for [Options.WriteTimeout]. Do not hold a lock meanwhile.
//
// An event is answered at most once; after that Reply returns [ErrReplied]. If a
// handler returns nil without a reply, a request gets an empty answer. Other errors are
// those of [Conn.Emit], and the context's cause if the client has canceled.
func (c *Context) Reply(v any) error {
	f, err := c.response(v, false)
	if err != nil {
		return err
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

// muted reports whether an answer is not sent: the side that dialed only answers
// requests.
func (r *request) muted() bool { return r.msg.ID == "" && r.conn.dialed }

// response encodes v as the answer to the event, or as an item of its stream.
func (c *Context) response(v any, more bool) (f adapter.Frame, err error) {
	if v, err = c.passed(v); err != nil {
		return f, err
	}
	m := scratch.Get()
	if err = c.req.answerWith(m, v, more); err == nil {
		f, err = c.conn.format.Encode(&m.Message)
		err = encodeError(m.Event, err)
	}
	m.Put()
	return f, err
}

// answerWith makes m an answer with the value v, or an item.
func (r *request) answerWith(m *scratch.Message, v any, more bool) (err error) {
	m.Kind, m.Event, m.ID, m.More = adapter.KindReply, r.msg.Event, r.msg.ID, more && r.msg.ID != ""
	if r, ok := v.(Response); ok {
		if r.Event == "" {
			return fmt.Errorf("wsrouter: a Response needs an Event")
		}
		if err := checkEvent(r.Event); err != nil {
			return err
		}
		m.Event, m.Named, v = r.Event, true, r.Data
		if m.Meta, err = meta.Of(r.Meta); err != nil {
			return encodeError(r.Event, err)
		}
	}
	if args, ok := v.(Args); !ok {
		m.SetArg(v)
	} else if m.Args = args; args == nil {
		m.Args = Args{} // which is an answer
	}
	return nil
}

// Stream answers the event with every value received from ch, in order, until ch is
// closed. A handler returns it:
//
//	return wsrouter.Stream(c, ch)
//
// A [Response] is sent with its own event name, everything else with the event's. A nil
// ch is an empty stream.
//
// Stream yields the connection's turn, so that other events are handled meanwhile. It
// sends no faster than the client reads or, for a request with credit, than the client
// pulls.
//
// When the client cancels, the connection ends, or the server shuts down,
// c.Context() is canceled and Stream returns its cause. From then on ch is drained
// until it is closed, so that a producer that ignores the context does not block
// forever. But the producer must close ch eventually: one that does not is logged,
// and counted in [Stats].
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
				if !ok { // perhaps because the producer saw the context end
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

// producerPatience is how long a producer may go on after the end of its stream before
// it is logged.
const producerPatience = 10 * time.Second

// drain receives what nobody wants any more. Shutdown waits for it. It does not hold
// the event's message.
func drain[T any](c *Conn, log *slog.Logger, ch <-chan T) {
	defer c.addProducer(-1)
	late := time.AfterFunc(producerPatience, func() {
		log.Warn("wsrouter: producer still running although its stream has ended")
	})
	defer late.Stop()
	for range ch {
	}
}

func (c *Conn) addProducer(n int) {
	c.router.app.counters.producers.Add(int64(n))
	c.producers.Add(n)
}

// StreamSeq is [Stream] for a producer without a goroutine: seq runs in the handler's
// goroutine, and its yield function returns false when no more items are wanted. An
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

// cause returns why the event's context has ended, or the context of some middleware;
// nil if it goes on.
func (c *Context) cause() error {
	if err := context.Cause(c.req.context()); err != nil || c.ctx == nil {
		return err
	}
	return context.Cause(c.ctx)
}

// stream runs produce with a function that sends an item. The end of the stream is sent
// like the end of any other event, when the handler has returned.
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
	f, err := c.response(v, true)
	if err != nil {
		return err
	}
	return c.conn.put(f, sendWait)
}

// takeCredit waits until the client takes another item, but not beyond the end of the
// event or of the connection, for which sendItem checks.
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

// spend takes one item off the credit. If there is none it returns a channel that is
// closed when there is more.
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
