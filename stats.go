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
	Connections int            // in this namespace and its descendants, on this process, including those that are away
	Namespaces  map[string]int // the same for each namespace, by name
	Rooms       int            // in this namespace and its descendants, without those named by an id

	// Transports counts the connections of each namespace by their Conn.Transport.
	Transports map[string]map[string]int

	// Of the whole tree, since New.
	Connects  int64             // clients that were let in
	Refused   map[Refusal]int64 // clients that were refused, including those refused by one namespace only
	EventsIn  int64
	EventsOut int64
	BytesIn   int64
	BytesOut  int64
	Dropped   int64 // frames not sent: volatile ones, and those queued or being written when a connection was cut
	Unknown   int64 // events that neither a handler nor NotFound is registered for
	TooMany   int64 // events refused with CodeTooMany, see Options.MaxOpen
	Discarded int64 // events that were read but not handled, because their connection ended
	Slow      int64 // connections closed because their client read too slowly
	Errors    int64 // handlers and OnConnects that failed with an error the client does not see; see Context.Outcome
	Panics    int64
	Resumed   int64 // clients that resumed their connection, see Options.Recovery
	Expired   int64 // connections whose client did not come back in time, or that had to make room

	// Of the whole tree, now.
	Away          int           // connections whose client is lost and may come back
	Inbox         int           // bytes held that clients sent, and bytes kept for clients that may come back, counted like Options.MaxBuffered
	Outbox        int           // bytes waiting to be sent
	Handlers      int           // running handlers, including OnConnect
	OldestHandler time.Duration // how long the oldest of these has been running
	Streams       int           // running streams
	Producers     int           // producers still running although their streams have ended

	Broker broker.Stats // zero if there is no Broker, or if it has no BrokerStats
}

type counters struct {
	connects, eventsIn, eventsOut, bytesIn, bytesOut atomic.Int64
	dropped, discarded, slow, errors, panics         atomic.Int64
	unknown, tooMany                                 atomic.Int64
	streams, producers, unpublished                  atomic.Int64
	away, resumed, expired                           atomic.Int64
	refusals                                         quota.Tally[Refusal]
}

// Stats returns current numbers and totals. It visits each connection of the tree once,
// without blocking any of them for longer than that.
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
	s.Inbox, s.Outbox = r.app.held()
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
