package wsrouter

import "time"

// An inbox holds what has been read for a Conn and not been handled yet. It is
// worked off in turns: whoever has the turn takes the next message and runs its
// handler; when that yields, a fresh goroutine has the turn, so order is kept up
// to the point where a handler gave it away. An idle connection has no such
// goroutine.
//
// A full inbox stops the read loop. But a handler may be waiting for just what
// the client sends next: the answer to a Call, the cancel of a stream. So while
// one of those is open reading goes on, to maxInboxes times the limit, and then
// the client is closed.
const maxInboxes = 4

// inbox is a list, as most are empty or have one event.
type inbox struct{ first, last *exchange }

func (q *inbox) push(ex *exchange) {
	if q.first == nil {
		q.first = ex
	} else {
		q.last.next = ex
	}
	q.last = ex
}

// pop returns nil if there is nothing.
func (q *inbox) pop() *exchange {
	ex := q.first
	if ex != nil {
		q.first, ex.next = ex.next, nil
	}
	if q.first == nil {
		q.last = nil
	}
	return ex
}

// Receive takes a message that the client has sent to this connection's
// namespace. It blocks while the inbox is full, so an adapter calls it from its
// read loop, and no two calls run at once. It reports false when the link is
// closing and nothing more will be taken. The message is the Conn's from then on.
func (c *Conn) Receive(m *Message) bool {
	l := c.link
	switch m.Kind {
	case KindReply, KindError:
		if m.ID != "" || !l.client {
			c.answer(m)
			l.app.relieve()
			return true
		}
		m.Kind, m.Event = KindEvent, exception // for the client's NotFound
	case KindCancel:
		c.cancelExchange(m.ID)
		return true
	case KindPull:
		c.addCredit(m.ID, m.Credit)
		return true
	case KindDisconnect:
		c.left()
		return true
	}
	l.mu.Lock()
	taken, late := c.receiveLocked(m)
	l.mu.Unlock()
	if late {
		c.answerLate(m)
	}
	l.app.relieve()
	return taken
}

// receiveLocked reports whether the link takes more, and whether m came too late
// to be handled, so that an answer has to say so.
func (c *Conn) receiveLocked(m *Message) (taken, late bool) {
	l := c.link
	if !l.waitForInboxLocked() {
		return false, false
	}
	if c.draining || c.leaving {
		l.app.counters.discarded.Add(1)
		return true, m.ID != "" && !c.leaving && c.open[m.ID] == nil
	}
	ex := &exchange{conn: c, msg: m, held: m.held(), limited: m.Credit > 0, credit: m.Credit}
	if m.ID != "" {
		if c.open[m.ID] != nil {
			l.closeLocked(&CloseError{Code: CloseProtocol, Reason: "id in use", Cause: CauseProtocol})
			return false, false
		}
		if c.open == nil {
			c.open = make(map[string]*exchange)
		}
		c.open[m.ID] = ex
	}
	l.holdLocked(&l.in.waiting, ex.held)
	l.app.counters.eventsIn.Add(1)
	c.inbox.push(ex)
	if !c.turn {
		c.turn = true
		go c.work()
	}
	return true, false
}

// answerLate answers a request that came while its connection drained: the asker
// need not wait for the close to ask elsewhere.
func (c *Conn) answerLate(m *Message) {
	ex := &exchange{conn: c, msg: m}
	ex.begin().sendLast(errShutdown, sendNow) // the read loop waits for nobody
	c.link.mu.Lock()
	defer c.link.mu.Unlock()
	ex.cancelLocked(nil)
}

// waitForInboxLocked applies the bound; false means that the link is closing.
func (l *Link) waitForInboxLocked() bool {
	limit := l.app.opts.InboxBytes
	for l.ce == nil && l.in.waiting >= limit {
		if l.waits > 0 {
			if l.in.waiting/maxInboxes < limit {
				break
			}
			l.closeLocked(&CloseError{Code: ClosePolicy, Reason: "inbox full", Cause: CauseProtocol})
			break
		}
		l.inSpace = make(chan struct{})
		space := l.inSpace
		l.mu.Unlock()
		<-space
		l.mu.Lock()
	}
	return l.ce == nil
}

// wakeReaderLocked makes a read loop that waits look again.
func (l *Link) wakeReaderLocked() {
	if l.inSpace != nil {
		close(l.inSpace)
		l.inSpace = nil
		l.lastRead.Store(time.Now().UnixNano()) // its silence was ours
	}
}

// addWaitLocked counts calls and streams that are open.
func (l *Link) addWaitLocked(n int) {
	l.waits += n
	if n > 0 {
		l.wakeReaderLocked()
	}
}

// work has the turn until the inbox is empty or a handler yields.
func (c *Conn) work() {
	for {
		ex := c.next()
		if ex == nil || !c.handle(ex) {
			return
		}
	}
}

// next takes the next event, or gives up the turn.
func (c *Conn) next() *exchange {
	l := c.link
	l.mu.Lock()
	defer l.mu.Unlock()
	ex := c.inbox.pop()
	if ex == nil {
		c.turn = false
		c.signalIdleLocked()
		return nil
	}
	c.startLocked(ex)
	ex.refused = len(c.running) > l.app.opts.MaxOpen || l.handlersFullLocked(ex.held)
	moveLocked(&l.in.waiting, &l.in.inHand, ex.held)
	l.holdLocked(&l.in.inHand, handlerOverhead)
	ex.held += handlerOverhead
	if l.in.waiting < l.app.opts.InboxBytes {
		l.wakeReaderLocked()
	}
	return ex
}

// handlersFullLocked reports whether handlers that have yielded, streams mostly,
// hold too much for another message beside theirs.
func (l *Link) handlersFullLocked(held int) bool {
	limit := max(l.app.opts.InboxBytes, l.app.opts.MaxMessage)
	return l.in.yielded > 0 && (l.in.yielded+held)/maxInboxes >= limit
}

// letGoLocked ends the charge of a message whose handler has returned.
func (l *Link) letGoLocked(ex *exchange) {
	if ex.yielded {
		l.holdLocked(&l.in.yielded, -ex.held)
		return
	}
	l.holdLocked(&l.in.inHand, -ex.held)
}

// startLocked and stopLocked keep the list of what runs.
func (c *Conn) startLocked(ex *exchange) {
	ex.began = time.Now()
	ex.index = len(c.running)
	c.running = append(c.running, ex)
}

func (c *Conn) stopLocked(ex *exchange) {
	last := len(c.running) - 1
	c.running[ex.index] = c.running[last]
	c.running[ex.index].index = ex.index
	c.running[last] = nil
	c.running = c.running[:last]
}

// handle runs an event's handler and reports whether it still has the turn.
func (c *Conn) handle(ex *exchange) bool {
	ctx := ex.begin()
	err := protect(func() error { return ctx.router().dispatch(ctx) }, func(err error) {
		if ctx.finish(err) {
			c.work()
		}
	})
	return ctx.finish(err)
}

// passTurn lets the next event begin while ex's handler goes on.
func (c *Conn) passTurn(ex *exchange) {
	c.link.mu.Lock()
	defer c.link.mu.Unlock()
	c.passTurnLocked(ex)
}

func (c *Conn) passTurnLocked(ex *exchange) {
	if ex.yielded || ex.finished {
		return
	}
	ex.yielded = true
	moveLocked(&c.link.in.inHand, &c.link.in.yielded, ex.held)
	if c.inbox.first != nil {
		go c.work()
		return
	}
	c.turn = false
}

// dropInboxLocked forgets what has not begun.
func (c *Conn) dropInboxLocked() {
	for ex := c.inbox.pop(); ex != nil; ex = c.inbox.pop() {
		c.link.holdLocked(&c.link.in.waiting, -ex.held)
		delete(c.open, ex.msg.ID)
		c.link.app.counters.discarded.Add(1)
	}
	c.link.wakeReaderLocked()
}

// idleLocked returns a channel that is closed when no handler runs and nothing
// waits for one.
func (c *Conn) idleLocked() <-chan struct{} {
	if c.idle == nil {
		c.idle = make(chan struct{})
	}
	idle := c.idle
	c.signalIdleLocked()
	return idle
}

func (c *Conn) signalIdleLocked() {
	if c.idle != nil && len(c.running) == 0 && c.inbox.first == nil {
		close(c.idle)
		c.idle = nil
	}
}
