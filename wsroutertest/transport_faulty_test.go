package wsroutertest_test

import (
	"errors"
	"os"
	"slices"
	"sync/atomic"
	"time"

	"github.com/wsrouter/wsrouter/adapter"
)

// faultyTransport is a Transport, as the link sees it.
type faultyTransport struct {
	adapter.Transport
	host    faultyHost
	link    adapter.Link
	turn    int
	held    []adapter.Frame
	written chan struct{} // a token for each Writable
	paused  atomic.Bool
}

func (t *faultyTransport) Write(batch []adapter.Frame) (pending bool, err error) {
	t.turn++
	switch t.host.fault {
	case "swaps batches":
		if t.held == nil {
			t.held = batch
			return false, nil
		}
		batch, t.held = append(slices.Clone(batch), t.held...), nil
	case "swaps frames":
		batch = slices.Clone(batch)
		slices.Reverse(batch)
	case "loses frames":
		if t.turn%2 == 0 {
			return false, nil
		}
		batch = batch[:max(1, len(batch)-1)]
	case "does not write when paused":
		if t.paused.Load() {
			return true, nil
		}
	case "Close drops":
		go t.Transport.Write(batch[:1])
		return true, nil
	}
	pending, err = t.Transport.Write(batch)
	if t.host.fault == "Write waits" && pending {
		<-t.written
	}
	return pending, err
}

func (t *faultyTransport) Ping() {
	if t.host.fault == "Ping waits for Write" {
		<-t.written
	}
	t.Transport.Ping()
}

func (t *faultyTransport) Resume() {
	early := !t.paused.Swap(false)
	switch t.host.fault {
	case "loses an early Resume":
		go func() {
			if early {
				<-t.host.over
			}
			t.Transport.Resume()
		}()
	case "Abort while paused waits":
		go func() {
			time.Sleep(time.Minute)
			t.Transport.Resume()
		}()
	case "reads on": // has not waited
	default:
		t.Transport.Resume()
	}
}

func (t *faultyTransport) Close(e adapter.End) {
	if t.host.fault == "Close waits for the peer" {
		go func() {
			<-t.host.over
			t.Transport.Close(e)
		}()
		return
	}
	t.Transport.Close(e)
}

func (t *faultyTransport) Abort() {
	switch t.host.fault {
	case "Abort waits":
		time.Sleep(time.Second)
	case "Abort does nothing":
		select {
		case <-t.host.over:
		default:
			return
		}
	}
	t.Transport.Abort()
}

// faultyLink is a Link, as the adapter sees it.
type faultyLink struct {
	adapter.Link
	transport *faultyTransport
	host      faultyHost
}

func (l *faultyLink) Join(ns adapter.Namespace, f adapter.Format, auth []byte) (adapter.Conn, error) {
	conn, err := l.Link.Join(ns, f, auth)
	return &faultyConnection{Conn: conn, link: l}, err
}

func (l *faultyLink) Writable(err error) {
	switch l.host.fault {
	case "never Writable":
		return
	case "Writable twice":
		l.Link.Writable(err)
	case "times out strangely":
		if errors.Is(err, os.ErrDeadlineExceeded) {
			err = errStrange
		}
	}
	select {
	case l.transport.written <- struct{}{}:
	default:
	}
	l.Link.Writable(err)
}

func (l *faultyLink) Alive() {
	if l.host.fault != "is not alive before" && l.host.fault != "hides pongs" {
		l.Link.Alive()
	}
}

func (l *faultyLink) Arrived(f adapter.Frame) bool {
	switch l.host.fault {
	case "does not tell of arrivals":
		return true
	case "hides pongs":
		if f.IsZero() {
			return true
		}
	}
	return l.Link.Arrived(f)
}

func (l *faultyLink) Close(e adapter.End) {
	if l.host.fault == "too big without a code" {
		e.Code = 1006
	}
	l.Link.Close(e)
}

func (l *faultyLink) End(e adapter.End) <-chan struct{} {
	switch l.host.fault {
	case "no code of goodbye":
		e.Code = 1006
	case "blames us for a cut":
		e.Cause = adapter.CauseLocal
	case "ends twice":
		l.Link.End(e)
	case "never ends":
		over := make(chan struct{})
		close(over)
		return over
	}
	return l.Link.End(e)
}

// faultyConnection is a Conn, as the adapter sees it.
type faultyConnection struct {
	adapter.Conn
	link *faultyLink
	held *adapter.Message
	turn int
}

func (c *faultyConnection) Receive(m *adapter.Message) adapter.Flow {
	c.turn++
	switch c.link.host.fault {
	case "receives backwards":
		if c.held == nil {
			c.held = m
			return adapter.Go
		}
		c.Conn.Receive(m)
		m, c.held = c.held, nil
	case "receives at once":
		go c.Conn.Receive(m)
	case "goodbye overtakes":
		go func() {
			time.Sleep(time.Millisecond)
			c.Conn.Receive(m)
		}()
		return adapter.Go
	case "loses a message at Pause":
		if c.turn%3 == 0 {
			return adapter.Go
		}
	}
	flow := c.Conn.Receive(m)
	c.link.transport.paused.Store(flow == adapter.Pause)
	switch {
	case c.link.host.fault == "reads on":
		return adapter.Go
	case c.link.host.fault == "Closed stops reading" && flow == adapter.Closed:
		<-c.link.host.over
	}
	return flow
}
