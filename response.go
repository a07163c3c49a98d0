package wsrouter

import (
	"context"
	"iter"
	"log/slog"
	"time"
)

// Response is a reply, or an item of a stream, under an event name of its own:
//
//	return c.Reply(wsrouter.Response{Event: "events", Data: 1})
//
// It is what NestJS calls WsResponse.
type Response struct {
	Event string
	Data  any // encoded as JSON; nil is null
}

// Reply answers this event: the request, if the client wants an answer, else
// with an event of the same name. v is encoded as JSON before Reply returns; a
// [Response] is sent under its own event.
//
// Like [Context.Emit], Reply waits while the client reads slower than it is sent
// to, at most for [Options.WriteTimeout]: so hold no lock meanwhile.
//
// An event is answered at most once, after that the error is [ErrReplied]. A
// request whose handler returns nil without a reply gets an empty answer. Other
// errors are those of [Conn.Emit], and the context's cause after the asker
// cancelled.
func (c *Context) Reply(v any) error {
	m, err := c.response(v, false)
	if err != nil {
		return err
	}
	f, err := c.conn.format.Encode(m)
	if err != nil {
		return encodeError(m.Event, err)
	}
	if err := c.ex.reply(); err != nil {
		return err
	}
	if c.muted() {
		return nil
	}
	return c.conn.sendFrame(f, sendReply)
}

// response makes the message that answers the event, or is an item of its
// stream.
func (c *Context) response(v any, more bool) (*Message, error) {
	var both struct { // in one piece
		m    Message
		args [1]any
	}
	m := &both.m
	m.Kind, m.Event, m.ID, m.More = KindReply, c.msg.Event, c.msg.ID, more && c.msg.ID != ""
	if r, ok := v.(Response); ok {
		if err := checkEvent(r.Event); err != nil {
			return nil, err
		}
		m.Event, m.Named, v = r.Event, true, r.Data
	}
	both.args[0] = v
	m.Args = both.args[:]
	return m, nil
}

// muted reports whether an answer goes nowhere: an end that dialled answers
// requests only.
func (c *Context) muted() bool { return c.msg.ID == "" && c.conn.link.client }

// reply takes the last frame in hand for a Reply.
func (ex *exchange) reply() error {
	l := ex.conn.link
	l.mu.Lock()
	canceled := ex.canceled && !ex.answered && !ex.stream
	fresh := !ex.canceled && !ex.answered && !ex.stream
	if fresh {
		ex.answerLocked()
	}
	l.mu.Unlock()
	switch {
	case canceled:
		return context.Cause(ex.context())
	case !fresh:
		return ErrReplied
	}
	return nil
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
// cancelled and Stream returns its cause. From then on ch is received from until
// it is closed, so that a producer which does not look at the context is not
// blocked for ever. Still it has to close ch at some time: one that does not is
// logged and counted in [Stats].
func Stream[T any](c *Context, ch <-chan T) error {
	if ch == nil {
		empty := make(chan T)
		close(empty)
		ch = empty
	}
	own, event := c.Context().Done(), c.ex.context().Done()
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
			case <-c.conn.link.closed:
				return c.conn.link.Err()
			}
		}
	})
	if err != nil {
		c.conn.link.addProducer(1)
		go drain(c.conn.link, c.Logger(), ch)
	}
	return err
}

// producerPatience is how long a producer may go on after its stream has ended
// before it is logged.
const producerPatience = 10 * time.Second

// drain receives what nobody wants any more. Shutdown waits for its end. It does not
// hold the event's message.
func drain[T any](l *Link, log *slog.Logger, ch <-chan T) {
	defer l.addProducer(-1)
	late := time.AfterFunc(producerPatience, func() {
		log.Warn("wsrouter: producer goes on although its stream has ended")
	})
	defer late.Stop()
	for range ch {
	}
}

// addProducer counts producers whose streams have ended.
func (l *Link) addProducer(n int) {
	l.app.counters.producers.Add(int64(n))
	l.mu.Lock()
	defer l.mu.Unlock()
	l.producers += n
	if l.producers == 0 && l.quiet != nil {
		close(l.quiet)
		l.quiet = nil
	}
}

// noProducers returns a channel that is closed when none goes on.
func (l *Link) noProducers() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.quiet == nil {
		l.quiet = make(chan struct{})
	}
	quiet := l.quiet
	if l.producers == 0 {
		close(l.quiet)
		l.quiet = nil
	}
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
	if err := context.Cause(c.ex.context()); err != nil {
		return err
	}
	return context.Cause(c.Context())
}

// stream runs produce with a function that sends an item. The end of the stream
// is sent like the end of any other event when the handler has returned.
func (c *Context) stream(produce func(send func(any) error) error) error {
	if err := c.ex.beginStream(); err != nil {
		return err
	}
	c.Yield()
	err := produce(c.sendItem)
	if err != nil {
		c.conn.link.mu.Lock()
		c.ex.cancelLocked(err)
		c.conn.link.mu.Unlock()
	}
	return err
}

func (c *Context) sendItem(v any) error {
	if err := c.takeCredit(); err != nil {
		return err
	}
	if err := c.cause(); err != nil {
		return err
	}
	if c.muted() {
		return nil
	}
	m, err := c.response(v, true)
	if err != nil {
		return err
	}
	return c.conn.send(m, sendWait)
}
