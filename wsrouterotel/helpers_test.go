package wsrouterotel_test

import (
	"context"
	"log/slog"
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/wsrouter/wsrouter"
	"github.com/wsrouter/wsrouter/internal/leak"
	"github.com/wsrouter/wsrouter/wsrouterotel"
)

func TestMain(m *testing.M) { leak.Main(m) }

// backend keeps the spans and metrics of all services of a test.
type backend struct {
	exporter *tracetest.InMemoryExporter
	provider *sdk.TracerProvider
	reader   *metric.ManualReader
	services []*wsrouterotel.Telemetry
}

func newBackend() *backend {
	b := &backend{exporter: tracetest.NewInMemoryExporter(), reader: metric.NewManualReader()}
	b.provider = sdk.NewTracerProvider(sdk.WithSyncer(b.exporter))
	return b
}

// telemetry returns the Telemetry of one more service. What o leaves out is the
// backend's.
func (b *backend) telemetry(t testing.TB, o wsrouterotel.Options) *wsrouterotel.Telemetry {
	t.Helper()
	if o.TracerProvider == nil {
		o.TracerProvider = b.provider
	}
	telemetry, err := wsrouterotel.New(o)
	require.NoError(t, err)
	b.services = append(b.services, telemetry)
	return telemetry
}

// service returns a router whose events and calls are traced.
func (b *backend) service(t testing.TB, o wsrouter.Options) *wsrouter.Router {
	t.Helper()
	return routerOf(b.telemetry(t, wsrouterotel.Options{}), o)
}

func routerOf(telemetry *wsrouterotel.Telemetry, o wsrouter.Options) *wsrouter.Router {
	o.Trace = telemetry.Trace()
	o.Logger = slog.New(slog.DiscardHandler)
	router := wsrouter.New(&o)
	router.Use(telemetry.Middleware)
	return router
}

// spans returns the spans that have ended, by kind and name.
func (b *backend) spans(t testing.TB) map[string]tracetest.SpanStub {
	t.Helper()
	for _, telemetry := range b.services {
		require.NoError(t, telemetry.Flush(context.Background()))
	}
	spans := make(map[string]tracetest.SpanStub)
	for _, span := range b.exporter.GetSpans() {
		key := span.SpanKind.String() + " " + span.Name
		require.NotContains(t, spans, key)
		spans[key] = span
	}
	return spans
}

// requireChain checks that the spans are of one trace, each the child of the one
// before.
func requireChain(t testing.TB, spans map[string]tracetest.SpanStub, parent trace.SpanContext, keys ...string) {
	t.Helper()
	for _, key := range keys {
		require.Contains(t, spans, key)
		span := spans[key]
		require.Equal(t, parent.SpanID(), span.Parent.SpanID(), "parent of %s", key)
		if parent.IsValid() {
			require.Equal(t, parent.TraceID(), span.SpanContext.TraceID(), "trace of %s", key)
		}
		parent = span.SpanContext
	}
}

func attrs(span tracetest.SpanStub) map[string]any {
	got := make(map[string]any)
	for _, kv := range span.Attributes {
		got[string(kv.Key)] = kv.Value.AsInterface()
	}
	return got
}

// series returns the values of a metric by their attributes, as "k=v k=v"; of a
// histogram the count and the sum.
func (b *backend) series(t testing.TB, name string) map[string]float64 {
	t.Helper()
	var data metricdata.ResourceMetrics
	require.NoError(t, b.reader.Collect(context.Background(), &data))
	got := make(map[string]float64)
	for _, scope := range data.ScopeMetrics {
		for _, m := range scope.Metrics {
			if m.Name != name {
				continue
			}
			require.NotEmpty(t, m.Description)
			require.NotEmpty(t, m.Unit)
			switch data := m.Data.(type) {
			case metricdata.Sum[int64]:
				for _, p := range data.DataPoints {
					got[labels(p.Attributes)] = float64(p.Value)
				}
			case metricdata.Gauge[float64]:
				for _, p := range data.DataPoints {
					got[labels(p.Attributes)] = p.Value
				}
			case metricdata.Histogram[float64]:
				for _, p := range data.DataPoints {
					got[labels(p.Attributes)+" n"] = float64(p.Count)
					got[labels(p.Attributes)+" s"] = p.Sum
				}
			}
		}
	}
	return got
}

func labels(set attribute.Set) (text string) {
	for _, kv := range set.ToSlice() {
		if kv.Key == "rpc.system.name" {
			continue
		}
		if text != "" {
			text += " "
		}
		text += string(kv.Key) + "=" + kv.Value.AsString()
	}
	return text
}
