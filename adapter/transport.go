package adapter

import "github.com/wsrouter/wsrouter/internal/lazy"

// Transport carries one client's frames. The Link calls Write from one goroutine
// at a time, and the other methods at any time, from any goroutine. What a
// Transport, and the adapter that reads for it, promise:
//
//  1. No method waits: not for the peer, not for a lock that is held while one
//     waits.
//  2. Batches arrive in the order of Write, and frames in the order of their batch.
//  3. The parts of a frame, as far as the adapter's Format makes any, follow each
//     other; nothing of the adapter's own comes in between.
//  4. What the network does not take at once is pending. It goes on by itself, and
//     Link.Writable is called once, which may be before Write has returned, but not
//     by Write itself.
//  5. A batch that takes longer than Limits.WriteTimeout fails with an error that
//     is or wraps os.ErrDeadlineExceeded.
//  6. Messages are given to Receive whole, in order, by one goroutine at a time.
//     After Pause none is, before Resume; nothing is lost by that, also when Resume
//     is called before Receive has returned.
//  7. Link.Alive, or Arrived, is called whenever bytes arrive.
//  8. After Close the peer gets what has been written, then the end. The transport
//     ends in some seconds, whatever the peer does.
//  9. After Abort what is pending fails, and the transport ends.
//  10. However it ends, Link.End is called, once, after all that was received. Its
//     End says by whom: CausePeer with the code that the peer gave, or with 1006
//     where the network ended; CauseProtocol for a mistake of the peer's, and
//     CauseTimeout for 13, for which Link.Close may have been called before.
//  11. A message larger than Limits.MaxMessage is not received: it ends the
//     transport with 1009. Nor is one whose end has not come.
//  12. When the channel of Link.End is closed no goroutine stays.
//  13. A message whose end has not come Limits.MessageTimeout after its beginning
//     ends the transport with 1008. Silence between messages does not.
type Transport interface {
	// Write sends the frames in order as far as the network takes them at once. If
	// that is not all it returns pending, goes on by itself, and calls
	// Link.Writable when the rest has been handed over, or when that failed. Until
	// then the batch is the transport's and Write is not called again. Nor is it
	// after an error.
	Write(batch []Frame) (pending bool, err error)

	// Ping asks the peer for a sign of life, for which the adapter calls
	// Link.Alive.
	Ping()

	// Resume lets the reader go on after Pause. It is called once for each, at the
	// latest when the Link begins to close.
	Resume()

	// Close tells the peer code and reason, and then ends the transport. It is
	// called while nothing is pending, and not after an error of Write.
	Close(End)

	// Abort cuts the connection. It may be called after Close, and again.
	Abort()
}

// Named is implemented by a [Transport], or a [BlockingTransport], that has a name:
// "websocket", "polling", "memory", or one of the adapter's own. The name may change
// while the link lives, and may be asked for at any time.
type Named interface{ Name() string }

// BlockingTransport is what [NewBlocking] makes a Transport of. Its methods may
// wait, and promise the rest of what a Transport does. Write, Ping and Close are
// called one at a time, Abort at any time: it makes the others return.
type BlockingTransport interface {
	// Write sends the frames in order and returns when they are handed to the
	// network, after Limits.WriteTimeout with an error that is or wraps
	// os.ErrDeadlineExceeded.
	Write(batch []Frame) error

	// Ping asks the peer for a sign of life, and gives up after WriteTimeout.
	Ping()

	// Close tells the peer code and reason, and then ends the connection so that
	// reading ends, too, in some seconds. Its own writing is part of these: do not wait
	// WriteTimeout for it. It may come after Abort.
	Close(End)

	// Abort cuts the connection.
	Abort()
}

// Blocking is a [Transport] made of one that waits.
type Blocking struct {
	Gate
	transport BlockingTransport
	link      Link
	turn      chan struct{} // held by Write, Ping or Close
}

// NewBlocking returns a Transport for t. Attach it to its Link before anything is
// read, and let the read loop call Wait after each Pause.
func NewBlocking(t BlockingTransport) *Blocking {
	return &Blocking{transport: t, turn: make(chan struct{}, 1)}
}

// Attach tells it the link, to which it reports.
func (b *Blocking) Attach(l Link) { b.link = l }

// Write implements [Transport]: a goroutine writes.
func (b *Blocking) Write(batch []Frame) (pending bool, err error) {
	go func() {
		b.turn <- struct{}{}
		err := b.transport.Write(batch)
		<-b.turn
		b.link.Writable(err)
	}()
	return true, nil
}

// Name implements [Named]: it is the other's name, empty if that has none.
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

// Gate holds up a read loop between Pause and Resume. It is embedded in a Transport that
// has such a loop. The zero value is ready for use.
type Gate struct{ open lazy.Gate }

// Resume implements [Transport].
func (g *Gate) Resume() { g.open.Open() }

// Wait waits for the Resume that follows a Pause.
func (g *Gate) Wait() { g.open.Wait() }
