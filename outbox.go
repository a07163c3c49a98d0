package wsrouter

import (
	"errors"
	"os"
	"time"
)

// The outbox holds the frames that one client has not been sent yet. It is where
// a slow client shows. Frames are put in by whoever emits, and taken out in
// batches by one writer, a goroutine that lives while there is something to
// write. Only a handler's own sending waits for space, and only in the first
// half; everyone else finds a full outbox once, and the client is gone.

// sendMode says what a full outbox means to a sender.
type sendMode uint8

const (
	sendWait     sendMode = iota // wait for space in the first half
	sendNow                      // never wait: full means that the client is slow
	sendVolatile                 // drop the frame
	sendReply                    // as sendWait, and likely nothing follows
)

func (mode sendMode) waits() bool { return mode == sendWait || mode == sendReply }

// What sendLocked leaves to sent, as it has the lock.
var (
	errDropped  = errors.New("wsrouter: dropped") // a volatile frame, for a full outbox
	errWriteNow = errors.New("wsrouter: write")   // the sender itself is the writer
)

// send queues a frame. Only sendWait and sendReply block, and at most for
// WriteTimeout.
func (l *Link) send(f Frame, mode sendMode) error {
	if f.empty() {
		return nil
	}
	l.mu.Lock()
	err := l.sendLocked(f, mode)
	l.mu.Unlock()
	return l.sent(err)
}

// sent does what sendLocked could not, as it had the lock.
func (l *Link) sent(err error) error {
	l.app.relieve()
	switch err {
	case errWriteNow:
		l.writeNow()
		return nil
	case errDropped:
		if t := l.app.opts.Trace; t.Drop != nil {
			l.app.trace(func() { t.Drop(l, 1) })
		}
		return nil
	}
	return err
}

func (l *Link) sendLocked(f Frame, mode sendMode) error {
	size := f.held()
	limit := l.app.opts.OutboxBytes
	if mode.waits() {
		limit /= 2 // the rest is left to those who cannot wait
	}
	var timeout *time.Timer
	for l.ce == nil && !l.gone && l.outBytes > 0 && l.outBytes+size > limit {
		switch mode {
		case sendVolatile:
			l.app.counters.dropped.Add(1)
			return errDropped
		case sendNow:
			l.cutLocked(slowClient())
			return l.ce
		}
		if timeout == nil {
			timeout = time.NewTimer(l.app.opts.WriteTimeout)
			defer timeout.Stop()
		}
		if !l.waitForSpaceLocked(timeout.C) {
			l.cutLocked(slowClient())
		}
	}
	switch {
	case l.ce != nil:
		return l.ce
	case l.gone: // a write has failed, and the read loop will soon say why
		return &CloseError{Code: CloseAbnormal, Cause: CausePeer}
	}
	if mode == sendReply && l.now != nil && !l.writing && l.in.waiting == 0 && size <= nowBytes {
		l.writing = true
		l.spare = append(l.spare[:0], f)
		l.sending = size
		l.bufferLocked(size)
		return errWriteNow
	}
	l.queueLocked(f)
	l.wakeWriterLocked()
	return nil
}

func (l *Link) queueLocked(f Frame) {
	size := f.held()
	l.out = append(l.out, f)
	l.outBytes += size
	l.bufferLocked(size)
}

// sentLocked ends the charge of what the writer had in hand.
func (l *Link) sentLocked() {
	if l.sending > 0 {
		l.bufferLocked(-l.sending)
		l.sending = 0
	}
}

// bufferLocked counts bytes that begin or, negative, cease to be held.
func (l *Link) bufferLocked(n int) {
	if l.wasCut {
		return
	}
	l.buffered.Add(int64(n))
	if l.app.opts.MaxBuffered != unlimited {
		l.app.buffered.Add(int64(n))
	}
}

// writeOffLocked takes all that a link holds off the process's account, once it has
// been cut: handlers that have not returned yet, and the network, let go of the
// rest in time, and nobody else is to go for it.
func (l *Link) writeOffLocked() {
	l.bufferLocked(-int(l.buffered.Load()))
	l.wasCut = true
}

// relieve cuts the fullest links while more than MaxBuffered is held.
func (a *app) relieve() {
	for a.buffered.Load() > int64(a.opts.MaxBuffered) {
		var fullest *Link
		var most int64
		for _, l := range a.allLinks() {
			if n := l.buffered.Load(); n > most {
				fullest, most = l, n
			}
		}
		if fullest == nil {
			return
		}
		fullest.cut(slowClient())
	}
}

// waitForSpaceLocked gives up the lock until the outbox has drained somewhat or
// the link closes; false means that the time was up.
func (l *Link) waitForSpaceLocked(timeout <-chan time.Time) bool {
	if l.outSpace == nil {
		l.outSpace = make(chan struct{})
	}
	space := l.outSpace
	l.mu.Unlock()
	defer l.mu.Lock()
	select {
	case <-space:
		return true
	case <-timeout:
		return false
	}
}

func (l *Link) wakeWriterLocked() {
	if !l.writing && !l.gone {
		l.writing = true
		go l.write(nil)
	}
}

// writeNow sends the frame in spare. The caller has set writing.
func (l *Link) writeNow() {
	l.mu.Lock()
	batch := l.spare
	l.mu.Unlock()
	if len(batch) > 0 { // else the link was cut
		l.countOut(int64(batch[0].size()))
		l.handOver(batch)
	}
}

// writeQueued sends what is in the outbox. The caller has set writing.
func (l *Link) writeQueued() {
	l.mu.Lock()
	patient := l.now == nil || l.outBytes > nowBytes || l.ce != nil
	l.mu.Unlock()
	if patient {
		go l.write(nil)
		return
	}
	if batch, _ := l.nextBatch(); len(batch) > 0 {
		l.handOver(batch)
	}
}

// handOver sends a batch as far as that needs no waiting. A writer sends the
// rest, and what has come meanwhile.
func (l *Link) handOver(batch []Frame) {
	l.traceOut(batch)
	rest, err := l.now.WriteNow(batch)
	if err != nil {
		l.writeFailed(err)
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if rest == nil {
		l.sentLocked()
	}
	switch {
	case rest != nil:
		go l.write(rest)
	case len(l.out) > 0 || l.ce != nil && !l.gone:
		go l.write(nil)
	default:
		clear(batch) // an idle link keeps no bytes
		l.restLocked()
	}
}

// restLocked is the end of a writer.
func (l *Link) restLocked() {
	l.writing = false
	if cap(l.out) > keepFrames {
		l.out, l.spare = nil, nil
	}
}

func (l *Link) countOut(n int64) {
	l.bytesOut.Add(n)
	l.app.counters.bytesOut.Add(n)
}

// write sends the rest of a batch, if there is one, and then batches until the
// outbox is empty; at last it says goodbye if the link is closing.
func (l *Link) write(rest []Frame) {
	if rest != nil {
		if err := l.transport.Write(rest); err != nil {
			l.writeFailed(err)
			return
		}
	}
	for {
		batch, goodbye := l.nextBatch()
		if goodbye != nil {
			l.transport.Close(goodbye.Code, truncate(goodbye.Reason, 123))
			return
		}
		if len(batch) == 0 {
			return
		}
		l.traceOut(batch)
		if err := l.transport.Write(batch); err != nil {
			l.writeFailed(err)
			return
		}
	}
}

func (l *Link) traceOut(batch []Frame) {
	t := l.app.opts.Trace
	if t.FrameOut == nil {
		return
	}
	for _, f := range batch {
		l.app.trace(func() { t.FrameOut(l, f) })
	}
}

// writeFailed leaves it to the read loop to say how the connection ended: a close
// frame of the peer's may be waiting there. If that says nothing, checkAlive
// will.
func (l *Link) writeFailed(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if errors.Is(err, os.ErrDeadlineExceeded) {
		l.cutLocked(slowClient())
		return
	}
	l.dropOutboxLocked()
	if l.ce != nil {
		go l.transport.Abort()
		return
	}
	l.ping.Reset(time.Second)
}

func slowClient() *CloseError {
	return &CloseError{Code: ClosePolicy, Reason: "slow client", Cause: CauseSlow}
}

const (
	batchBytes = 64 << 10 // a batch of this size is long enough
	nowBytes   = 16 << 10 // more than that a sender does not write by itself
	keepFrames = 16       // room in the outbox that an idle link keeps
)

// nextBatch takes frames from the outbox. Without any the writer is done:
// goodbye is then set if it shall close the transport.
func (l *Link) nextBatch() (batch []Frame, goodbye *CloseError) {
	l.mu.Lock()
	defer l.mu.Unlock()
	clear(l.spare) // the batch before has been written
	l.sentLocked()
	if l.gone || len(l.out) == 0 {
		if l.ce != nil && !l.gone {
			l.gone = true
			return nil, l.ce
		}
		l.restLocked()
		return nil, nil
	}
	n, size, held := 0, 0, 0
	for n < len(l.out) && held < batchBytes {
		size += l.out[n].size()
		held += l.out[n].held()
		n++
	}
	batch = append(l.spare[:0], l.out[:n]...)
	rest := copy(l.out, l.out[n:])
	clear(l.out[rest:])
	l.out = l.out[:rest]
	l.spare = batch
	l.outBytes -= held
	l.sending = held // and stays charged until it is written
	l.countOut(int64(size))
	if l.outSpace != nil {
		close(l.outSpace)
		l.outSpace = nil
	}
	return batch, nil
}

func (l *Link) dropOutboxLocked() {
	l.gone = true
	l.app.counters.dropped.Add(int64(len(l.out)))
	l.lost += len(l.out)
	l.bufferLocked(-l.outBytes)
	l.sentLocked()
	l.out, l.spare, l.outBytes = nil, nil, 0
}
