package wsrouterotel

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/wsrouter/wsrouter"
)

// metrics are those that Trace reports; observe.go has those of Stats.
type metrics struct {
	meter metric.Meter

	connects    metric.Int64Counter
	connections metric.Float64Histogram
	handling    metric.Float64Histogram
	streaming   metric.Float64Histogram
	calling     metric.Float64Histogram

	outcomes outcomes
	sets     cache[setKey, metric.MeasurementOption]
}

var (
	callBuckets = metric.WithExplicitBucketBoundaries(.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10)
	connBuckets = metric.WithExplicitBucketBoundaries(.1, 1, 5, 15, 60, 300, 900, 3600, 4*3600, 24*3600)
)

func newMetrics(meter metric.Meter, codes []string) (*metrics, error) {
	m := &metrics{meter: meter}
	for _, code := range append(codes, wsrouter.OutcomeError, wsrouter.OutcomeGone, wsrouter.OutcomeInternal,
		wsrouter.CodeInvalid, wsrouter.CodeNotFound, wsrouter.CodeCanceled, wsrouter.CodeTimeout,
		wsrouter.CodeTooMany, wsrouter.CodeShutdown) {
		m.outcomes.put(code, struct{}{})
	}
	m.outcomes.most = len(m.outcomes.all()) + maxCodes
	var err error
	if m.connects, err = meter.Int64Counter("wsrouter.server.connects", metric.WithUnit("{connection}"),
		metric.WithDescription("Clients that were let in.")); err != nil {
		return nil, err
	}
	for _, h := range []struct {
		to                *metric.Float64Histogram
		name, description string
		buckets           metric.HistogramOption
	}{
		{&m.connections, "wsrouter.server.connection.duration", "How long connections lasted, by how they ended.", connBuckets},
		{&m.handling, "rpc.server.call.duration", "How long handlers of events and requests ran.", callBuckets},
		{&m.streaming, "wsrouter.server.stream.duration", "How long streams ran.", connBuckets},
		{&m.calling, "rpc.client.call.duration", "How long requests to the other side took.", callBuckets},
	} {
		if *h.to, err = meter.Float64Histogram(h.name, metric.WithUnit("s"), metric.WithDescription(h.description), h.buckets); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// maxCodes is how many codes may be an outcome besides the known ones.
const maxCodes = 32

type outcomes struct {
	cache[string, struct{}]
	most int
}

// of returns the outcome as metrics show it.
func (o *outcomes) of(outcome string) string {
	if outcome == "" {
		return orOK("")
	}
	if _, ok := o.get(outcome); !ok {
		if bounded(outcome) == other || len(o.all()) >= o.most {
			return other
		}
		o.put(outcome, struct{}{})
	}
	return outcome
}

// setKey identifies the attributes of a measurement.
type setKey struct {
	*method
	kind, outcome string
}

// set returns the attributes for a key, which are made once.
func (m *metrics) set(key setKey) metric.MeasurementOption {
	if found, ok := m.sets.get(key); ok {
		return found
	}
	attrs := []attribute.KeyValue{rpcSystem.String("wsrouter"), rpcMethod.String(key.name),
		namespaceKey.String(key.namespace), rpcStatus.String(key.outcome)}
	if key.kind != "" {
		attrs = append(attrs, kindKey.String(key.kind))
	}
	return m.sets.put(key, metric.WithAttributeSet(attribute.NewSet(attrs...)))
}

func (m *metrics) trace(t *Telemetry) *wsrouter.Trace {
	return &wsrouter.Trace{
		Connect: func(c *wsrouter.Conn) {
			m.connects.Add(context.Background(), 1, metric.WithAttributes(
				namespaceKey.String(c.Router().Name()), transportKey.String(c.Transport())))
		},
		Disconnect: func(c *wsrouter.Conn, err *wsrouter.CloseError) {
			m.connections.Record(context.Background(), time.Since(c.ConnectedAt()).Seconds(), metric.WithAttributes(
				namespaceKey.String(c.Router().Name()), transportKey.String(c.Transport()), causeKey.String(cause(err))))
		},
		EventEnd: func(c *wsrouter.Context, took time.Duration, err error) {
			key := setKey{t.handled.of(c.Conn().Router().Name(), c.Route()), c.Kind(), m.outcomes.of(c.Outcome(err))}
			histogram := m.handling
			if key.kind == wsrouter.KindStream {
				histogram = m.streaming
			}
			histogram.Record(c.Conn().Context(), took.Seconds(), m.set(key))
		},
		CallEnd: func(ctx context.Context, c *wsrouter.Conn, event string, took time.Duration, err error) {
			key := setKey{t.called.of(c.Router().Name(), event), "", m.outcomes.of(wsrouter.CallOutcome(err))}
			m.calling.Record(ctx, took.Seconds(), m.set(key))
		},
	}
}

// cause tells a client that was lost from one that has said goodbye.
func cause(err *wsrouter.CloseError) string {
	if err.Cause == wsrouter.CausePeer && err.Code == wsrouter.CloseAbnormal {
		return "lost"
	}
	return err.Cause.String()
}
