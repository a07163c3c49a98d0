package socket

import (
	"net"

	"github.com/wsrouter/wsrouter/adapter"
	"github.com/wsrouter/wsrouter/internal/loop"
)

// Handler takes what Serve reads. Its methods are called by one goroutine at a
// time.
type Handler interface {
	// Message takes a message. If it returns Pause no other is read until Wait has
	// returned.
	Message(data []byte, text bool) (adapter.Flow, adapter.Turn)
	Wait()

	// End takes the error of Read. It is called last, and may block.
	End(err error)
}

// Serve reads for h until the connection has ended. At an event loop it returns at
// once, and goroutines read whenever there is something to read.
func (c *Conn) Serve(h Handler) {
	if c.loop == nil {
		c.serve(h)
		return
	}
	c.handler = h
	if c.mayHaveRead() || !c.loop.Park() {
		go c.pump()
	}
}

// moveToLoop moves the socket from Go's poller to a loop, if possible.
func (c *Conn) moveToLoop(conn net.Conn) {
	if l, ok := loop.Take(conn, c.pump); ok {
		c.net, c.direct, c.loop = l, looped{l}, l
	}
}

// mayHaveRead reports whether bytes may already have been read that the loop does
// not know of: those that came with the handshake, or after what Read has returned.
func (c *Conn) mayHaveRead() bool {
	if !c.reading.TryLock() {
		return true
	}
	defer c.reading.Unlock()
	return c.buf != nil || c.readErr != nil
}

// serve reads in a goroutine, where there is no loop.
func (c *Conn) serve(h Handler) {
	for {
		data, text, err := c.Read()
		if err != nil {
			h.End(err)
			return
		}
		flow, turn := h.Message(data, text)
		if turn != nil {
			go turn.Work()
		}
		if flow == adapter.Pause {
			h.Wait()
		}
	}
}

// pump reads what has arrived. When all of it has been read, pump hands reading
// back to the loop, which calls it again, and then handles the messages. If there
// is more to read, another goroutine handles them.
func (c *Conn) pump() {
	turns := turns{}
	how := tries
	for {
		data, text, err := c.next(how)
		how = parses
		switch {
		case err == loop.ErrWait && c.loop.Park():
			turns.work()
			return
		case err == loop.ErrWait:
			turns.leave()
			how = tries
			continue
		case err != nil:
			turns.leave()
			c.handler.End(err)
			return
		}
		flow, turn := c.handler.Message(data, text)
		turns.add(turn)
		if flow == adapter.Pause {
			go func() {
				c.handler.Wait()
				c.pump()
			}()
			turns.work()
			return
		}
	}
}

// turns are the turns that a reader has to work off: mostly one, since what follows
// it waits in its lane.
type turns struct{ first adapter.Turn }

func (t *turns) add(turn adapter.Turn) {
	switch {
	case turn == nil:
	case t.first == nil:
		t.first = turn
	default: // another namespace's turn
		go turn.Work()
	}
}

// leave lets another goroutine work the turns off.
func (t *turns) leave() {
	if t.first != nil {
		go t.first.Work()
		t.first = nil
	}
}

// work works the turns off.
func (t *turns) work() {
	if t.first != nil {
		t.first.Work()
	}
}
