package wsrouter

import "sync/atomic"

// Stats is a snapshot of a tree of namespaces, see [Router.Stats].
type Stats struct {
	Connections int // in this namespace, on this process
	Rooms       int // in this namespace, without the connections' own

	// Of the whole tree, since New.
	Connects  int64 // clients that OnConnect let in
	Refused   int64 // clients that OnConnect refused
	EventsIn  int64
	EventsOut int64
	Dropped   int64 // frames that a slow, cut or volatile receiver did not get
	Discarded int64 // events that were read and not handled, as their connection ended
	Slow      int64 // connections closed because their client did not read
	Errors    int64 // handlers that failed with an error the client does not see
	Panics    int64

	// Of the whole tree, now.
	Streams   int // running
	Producers int // that go on although their stream has ended
}

type counters struct {
	connects, refused, eventsIn, eventsOut   atomic.Int64
	dropped, discarded, slow, errors, panics atomic.Int64
	streams, producers                       atomic.Int64
}

// Stats returns the counters. It is cheap.
func (r *Router) Stats() Stats {
	c := &r.app.counters
	s := Stats{
		Connects: c.connects.Load(), Refused: c.refused.Load(),
		EventsIn: c.eventsIn.Load(), EventsOut: c.eventsOut.Load(),
		Dropped: c.dropped.Load(), Discarded: c.discarded.Load(), Slow: c.slow.Load(),
		Errors: c.errors.Load(), Panics: c.panics.Load(),
		Streams: int(c.streams.Load()), Producers: int(c.producers.Load()),
	}
	s.Connections, s.Rooms = r.hub.size()
	return s
}
