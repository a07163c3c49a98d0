package wsrouterotel

import (
	"context"
	"fmt"

	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/metric/noop"

	"github.com/wsrouter/wsrouter"
)

// Observe registers metrics that show the router's [wsrouter.Stats] whenever
// metrics are collected. The router must be the root of a tree. Unregister the
// Registration when the router has shut down. Without a MeterProvider Observe does
// nothing.
func (t *Telemetry) Observe(router *wsrouter.Router) (metric.Registration, error) {
	if t.metrics == nil {
		return noop.Registration{}, nil
	}
	o := &observer{meter: t.metrics.meter}
	o.numbers()
	o.connections()
	o.unhandled()
	o.lost(t)
	if o.err != nil {
		return nil, fmt.Errorf("wsrouterotel: %w", o.err)
	}
	registered, err := o.meter.RegisterCallback(func(_ context.Context, to metric.Observer) error {
		stats := router.Stats()
		for _, observe := range o.each {
			observe(&stats, to)
		}
		return nil
	}, o.all...)
	if err != nil {
		return nil, fmt.Errorf("wsrouterotel: %w", err)
	}
	return registration{registered, func() { t.teller.CompareAndSwap(o, nil) }}, nil
}

// registration is an observer's, which lets go of what it alone tells.
type registration struct {
	metric.Registration
	letGo func()
}

func (r registration) Unregister() error {
	defer r.letGo()
	return r.Registration.Unregister()
}

// observer reads Stats.
type observer struct {
	meter metric.Meter
	err   error // the first one
	all   []metric.Observable
	each  []func(*wsrouter.Stats, metric.Observer)
}

// say observes one value of a metric.
type say func(int64, ...metric.ObserveOption)

func (o *observer) add(one metric.Observable, err error, observe func(*wsrouter.Stats, metric.Observer)) {
	if o.err == nil {
		o.err = err
	}
	o.all, o.each = append(o.all, one), append(o.each, observe)
}

func (o *observer) counter(name, unit, description string, observe func(*wsrouter.Stats, say)) {
	c, err := o.meter.Int64ObservableCounter(name, metric.WithUnit(unit), metric.WithDescription(description))
	o.add(c, err, func(s *wsrouter.Stats, to metric.Observer) {
		observe(s, func(n int64, opts ...metric.ObserveOption) { to.ObserveInt64(c, n, opts...) })
	})
}

func (o *observer) upDown(name, unit, description string, observe func(*wsrouter.Stats, say)) {
	g, err := o.meter.Int64ObservableUpDownCounter(name, metric.WithUnit(unit), metric.WithDescription(description))
	o.add(g, err, func(s *wsrouter.Stats, to metric.Observer) {
		observe(s, func(n int64, opts ...metric.ObserveOption) { to.ObserveInt64(g, n, opts...) })
	})
}

func (o *observer) connections() {
	o.upDown("wsrouter.server.active_connections", "{connection}", "Connections, including those whose client is away.",
		func(s *wsrouter.Stats, say say) {
			for namespace, transports := range s.Transports {
				for transport, n := range transports {
					say(int64(n), metric.WithAttributes(namespaceKey.String(namespace), transportKey.String(transport)))
				}
			}
		})
	o.counter("wsrouter.server.refusals", "{client}", "Clients that were refused, by the server or by one namespace.",
		func(s *wsrouter.Stats, say say) {
			for reason, n := range s.Refused {
				say(n, metric.WithAttributes(reasonKey.String(string(reason))))
			}
		})
}

func (o *observer) unhandled() {
	o.counter("wsrouter.server.events.unhandled", "{event}", "Events for which no handler was called.",
		func(s *wsrouter.Stats, say say) {
			for reason, n := range map[string]int64{"unknown": s.Unknown, "too_many": s.TooMany, "discarded": s.Discarded} {
				say(n, metric.WithAttributes(reasonKey.String(reason)))
			}
		})
}

// lost is reported by one observer of a Telemetry, because backends add up what several
// report.
func (o *observer) lost(t *Telemetry) {
	o.counter("wsrouter.telemetry.spans.lost", "{span}", "Spans that were not made or not ended because a tracer panicked, blocked, or was too slow.",
		func(_ *wsrouter.Stats, say say) {
			if t.teller.CompareAndSwap(nil, o) || t.teller.Load() == o {
				say(t.lost.Load())
			}
		})
}

func (o *observer) numbers() {
	for _, c := range counts {
		o.counter(c.name, c.unit, c.description, func(s *wsrouter.Stats, say say) { say(c.of(s)) })
	}
	for _, a := range amounts {
		o.upDown(a.name, a.unit, a.description, func(s *wsrouter.Stats, say say) { say(int64(a.of(s))) })
	}
	for _, d := range times {
		g, err := o.meter.Float64ObservableGauge(d.name, metric.WithUnit(d.unit), metric.WithDescription(d.description))
		o.add(g, err, func(s *wsrouter.Stats, to metric.Observer) { to.ObserveFloat64(g, d.of(s)) })
	}
}

// stat is a metric that is one number of Stats.
type stat[N any] struct {
	name, unit, description string
	of                      func(*wsrouter.Stats) N
}

// counts only grow.
var counts = []stat[int64]{
	{"wsrouter.server.connections.resumed", "{connection}", "Clients that came back to their connection.",
		func(s *wsrouter.Stats) int64 { return s.Resumed }},
	{"wsrouter.server.connections.expired", "{connection}", "Connections that ended while their client was away.",
		func(s *wsrouter.Stats) int64 { return s.Expired }},
	{"wsrouter.server.slow_clients", "{connection}", "Connections that were closed because their client read too slowly.",
		func(s *wsrouter.Stats) int64 { return s.Slow }},
	{"wsrouter.server.events.received", "{event}", "Events and requests that were read.",
		func(s *wsrouter.Stats) int64 { return s.EventsIn }},
	{"wsrouter.server.events.sent", "{event}", "Events, answers and items of streams that were sent.",
		func(s *wsrouter.Stats) int64 { return s.EventsOut }},
	{"wsrouter.server.bytes.received", "By", "Bytes of messages that were read.",
		func(s *wsrouter.Stats) int64 { return s.BytesIn }},
	{"wsrouter.server.bytes.sent", "By", "Bytes of messages that were sent.",
		func(s *wsrouter.Stats) int64 { return s.BytesOut }},
	{"wsrouter.server.frames.dropped", "{frame}", "Frames that were dropped: volatile ones, and those in the queue of a connection that was cut.",
		func(s *wsrouter.Stats) int64 { return s.Dropped }},
	{"wsrouter.server.errors", "{error}", "Failures of handlers and OnConnect whose cause the client is not told.",
		func(s *wsrouter.Stats) int64 { return s.Errors }},
	{"wsrouter.server.panics", "{panic}", "Panics of handlers and hooks.",
		func(s *wsrouter.Stats) int64 { return s.Panics }},
	{"wsrouter.broker.operations.published", "{operation}", "Operations that were published.",
		func(s *wsrouter.Stats) int64 { return s.Broker.Published }},
	{"wsrouter.broker.operations.received", "{operation}", "Operations and questions of other servers.",
		func(s *wsrouter.Stats) int64 { return s.Broker.Received }},
	{"wsrouter.broker.operations.dropped", "{operation}", "Operations that were not published.",
		func(s *wsrouter.Stats) int64 { return s.Broker.Dropped }},
	{"wsrouter.broker.operations.malformed", "{operation}", "Messages that could not be decoded.",
		func(s *wsrouter.Stats) int64 { return s.Broker.Malformed }},
}

// amounts go up and down.
var amounts = []stat[int]{
	{"wsrouter.server.away_connections", "{connection}", "Connections whose client is lost and may come back.",
		func(s *wsrouter.Stats) int { return s.Away }},
	{"wsrouter.server.rooms", "{room}", "Rooms that have members.",
		func(s *wsrouter.Stats) int { return s.Rooms }},
	{"wsrouter.server.inbox", "By", "Bytes held that clients sent, and bytes kept for clients that may come back.",
		func(s *wsrouter.Stats) int { return s.Inbox }},
	{"wsrouter.server.outbox", "By", "Bytes that wait to be sent.",
		func(s *wsrouter.Stats) int { return s.Outbox }},
	{"wsrouter.server.running_handlers", "{handler}", "Handlers that are running, including OnConnect.",
		func(s *wsrouter.Stats) int { return s.Handlers }},
	{"wsrouter.server.running_streams", "{stream}", "Streams that are running.",
		func(s *wsrouter.Stats) int { return s.Streams }},
	{"wsrouter.server.lingering_producers", "{producer}", "Producers that are still running although their stream has ended.",
		func(s *wsrouter.Stats) int { return s.Producers }},
	{"wsrouter.broker.queue", "By", "Bytes that wait to be published.",
		func(s *wsrouter.Stats) int { return s.Broker.Queued }},
}

// times are in seconds.
var times = []stat[float64]{
	{"wsrouter.server.oldest_handler", "s", "How long the oldest handler has been running.",
		func(s *wsrouter.Stats) float64 { return s.OldestHandler.Seconds() }},
	{"wsrouter.broker.away", "s", "How long the broker has not reached the other servers; 0 if it reaches them.",
		func(s *wsrouter.Stats) float64 { return s.Broker.Away.Seconds() }},
}
