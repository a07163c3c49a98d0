// Package wsrouterprom exposes what a [wsrouter.Router] does as Prometheus metrics.
//
//	metrics := wsrouterprom.New(nil)
//	router := wsrouter.New(&wsrouter.Options{Trace: metrics.Trace()})
//	go http.ListenAndServe("127.0.0.1:9464", metrics.Handler(router)) // where clients cannot reach it
//
// If the program has a registry of its own, register metrics.Collector(router)
// there. If it has a Trace of its own, combine the two: wsrouter.MultiTrace(own,
// metrics.Trace()). README.md lists the metrics, and dashboard.json shows them in
// Grafana.
//
// Clients cannot add time series. An event is labeled with the name that its
// handler is registered under, rooms are not labels, and the number of error codes
// is bounded, see [Options]. Names beyond these bounds are counted together as
// [Other].
package wsrouterprom

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/wsrouter/wsrouter"
)

// Other is the value of a label for all names that have no value of their own.
const Other = "_other"

// Bounds for names that the application, or other nodes of a cluster, choose.
const (
	maxCodes      = 32
	maxCallNames  = 200
	maxTransports = 16
	maxNameLength = 128 // bytes
)

// Options configure Metrics. The zero value is what most services want.
type Options struct {
	// Codes are further codes of a WsError that are values of the label outcome,
	// besides those of package wsrouter.
	Codes []string

	// MaxCodes is how many other codes become values of the label, the first ones
	// that handlers return: they may pass on codes that somebody else made up. Zero
	// means 32, a negative number none.
	MaxCodes int

	// CallBuckets are the upper bounds, in seconds, of the histograms of events and
	// calls; nil means half a millisecond to ten seconds. ConnectionBuckets are
	// those of connections and streams; nil means a tenth of a second to a day.
	CallBuckets       []float64
	ConnectionBuckets []float64
}

func (o *Options) withDefaults() Options {
	var c Options
	if o != nil {
		c = *o
	}
	switch {
	case c.MaxCodes == 0:
		c.MaxCodes = maxCodes
	case c.MaxCodes < 0:
		c.MaxCodes = 0
	}
	if c.CallBuckets == nil {
		c.CallBuckets = []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}
	}
	if c.ConnectionBuckets == nil {
		c.ConnectionBuckets = []float64{.1, 1, 5, 15, 60, 300, 900, 3600, 4 * 3600, 24 * 3600}
	}
	return c
}

// Metrics are the metrics of one tree of namespaces. Put Trace into its Options and
// Collector into a registry. All methods may be called concurrently.
type Metrics struct {
	connects    *prometheus.CounterVec
	connections *prometheus.HistogramVec
	handled     *prometheus.CounterVec
	handling    *prometheus.HistogramVec
	streaming   *prometheus.HistogramVec
	called      *prometheus.CounterVec
	calling     *prometheus.HistogramVec

	codes, callNames, transports *names
	doors                        cache[doorKey, prometheus.Counter]
	handlers                     cache[handlerKey, series]
	callees                      cache[calleeKey, series]
}

// New returns Metrics that have counted nothing yet. opts may be nil.
func New(opts *Options) *Metrics {
	o := opts.withDefaults()
	known := []string{
		wsrouter.OutcomeError, wsrouter.OutcomeGone, wsrouter.OutcomeInternal,
		wsrouter.CodeInvalid, wsrouter.CodeNotFound, wsrouter.CodeCanceled, wsrouter.CodeTimeout,
		wsrouter.CodeTooMany, wsrouter.CodeShutdown,
	}
	return &Metrics{
		connects: counters("wsrouter_server_connects_total",
			"Clients that were let in.", "nsp", "transport"),
		connections: histograms("wsrouter_server_connection_duration_seconds",
			"How long connections lasted, by how they ended.", o.ConnectionBuckets, "nsp", "transport", "cause"),
		handled: counters("wsrouter_rpc_server_calls_total",
			"Events, requests and streams that were handled, by how they ended.", "nsp", "event", "kind", "outcome"),
		handling: histograms("wsrouter_rpc_server_call_duration_seconds",
			"How long handlers of events and requests ran.", o.CallBuckets, "nsp", "event", "kind"),
		streaming: histograms("wsrouter_server_stream_duration_seconds",
			"How long streams ran.", o.ConnectionBuckets, "nsp", "event"),
		called: counters("wsrouter_rpc_client_calls_total",
			"Requests to the other side, by how they ended.", "nsp", "event", "outcome"),
		calling: histograms("wsrouter_rpc_client_call_duration_seconds",
			"How long requests to the other side took.", o.CallBuckets, "nsp", "event"),
		codes:      newNames(o.MaxCodes, append(known, o.Codes...)...),
		callNames:  newNames(maxCallNames),
		transports: newNames(maxTransports),
	}
}

func counters(name, help string, labels ...string) *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
}

func histograms(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
	return prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets}, labels)
}

// Trace returns the Trace to put into [wsrouter.Options], alone or in a
// [wsrouter.MultiTrace]. Its functions do not block, and each takes well under a
// microsecond.
func (m *Metrics) Trace() *wsrouter.Trace {
	return &wsrouter.Trace{Connect: m.connect, Disconnect: m.disconnect, EventEnd: m.eventEnd, CallEnd: m.callEnd}
}

type doorKey struct {
	router    *wsrouter.Router
	transport string
}

func (m *Metrics) connect(c *wsrouter.Conn) {
	key := doorKey{c.Router(), m.transports.label(c.Transport())}
	connects, ok := m.doors.get(key)
	if !ok {
		connects = m.doors.put(key, m.door(key))
	}
	connects.Inc()
}

// door makes the series of a transport. Those for how connections end exist from
// the first client on, because a rate needs two values, and all clients may be lost
// at once.
func (m *Metrics) door(key doorKey) prometheus.Counter {
	nsp := key.router.Name()
	for c := wsrouter.CausePeer; c <= wsrouter.CauseProtocol; c++ {
		m.connections.WithLabelValues(nsp, key.transport, c.String())
	}
	m.connections.WithLabelValues(nsp, key.transport, lost)
	return m.connects.WithLabelValues(nsp, key.transport)
}

func (m *Metrics) disconnect(c *wsrouter.Conn, err *wsrouter.CloseError) {
	lasted := time.Since(c.ConnectedAt()).Seconds()
	m.connections.WithLabelValues(c.Router().Name(), m.transports.label(c.Transport()), cause(err)).Observe(lasted)
}

const lost = "lost"

// cause tells a client that was lost from one that has said goodbye.
func cause(err *wsrouter.CloseError) string {
	if err.Cause == wsrouter.CausePeer && err.Code == wsrouter.CloseAbnormal {
		return lost
	}
	return err.Cause.String()
}

// series are the two series of one kind of call that ended one way.
type series struct {
	count    prometheus.Counter
	duration prometheus.Observer
}

func (s series) add(took time.Duration) {
	s.count.Inc()
	s.duration.Observe(took.Seconds())
}

type handlerKey struct {
	router               *wsrouter.Router
	event, kind, outcome string
}

func (m *Metrics) eventEnd(c *wsrouter.Context, took time.Duration, err error) {
	key := handlerKey{c.Conn().Router(), c.Route(), c.Kind(), m.outcome(c.Outcome(err))}
	s, ok := m.handlers.get(key)
	if !ok {
		s = m.handlers.put(key, m.handler(key))
	}
	s.add(took)
}

// handler makes the series of a handler. Those that show whether all is well exist
// from the first event on, because a rate needs two values.
func (m *Metrics) handler(key handlerKey) series {
	nsp, event := key.router.Name(), orOther(key.event)
	for _, outcome := range []string{ok, wsrouter.OutcomeInternal} {
		m.handled.WithLabelValues(nsp, event, key.kind, outcome)
	}
	s := series{count: m.handled.WithLabelValues(nsp, event, key.kind, key.outcome)}
	if key.kind == wsrouter.KindStream {
		s.duration = m.streaming.WithLabelValues(nsp, event)
	} else {
		s.duration = m.handling.WithLabelValues(nsp, event, key.kind)
	}
	return s
}

type calleeKey struct {
	router         *wsrouter.Router
	event, outcome string
}

func (m *Metrics) callEnd(_ context.Context, c *wsrouter.Conn, event string, took time.Duration, err error) {
	key := calleeKey{c.Router(), m.callNames.label(event), m.outcome(wsrouter.CallOutcome(err))}
	s, ok := m.callees.get(key)
	if !ok {
		s = m.callees.put(key, m.callee(key))
	}
	s.add(took)
}

func (m *Metrics) callee(key calleeKey) series {
	nsp := key.router.Name()
	for _, outcome := range []string{ok, wsrouter.OutcomeInternal} {
		m.called.WithLabelValues(nsp, key.event, outcome)
	}
	return series{m.called.WithLabelValues(nsp, key.event, key.outcome), m.calling.WithLabelValues(nsp, key.event)}
}

// ok is the outcome of what has not failed.
const ok = "ok"

func (m *Metrics) outcome(o string) string {
	if o == "" {
		return ok
	}
	return m.codes.label(o)
}
