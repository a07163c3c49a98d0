package socket

import (
	"errors"
	"os"

	"github.com/wsrouter/wsrouter/adapter"
)

// EndOf returns how a connection ended, given the error of its Read.
func EndOf(err error) adapter.End {
	if code, reason, ok := CloseStatus(err); ok {
		return adapter.End{Code: code, Reason: reason, Cause: adapter.CausePeer}
	}
	switch {
	case errors.Is(err, ErrTooBig):
		return adapter.End{Code: 1009, Reason: "message too big", Cause: adapter.CauseProtocol}
	case errors.Is(err, os.ErrDeadlineExceeded):
		return adapter.End{Code: 1008, Reason: "slow client", Cause: adapter.CauseSlow}
	case errors.Is(err, ErrTimeout):
		return adapter.End{Code: 1008, Reason: "message took too long", Cause: adapter.CauseTimeout}
	case errors.Is(err, ErrUTF8):
		return adapter.End{Code: 1007, Reason: "invalid UTF-8", Cause: adapter.CauseProtocol}
	case errors.Is(err, ErrProtocol):
		return adapter.End{Code: 1002, Reason: "protocol error", Cause: adapter.CauseProtocol, Err: err}
	}
	return adapter.End{Code: 1006, Cause: adapter.CausePeer, Err: err}
}

// Push sends the batch that add makes, after what EndNow has left of the batch
// before. It does not wait: if the network does not take all of it at once the
// batch is pending, and a goroutine sends the rest and then calls done.
func (c *Conn) Push(add func() error, done func(error)) (pending bool, err error) {
	if c.BeginNow() {
		add()
		if all, err := c.EndNow(); all || err != nil {
			return false, err
		}
		add = func() error { return nil }
	}
	go func() {
		c.Begin()
		failed := add()
		if err := c.End(); failed == nil {
			failed = err
		}
		done(failed)
	}()
	return true, nil
}
