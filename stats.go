package wsrouter

import (
	"slices"
	"sync/atomic"
	"time"

	"github.com/wsrouter/wsrouter/broker"
	"github.com/wsrouter/wsrouter/internal/quota"
)

// Stats is a snapshot of a tree of namespaces, see [Router.Stats].
type Stats struct {
	Connections int            // in this namespace and below, on this process; those that are away, too
	Namespaces  map[string]int // the same, for each namespace
	Rooms       int            // in this namespace and below, without the connections' own

	// Transports are the connections of each namespace by what Conn.Transport says.
	Transports map[string]map[string]int

	// Of the whole tree, since New.
	Connects  int64             // clients that were let in
	Refused   map[Refusal]int64 // clients that were not, and those kept out of one namespace
	EventsIn  int64
	EventsOut int64
	BytesIn   int64
	BytesOut  int64
	Dropped   int64 // frames not sent: volatile ones, and of cut connections the outbox and what was being written
	Unknown   int64 // events that no handler is registered for, nor NotFound
	TooMany   int64 // events that were refused with CodeTooMany, see Options.MaxOpen
	Discarded int64 // events that were read and not handled, as their connection ended
	Slow      int64 // connections closed because their client did not read
	Errors    int64 // handlers, and OnConnect, that failed with an error the client does not see; see Context.Outcome
	Panics    int64
	Resumed   int64 // clients that came back to their connection, see Options.Recovery
	Expired   int64 // those that did not in time, or had to give way

	// Of the whole tree, now.
	Away          int           // connections whose client is lost and may come back
	Inbox         int           // bytes held of what clients sent, and for those who may come back, as Options.MaxBuffered counts them
	Outbox        int           // bytes that wait to be sent
	Handlers      int           // running, OnConnect among them
	OldestHandler time.Duration // how long the oldest of them has been running
	Streams       int           // running
	Producers     int           // that go on although their stream has ended

	Broker broker.Stats // zero where there is none, or it does not say
}

type counters struct {
	connects, eventsIn, eventsOut, bytesIn, bytesOut atomic.Int64
	dropped, discarded, slow, errors, panics         atomic.Int64
	unknown, tooMany                                 atomic.Int64
	streams, producers, unpublished                  atomic.Int64
	away, resumed, expired                           atomic.Int64
	refusals                                         quota.Tally[Refusal]
}

// Stats returns what there is and what has been. It looks at each connection of
// the tree once, and holds up none of them for longer.
func (r *Router) Stats() Stats {
	c := &r.app.counters
	s := Stats{
		Namespaces: make(map[string]int), Transports: make(map[string]map[string]int),
		Connects: c.connects.Load(), Refused: c.refusals.Load(),
		EventsIn: c.eventsIn.Load(), EventsOut: c.eventsOut.Load(),
		BytesIn: c.bytesIn.Load(), BytesOut: c.bytesOut.Load(),
		Dropped: c.dropped.Load(), Discarded: c.discarded.Load(), Slow: c.slow.Load(),
		Unknown: c.unknown.Load(), TooMany: c.tooMany.Load(), Errors: c.errors.Load(), Panics: c.panics.Load(),
		Resumed: c.resumed.Load(), Expired: c.expired.Load(), Away: int(c.away.Load()),
		Streams: int(c.streams.Load()), Producers: int(c.producers.Load()),
	}
	if b, ok := r.app.opts.Broker.(broker.Reporter); ok {
		s.Broker = b.BrokerStats()
	}
	for _, ns := range r.subtree() {
		conns := slices.Collect(ns.Conns())
		transports := make(map[string]int)
		for _, c := range conns {
			transports[c.Transport()]++
		}
		s.Namespaces[ns.name], s.Transports[ns.name] = len(conns), transports
		s.Connections += len(conns)
		_, rooms := ns.rooms.Size()
		s.Rooms += rooms
	}
	for _, l := range append(r.app.sessions.Links(), r.app.sessions.Parked()...) {
		if l.next.Load() != nil { // counted with that by which its client has come back
			continue
		}
		all, out := l.bytes.Held()
		s.Inbox += max(all-out, 0) // they were not read at one moment
		s.Outbox += max(out-l.out.State().InHand, 0)
	}
	now := time.Now()
	for _, c := range r.app.sessions.Conns() {
		n, oldest := c.lane.Running()
		s.Handlers += n
		if n > 0 {
			s.OldestHandler = max(s.OldestHandler, now.Sub(oldest))
		}
	}
	s.Broker.Dropped += c.unpublished.Load()
	return s
}
