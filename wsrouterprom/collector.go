package wsrouterprom

import (
	"net/http"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/wsrouter/wsrouter"
)

// Collector returns a collector of what Trace has counted and of the router's
// [wsrouter.Stats], for a registry. The router is the root of the tree whose
// Options have the Trace. If a process has several trees, including those that
// dial, make Metrics for each and tell them apart by a label:
//
//	prometheus.WrapRegistererWith(prometheus.Labels{"router": "chat"}, registry)
func (m *Metrics) Collector(router *wsrouter.Router) prometheus.Collector {
	return &collector{m, router}
}

// Handler returns a handler for Prometheus to scrape, for programs without a
// registry of their own. It serves what Collector collects, and the metrics of the
// Go runtime and the process.
func (m *Metrics) Handler(router *wsrouter.Router) http.Handler {
	registry := prometheus.NewRegistry()
	registry.MustRegister(m.Collector(router), collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return promhttp.HandlerFor(registry, promhttp.HandlerOpts{})
}

type collector struct {
	metrics *Metrics
	router  *wsrouter.Router
}

func (m *Metrics) vectors() []prometheus.Collector {
	return []prometheus.Collector{m.connects, m.connections, m.handled, m.handling, m.streaming, m.called, m.calling}
}

// Describe implements [prometheus.Collector].
func (c *collector) Describe(ch chan<- *prometheus.Desc) {
	for _, v := range c.metrics.vectors() {
		v.Describe(ch)
	}
	for _, n := range numbers {
		ch <- n.desc
	}
	for _, desc := range []*prometheus.Desc{active, refusals, unhandled} {
		ch <- desc
	}
}

// Collect implements [prometheus.Collector].
func (c *collector) Collect(ch chan<- prometheus.Metric) {
	for _, v := range c.metrics.vectors() {
		v.Collect(ch)
	}
	stats := c.router.Stats()
	for _, n := range numbers {
		ch <- prometheus.MustNewConstMetric(n.desc, n.kind, n.of(&stats))
	}
	c.active(ch, &stats)
	for reason, n := range refused(&stats) {
		ch <- prometheus.MustNewConstMetric(refusals, prometheus.CounterValue, float64(n), reason)
	}
	for reason, n := range map[string]int64{"unknown": stats.Unknown, "too_many": stats.TooMany, "discarded": stats.Discarded} {
		ch <- prometheus.MustNewConstMetric(unhandled, prometheus.CounterValue, float64(n), reason)
	}
}

// active sends the gauge of connections. It is zero for a namespace and transport
// whose connections have all ended; Trace.Connect has seen them.
func (c *collector) active(ch chan<- prometheus.Metric, stats *wsrouter.Stats) {
	for nsp, transports := range stats.Transports {
		now := make(map[string]int)
		for name := range c.metrics.transports.known.all() {
			now[name] = 0
		}
		for name, n := range transports {
			now[c.metrics.transports.label(name)] += n
		}
		for transport, n := range now {
			ch <- prometheus.MustNewConstMetric(active, prometheus.GaugeValue, float64(n), nsp, transport)
		}
	}
}

// reasons are exposed from the start, because a rate needs two values.
var reasons = []wsrouter.Refusal{
	wsrouter.RefusedOrigin, wsrouter.RefusedMaxConns, wsrouter.RefusedClient, wsrouter.RefusedShutdown,
	wsrouter.RefusedInit, wsrouter.RefusedUpgrade, wsrouter.RefusedGuard, wsrouter.RefusedTimeout,
	wsrouter.RefusedOverflow, wsrouter.RefusedProtocol, wsrouter.RefusedRequest,
}

func refused(stats *wsrouter.Stats) map[string]int64 {
	counts := make(map[string]int64)
	for _, reason := range reasons {
		counts[string(reason)] = 0
	}
	for reason, n := range stats.Refused {
		counts[strings.ToValidUTF8(string(reason), "_")] += n
	}
	return counts
}

var (
	active = prometheus.NewDesc("wsrouter_server_active_connections",
		"Connections, including those whose client is away.", []string{"nsp", "transport"}, nil)
	refusals = prometheus.NewDesc("wsrouter_server_refusals_total",
		"Clients that were refused, by the server or by one namespace.", []string{"reason"}, nil)
	unhandled = prometheus.NewDesc("wsrouter_server_unhandled_events_total",
		"Events for which no handler was called.", []string{"reason"}, nil)
)

// number is a metric that is one number of Stats.
type number struct {
	desc *prometheus.Desc
	kind prometheus.ValueType
	of   func(*wsrouter.Stats) float64
}

func gauge[N int | int64](name, help string, of func(*wsrouter.Stats) N) number {
	return number{prometheus.NewDesc(name, help, nil, nil), prometheus.GaugeValue, func(s *wsrouter.Stats) float64 { return float64(of(s)) }}
}

func seconds(name, help string, of func(*wsrouter.Stats) float64) number {
	return number{prometheus.NewDesc(name, help, nil, nil), prometheus.GaugeValue, of}
}

func total(name, help string, of func(*wsrouter.Stats) int64) number {
	return number{prometheus.NewDesc(name, help, nil, nil), prometheus.CounterValue, func(s *wsrouter.Stats) float64 { return float64(of(s)) }}
}

var numbers = []number{
	gauge("wsrouter_server_away_connections", "Connections whose client is lost and may come back.",
		func(s *wsrouter.Stats) int { return s.Away }),
	total("wsrouter_server_resumed_connections_total", "Clients that came back to their connection.",
		func(s *wsrouter.Stats) int64 { return s.Resumed }),
	total("wsrouter_server_expired_connections_total", "Connections that ended while their client was away.",
		func(s *wsrouter.Stats) int64 { return s.Expired }),
	gauge("wsrouter_server_rooms", "Rooms that have members.",
		func(s *wsrouter.Stats) int { return s.Rooms }),
	total("wsrouter_server_slow_clients_total", "Connections that were closed because their client read too slowly.",
		func(s *wsrouter.Stats) int64 { return s.Slow }),

	total("wsrouter_server_received_events_total", "Events and requests that were read.",
		func(s *wsrouter.Stats) int64 { return s.EventsIn }),
	total("wsrouter_server_sent_events_total", "Events, answers and items of streams that were sent.",
		func(s *wsrouter.Stats) int64 { return s.EventsOut }),
	total("wsrouter_server_received_bytes_total", "Bytes of messages that were read.",
		func(s *wsrouter.Stats) int64 { return s.BytesIn }),
	total("wsrouter_server_sent_bytes_total", "Bytes of messages that were sent.",
		func(s *wsrouter.Stats) int64 { return s.BytesOut }),
	total("wsrouter_server_dropped_frames_total", "Frames that were dropped: volatile ones, and those in the queue of a connection that was cut.",
		func(s *wsrouter.Stats) int64 { return s.Dropped }),
	gauge("wsrouter_server_inbox_bytes", "Bytes held that clients sent, and bytes kept for clients that may come back.",
		func(s *wsrouter.Stats) int { return s.Inbox }),
	gauge("wsrouter_server_outbox_bytes", "Bytes that wait to be sent.",
		func(s *wsrouter.Stats) int { return s.Outbox }),

	gauge("wsrouter_server_running_handlers", "Handlers that are running, including OnConnect.",
		func(s *wsrouter.Stats) int { return s.Handlers }),
	seconds("wsrouter_server_oldest_handler_seconds", "How long the oldest handler has been running.",
		func(s *wsrouter.Stats) float64 { return s.OldestHandler.Seconds() }),
	gauge("wsrouter_server_running_streams", "Streams that are running.",
		func(s *wsrouter.Stats) int { return s.Streams }),
	gauge("wsrouter_server_lingering_producers", "Producers that are still running although their stream has ended.",
		func(s *wsrouter.Stats) int { return s.Producers }),
	total("wsrouter_server_errors_total", "Failures of handlers and OnConnect whose cause the client is not told.",
		func(s *wsrouter.Stats) int64 { return s.Errors }),
	total("wsrouter_server_panics_total", "Panics of handlers and hooks.",
		func(s *wsrouter.Stats) int64 { return s.Panics }),

	seconds("wsrouter_broker_away_seconds", "How long the broker has not reached the other servers; 0 if it reaches them.",
		func(s *wsrouter.Stats) float64 { return s.Broker.Away.Seconds() }),
	gauge("wsrouter_broker_queued_bytes", "Bytes that wait to be published.",
		func(s *wsrouter.Stats) int { return s.Broker.Queued }),
	total("wsrouter_broker_published_total", "Operations that were published.",
		func(s *wsrouter.Stats) int64 { return s.Broker.Published }),
	total("wsrouter_broker_received_total", "Operations and questions of other servers.",
		func(s *wsrouter.Stats) int64 { return s.Broker.Received }),
	total("wsrouter_broker_dropped_total", "Operations that were not published.",
		func(s *wsrouter.Stats) int64 { return s.Broker.Dropped }),
	total("wsrouter_broker_malformed_total", "Messages that could not be decoded.",
		func(s *wsrouter.Stats) int64 { return s.Broker.Malformed }),
}
