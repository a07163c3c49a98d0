package wsrouter

import (
	"bytes"
	"net"
	"os"
	"sync"
	"time"
)

// pipe is one end of an in-memory connection, the other is its peer. It has no
// buffer: a frame is handed from the writer of one end to the reader of the
// other. It uses channels only, so that a testing/synctest bubble sees when
// everything is blocked.
type pipe struct {
	opts   *Options
	link   *Link
	peer   *pipe
	frames chan []byte   // to this end
	pings  chan struct{} // to this end; cap 1
	pongs  chan struct{} // to this end; cap 1
	shared *pipeEnding
}

// pipeEnding is how a pipe ended, for both ends.
type pipeEnding struct {
	once sync.Once
	done chan struct{}

	// Set before done is closed.
	code   int
	reason string
}

func newPipe(a, b *Options) (*pipe, *pipe) {
	shared := &pipeEnding{done: make(chan struct{})}
	end := func(opts *Options) *pipe {
		return &pipe{
			opts:   opts,
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

func (p *pipe) read() ([]byte, bool, error) {
	for {
		select {
		case data := <-p.frames:
			if len(data) > p.opts.MaxMessage {
				return nil, false, tooBig()
			}
			return bytes.Clone(data), true, nil // broadcasts share their bytes
		case <-p.pings:
			p.link.Alive()
			offer(p.peer.pongs)
		case <-p.pongs:
			p.link.Alive()
		case <-p.shared.done:
			return nil, false, &CloseError{Code: p.shared.code, Reason: p.shared.reason, Cause: CausePeer}
		}
	}
}

func tooBig() *CloseError {
	return &CloseError{Code: CloseTooBig, Reason: "message too big", Cause: CauseProtocol}
}

func (p *pipe) Write(batch []Frame) error {
	batch, err := p.WriteNow(batch)
	if batch == nil || err != nil {
		return err
	}
	timeout := time.NewTimer(p.opts.WriteTimeout)
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

// WriteNow implements [NowWriter]: it hands over frames while the peer waits for
// them.
func (p *pipe) WriteNow(batch []Frame) (rest []Frame, err error) {
	select {
	case <-p.shared.done:
		return nil, net.ErrClosed
	default:
	}
	for i, f := range batch {
		select {
		case p.peer.frames <- f.Text:
		default:
			return batch[i:], nil
		}
	}
	return nil, nil
}

func (p *pipe) Ping() { offer(p.peer.pings) }

func offer(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}

func (p *pipe) Close(code int, reason string) {
	p.shared.once.Do(func() {
		p.shared.code, p.shared.reason = code, reason
		close(p.shared.done)
	})
}

func (p *pipe) Abort() { p.Close(CloseAbnormal, "") }
