package wsrouterotel_test

import (
	"context"
	"log/slog"
	"testing"

	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	sdk "go.opentelemetry.io/otel/sdk/trace"

	"github.com/wsrouter/wsrouter"
	"github.com/wsrouter/wsrouter/wsrouterotel"
	"github.com/wsrouter/wsrouter/wsroutertest"
)

// exporter takes spans, and does nothing with them.
type exporter struct{}

func (exporter) ExportSpans(context.Context, []sdk.ReadOnlySpan) error { return nil }
func (exporter) Shutdown(context.Context) error                        { return nil }

// BenchmarkRequest measures a request to a handler and back, in memory, with what
// the module adds to it at the server.
func BenchmarkRequest(b *testing.B) {
	all := sdk.NewTracerProvider(sdk.WithBatcher(exporter{}))
	none := sdk.NewTracerProvider(sdk.WithSampler(sdk.NeverSample()))
	meter := sdkmetric.NewMeterProvider(sdkmetric.WithReader(sdkmetric.NewManualReader()))
	for _, bench := range []struct {
		name string
		o    *wsrouterotel.Options
		meta bool
	}{
		{"without", nil, false},
		{"meta only", nil, true},
		{"nothing", &wsrouterotel.Options{}, false},
		{"metrics", &wsrouterotel.Options{MeterProvider: meter}, false},
		{"not sampled", &wsrouterotel.Options{TracerProvider: none}, false},
		{"sampled", &wsrouterotel.Options{TracerProvider: all}, false},
		{"sampled, continued", &wsrouterotel.Options{TracerProvider: all}, true},
		{"all", &wsrouterotel.Options{TracerProvider: all, MeterProvider: meter}, true},
	} {
		b.Run(bench.name, func(b *testing.B) {
			router := wsrouter.New(&wsrouter.Options{Logger: slog.New(slog.DiscardHandler)})
			if bench.o != nil {
				telemetry, err := wsrouterotel.New(*bench.o)
				if err != nil {
					b.Fatal(err)
				}
				router = routerOf(telemetry, wsrouter.Options{})
				defer telemetry.Flush(b.Context())
			}
			router.On("ask", func(c *wsrouter.Context) error { return c.Reply(c.Value()) })
			client := wsroutertest.Connect(b, router, nil)
			ctx := b.Context()
			if bench.meta {
				ctx = wsrouter.WithMeta(ctx, "traceparent", traceparent)
			}
			b.ReportAllocs()
			for b.Loop() {
				if err := client.Call(ctx, "ask", "hello", nil); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
