package wsrouterotel_test

import (
	"context"
	"fmt"
	"log"

	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/wsrouter/wsrouter"
	"github.com/wsrouter/wsrouter/wsrouterotel"
)

// A shop asks its stock while it handles a page's request. All of it belongs to the
// trace that the page began.
func Example() {
	exporter := tracetest.NewInMemoryExporter() // a service would export by OTLP
	provider := sdk.NewTracerProvider(sdk.WithBatcher(exporter))
	telemetry, err := wsrouterotel.New(wsrouterotel.Options{TracerProvider: provider})
	if err != nil {
		log.Fatal(err)
	}
	traced := func() *wsrouter.Router {
		router := wsrouter.New(&wsrouter.Options{Trace: telemetry.Trace()})
		router.Use(telemetry.Middleware)
		return router
	}
	ctx := context.Background()

	stock := traced()
	wsrouter.Handle(stock, "stock", func(*wsrouter.Context, string) (int, error) { return 3, nil })
	toStock, err := stock.Connect(ctx, &wsrouter.DialOptions{Router: traced()})
	if err != nil {
		log.Fatal(err)
	}
	shop := traced()
	wsrouter.Handle(shop, "order", func(c *wsrouter.Context, item string) (int, error) {
		return wsrouter.Call[int](c.Context(), toStock, "stock", item)
	})

	page, err := shop.Connect(ctx, nil)
	if err != nil {
		log.Fatal(err)
	}
	asks := wsrouter.WithMeta(ctx, "traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
	if err := page.Call(asks, "order", "chair", nil); err != nil {
		log.Fatal(err)
	}
	page.Close()
	shop.Shutdown(ctx) // after this all handlers have returned
	toStock.Close()
	stock.Shutdown(ctx)
	telemetry.Flush(ctx)
	provider.ForceFlush(ctx)
	for _, span := range exporter.GetSpans() {
		fmt.Println(span.SpanContext.TraceID(), span.SpanKind, span.Name)
	}
	// Unordered output:
	// 0af7651916cd43dd8448eb211c80319c server / stock
	// 0af7651916cd43dd8448eb211c80319c client / stock
	// 0af7651916cd43dd8448eb211c80319c server / order
}

// An emit has a span too, and the span of the handler at the other side links to
// it.
func ExampleTelemetry_Emit() {
	exporter := tracetest.NewInMemoryExporter()
	provider := sdk.NewTracerProvider(sdk.WithSyncer(exporter))
	telemetry, err := wsrouterotel.New(wsrouterotel.Options{TracerProvider: provider})
	if err != nil {
		log.Fatal(err)
	}
	router := wsrouter.New(&wsrouter.Options{Trace: telemetry.Trace()})
	router.Use(telemetry.Middleware)
	router.On("note", func(c *wsrouter.Context) error { return nil })

	ctx := context.Background()
	client, err := router.Connect(ctx, nil)
	if err != nil {
		log.Fatal(err)
	}
	if err := telemetry.Emit(ctx, client, "note", "hello"); err != nil {
		log.Fatal(err)
	}
	client.Close()
	router.Shutdown(ctx)
	telemetry.Flush(ctx)
	for _, span := range exporter.GetSpans() {
		fmt.Println(span.SpanKind, span.Name, len(span.Links))
	}
	// Unordered output:
	// producer / note 0
	// consumer / note 1
}
