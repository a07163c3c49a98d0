package adapter

// Transport carries one client's frames. The Link calls Write from one goroutine
// at a time, and the other methods at any time, from any goroutine. None of them
// may wait: not for the peer, not for a lock that is held while one waits.
type Transport interface {
	// Write sends the frames in order, each one's parts with nothing in between,
	// as far as the network takes them at once. If that is not all it returns
	// pending, goes on by itself, and calls Link.Writable when the rest has been
	// handed over, or when that took longer than Limits.WriteTimeout. Until then
	// the batch is the transport's and Write is not called again. Nor is it after
	// an error.
	Write(batch []Frame) (pending bool, err error)

	// Ping asks the peer for a sign of life, for which the adapter calls
	// Link.Alive.
	Ping()

	// Resume lets the reader go on after Pause. It is called once for each.
	Resume()

	// Close tells the peer code and reason after what has been written, and then
	// ends the transport, whatever the peer does, in some seconds. It is called
	// while nothing is pending.
	Close(End)

	// Abort cuts the connection: what is pending fails, and reading ends.
	Abort()
}

// Named is implemented by a [Transport], or a [BlockingTransport], that has a name:
// "websocket", "polling", "memory", or one of the adapter's own. The name may change
// while the link lives, and may be asked for at any time.
type Named interface{ Name() string }

// BlockingTransport is what [NewBlocking] makes a Transport of. Its methods may
// wait.
type BlockingTransport interface {
	// Write sends the frames in order and returns when they are handed to the
	// network, after Limits.WriteTimeout with an error that is or wraps
	// os.ErrDeadlineExceeded.
	Write(batch []Frame) error

	Ping()     // see Transport; called on a goroutine of its own
	Close(End) // likewise
	Abort()    // likewise
}

// Blocking is a [Transport] made of one that waits.
type Blocking struct {
	Gate
	transport BlockingTransport
	link      Link
}

// NewBlocking returns a Transport for t. Attach it to its Link before anything is
// read, and let the read loop call Wait after each Pause.
func NewBlocking(t BlockingTransport) *Blocking {
	return &Blocking{Gate: NewGate(), transport: t}
}

// Attach tells it the link, to which it reports.
func (b *Blocking) Attach(l Link) { b.link = l }

// Write implements [Transport]: a goroutine writes.
func (b *Blocking) Write(batch []Frame) (pending bool, err error) {
	go func() { b.link.Writable(b.transport.Write(batch)) }()
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
func (b *Blocking) Ping() { go b.transport.Ping() }

// Close implements [Transport].
func (b *Blocking) Close(e End) { go b.transport.Close(e) }

// Abort implements [Transport].
func (b *Blocking) Abort() { go b.transport.Abort() }

// Gate holds up a read loop between Pause and Resume. It is embedded in a
// Transport that has such a loop.
type Gate struct{ open chan struct{} }

// NewGate returns a gate.
func NewGate() Gate { return Gate{make(chan struct{}, 1)} }

// Resume implements [Transport].
func (g Gate) Resume() { g.open <- struct{}{} }

// Wait waits for the Resume that follows a Pause.
func (g Gate) Wait() { <-g.open }
