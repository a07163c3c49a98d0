package load

import (
	"errors"
	"fmt"
	"slices"
	"syscall"
	"time"
)

// answerPings handles what has arrived, without waiting.
func (l *loop) answerPings() error {
	for {
		before := l.pings()
		if err := l.poll(0, func(*conn, int) error { return nil }); err != nil {
			return err
		}
		if l.pings() == before {
			return nil
		}
	}
}

// pings returns how many pings have been answered.
func (l *loop) pings() (n int) {
	for _, c := range l.conns {
		n += int(c.pings)
	}
	return n
}

// hold answers pings for cmd.For, and fails unless every connection lasts. It
// counts the pings.
func (l *loop) hold(cmd Command) (Result, error) {
	for _, c := range l.conns {
		c.pings = 0
	}
	w := newWindow(cmd)
	result, err := l.run(w, func() bool { return false }, func(*conn, int) error {
		return errors.New("an answer that nobody asked for")
	})
	if err != nil {
		return result, err
	}
	result.Messages = l.pings()
	result.Least = int(slices.MinFunc(l.conns, func(a, b *conn) int { return int(a.pings) - int(b.pings) }).pings)
	return result, nil
}

// drain waits until the server has closed every connection, for at most cmd.For. It
// answers close frames as a client must, and counts the connections that ended with
// one; the others were cut.
func (l *loop) drain(cmd Command) (Result, error) {
	before, err := ProcessTime(cmd.PID)
	if err != nil {
		return Result{}, err
	}
	left, closed, firstCut := len(l.conns), 0, ""
	var first int64 // when the first was closed
	l.ended = func(c *conn, why error) error {
		var frame *closeError
		if errors.As(why, &frame) && !c.closed {
			c.closed, c.in = true, nil
			closed++
			if first == 0 {
				first = now()
			}
			// If the server has cut the connection by now nobody receives this;
			// reading finds the end.
			l.write(c, appendFrame(nil, opClose, frame.payload[:min(len(frame.payload), 2)]))
			return nil
		}
		if !c.closed && firstCut == "" {
			firstCut = why.Error()
		}
		left--
		return l.forget(c)
	}
	l.odd = func(*conn, []byte) (int, error) { return 0, nil } // a goodbye in the words of the protocol
	defer func() { l.ended, l.odd = nil, nil }()
	deadline := now() + int64(cmd.For)
	for left > 0 {
		if now() > deadline {
			return Result{}, fmt.Errorf("%d connections are left after %s", left, cmd.For)
		}
		if err := l.poll(50, func(*conn, int) error { return nil }); err != nil {
			return Result{}, err
		}
	}
	took := time.Duration(0)
	if first > 0 {
		took = time.Duration(now() - first)
	}
	after, err := ProcessTime(cmd.PID)
	cut := len(l.conns) - closed
	l.conns = nil
	return Result{Messages: closed, Cut: cut, Why: firstCut, Seconds: took.Seconds(), CPU: (after - before).Seconds()}, err
}

// forget closes a connection that has ended. Closing takes it out of epoll.
func (l *loop) forget(c *conn) error {
	l.byFD[c.fd] = nil
	return syscall.Close(c.fd)
}
