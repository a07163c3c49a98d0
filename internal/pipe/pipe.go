// Package pipe implements a connection in memory. It has two ends, each of which is
// the transport of a link.
package pipe

import (
	"bytes"
	"net"
	"os"
	"sync"
	"time"

	"github.com/wsrouter/wsrouter/adapter"
)

// Pipe is one end of a connection. It has no buffer: a frame is handed from the
// writer at one end to the reader at the other. It only waits on channels, so that
// a testing/synctest bubble notices when everything is blocked.
type Pipe struct {
	adapter.Gate
	limits adapter.Limits
	link   adapter.Link
	peer   *Pipe
	frames chan []byte   // to this end
	pings  chan struct{} // to this end; cap 1
	pongs  chan struct{} // to this end; cap 1
	shared *ending
}

// ending says how a pipe ended, for both ends.
type ending struct {
	once sync.Once
	done chan struct{}

	// Set before done is closed.
	code   int
	reason string
}

// New returns the two ends of a connection, each with its limits.
func New(a, b adapter.Limits) (*Pipe, *Pipe) {
	shared := &ending{done: make(chan struct{})}
	end := func(limits adapter.Limits) *Pipe {
		return &Pipe{
			limits: limits,
			frames: make(chan []byte),
			pings:  make(chan struct{}, 1),
			pongs:  make(chan struct{}, 1),
			shared: shared,
		}
	}
	p, q := end(a), end(b)
	p.peer, q.peer = q, p
	return p, q
}

// Attach sets the end's link. Call it before anything is read or written.
func (p *Pipe) Attach(l adapter.Link) { p.link = l }

// Read returns the next frame, or how the pipe ended.
func (p *Pipe) Read() (data []byte, text bool, end *adapter.End) {
	for {
		select {
		case data := <-p.frames:
			if len(data) > p.limits.MaxMessage {
				return nil, false, &adapter.End{Code: 1009, Reason: "message too big", Cause: adapter.CauseProtocol}
			}
			return bytes.Clone(data), true, nil // because broadcasts share their bytes
		case <-p.pings:
			p.link.Alive()
			offer(p.peer.pongs)
		case <-p.pongs:
			p.link.Alive()
		case <-p.shared.done:
			return nil, false, &adapter.End{Code: p.shared.code, Reason: p.shared.reason, Cause: adapter.CausePeer}
		}
	}
}

// Write implements [adapter.Transport]. It hands over frames as long as the peer
// waits for them, and leaves the rest to a goroutine.
func (p *Pipe) Write(batch []adapter.Frame) (pending bool, err error) {
	select {
	case <-p.shared.done:
		return false, net.ErrClosed
	default:
	}
	for i, f := range batch {
		select {
		case p.peer.frames <- f.Text:
		default:
			go func() { p.link.Writable(p.write(batch[i:])) }()
			return true, nil
		}
	}
	return false, nil
}

// Send hands one frame to the peer, however long that takes. It reports false if
// the pipe has ended.
func (p *Pipe) Send(data []byte) bool {
	select {
	case p.peer.frames <- data:
		return true
	case <-p.shared.done:
		return false
	}
}

func (p *Pipe) write(batch []adapter.Frame) error {
	timeout := time.NewTimer(p.limits.WriteTimeout)
	defer timeout.Stop()
	for _, f := range batch {
		select {
		case p.peer.frames <- f.Text:
		case <-timeout.C:
			return os.ErrDeadlineExceeded
		case <-p.shared.done:
			return net.ErrClosed
		}
	}
	return nil
}

// Name implements [adapter.Named].
func (p *Pipe) Name() string { return "memory" }

// Ping implements [adapter.Transport].
func (p *Pipe) Ping() { offer(p.peer.pings) }

func offer(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}

// Close implements [adapter.Transport].
func (p *Pipe) Close(e adapter.End) {
	p.shared.once.Do(func() {
		p.shared.code, p.shared.reason = e.Code, e.Reason
		close(p.shared.done)
	})
}

// Abort implements [adapter.Transport].
func (p *Pipe) Abort() { p.Close(adapter.End{Code: 1006}) }

// Over returns a channel that is closed when the pipe has ended.
func (p *Pipe) Over() <-chan struct{} { return p.shared.done }
