package adapter

import "github.com/wsrouter/wsrouter/internal/lazy"

// Transport carries one client's frames. The Link calls Write from one goroutine at
// a time, and the other methods at any time from any goroutine. A Transport,
// together with the adapter that reads for it, promises:
//
//  1. No method blocks: not for the peer, and not for a lock that is held by
//     somebody who waits.
//  2. Batches arrive in the order of the Writes, and frames in the order of their
//     batch.
//  3. The parts of a frame, if the adapter's Format makes any, are sent back to
//     back; nothing of the adapter's own goes in between.
//  4. What the network does not take at once is pending. The Transport keeps
//     sending it, and Link.Writable is called once, perhaps before Write has
//     returned, but not by Write itself.
//  5. A batch that takes longer than Limits.WriteTimeout fails with an error that
//     is or wraps os.ErrDeadlineExceeded.
//  6. Messages are passed to Receive whole, in order, by one goroutine at a time.
//     None is passed between a Pause and its Resume, and none is lost, even if
//     Resume is called before Receive has returned.
//  7. Link.Alive or Link.Arrived is called whenever bytes arrive.
//  8. After Close the peer gets what has been written, then the end. The transport
//     ends within seconds, whatever the peer does.
//  9. After Abort what is pending fails, and the transport ends.
//  10. However the transport ends, Link.End is called exactly once, after
//     everything that was received. Its End says who ended it: CausePeer with the
//     code the peer gave, or with 1006 if the network failed; CauseProtocol for a
//     mistake of the peer, and CauseTimeout for 13, in which cases Link.Close may
//     have been called before.
//  11. A message larger than Limits.MaxMessage is not received: it ends the
//     transport with 1009. A message whose end has not arrived is not received
//     either.
//  12. When the channel returned by Link.End is closed, no goroutine is left.
//  13. A message whose end has not arrived Limits.MessageTimeout after its beginning
//     ends the transport with 1008. Silence between messages does not.
type Transport interface {
	// Write sends the frames in order, as far as the network takes them at once. If
	// something remains, Write returns pending, the transport keeps sending, and it
	// calls Link.Writable when the rest has been handed over or has failed. Until
	// then the batch belongs to the transport and Write is not called again. Write
	// is not called after an error either.
	Write(batch []Frame) (pending bool, err error)

	// Ping asks the peer for a sign of life. When that arrives, the adapter calls
	// Link.Alive.
	Ping()

	// Resume lets the reader continue after Pause. It is called once for each
	// Pause, at the latest when the Link begins to close.
	Resume()

	// Close tells the peer the code and reason, then ends the transport. It is
	// called while nothing is pending, and not after an error of Write.
	Close(End)

	// Abort cuts the connection. It may be called after Close, and repeatedly.
	Abort()
}

// Named is implemented by a [Transport] or [BlockingTransport] that has a name:
// "websocket", "polling", "memory", or one of the adapter's own. Name may be called
// at any time, from any goroutine; the name may change while the link lives.
type Named interface{ Name() string }

// BlockingTransport is what [NewBlocking] turns into a Transport. Its methods may
// block; otherwise it promises what a Transport does. Write, Ping and Close are
// called one at a time. Abort may be called at any time and makes the others
// return.
type BlockingTransport interface {
	// Write sends the frames in order and returns when they have been handed to the
	// network. After Limits.WriteTimeout it returns an error that is or wraps
	// os.ErrDeadlineExceeded.
	Write(batch []Frame) error

	// Ping asks the peer for a sign of life, and gives up after WriteTimeout.
	Ping()

	// Close tells the peer the code and reason, then ends the connection in a way
	// that also ends reading within seconds. Its own writing is part of these: do not
	// wait WriteTimeout for it. It may be called after Abort.
	Close(End)

	// Abort cuts the connection.
	Abort()
}

// Blocking is a [Transport] made from a [BlockingTransport], see [NewBlocking].
type Blocking struct {
	Gate
	transport BlockingTransport
	link      Link
	turn      chan struct{} // held by Write, Ping or Close
}

// NewBlocking returns a Transport for t. Call Attach with its Link before reading
// anything, and let the read loop call Wait after each Pause.
func NewBlocking(t BlockingTransport) *Blocking {
	return &Blocking{transport: t, turn: make(chan struct{}, 1)}
}

// Attach sets the link to report to.
func (b *Blocking) Attach(l Link) { b.link = l }

// Write implements [Transport]. A goroutine does the writing.
func (b *Blocking) Write(batch []Frame) (pending bool, err error) {
	go func() {
		b.turn <- struct{}{}
		err := b.transport.Write(batch)
		<-b.turn
		b.link.Writable(err)
	}()
	return true, nil
}

// Name implements [Named] with the name of the BlockingTransport, or "" if it has
// none.
func (b *Blocking) Name() string {
	if n, ok := b.transport.(Named); ok {
		return n.Name()
	}
	return ""
}

// Ping implements [Transport].
func (b *Blocking) Ping() { go b.inTurn(b.transport.Ping) }

// Close implements [Transport].
func (b *Blocking) Close(e End) { go b.inTurn(func() { b.transport.Close(e) }) }

// Abort implements [Transport].
func (b *Blocking) Abort() { go b.transport.Abort() }

func (b *Blocking) inTurn(do func()) {
	b.turn <- struct{}{}
	defer func() { <-b.turn }()
	do()
}

// Gate stops a read loop between Pause and Resume. A Transport with a read loop
// embeds it. The zero value is ready for use.
type Gate struct{ open lazy.Gate }

// Resume implements [Transport].
func (g *Gate) Resume() { g.open.Open() }

// Wait waits for the Resume that follows a Pause.
func (g *Gate) Wait() { g.open.Wait() }
