package main

import (
	"context"
	"errors"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	"go.opentelemetry.io/otel/sdk/trace"

	"github.com/wsrouter/wsrouter"
	"github.com/wsrouter/wsrouter/wsrouterotel"
)

// service is one of the services of this program, with its telemetry.
type service struct {
	*wsrouterotel.Telemetry
	provider *trace.TracerProvider // nil if nothing is traced
}

// newService returns a service with a name. It sends its traces to the collector,
// the URL of an OTLP endpoint over HTTP, unless that is empty.
func newService(name, collector string) (*service, error) {
	if collector == "" {
		telemetry, err := wsrouterotel.New(wsrouterotel.Options{})
		return &service{Telemetry: telemetry}, err
	}
	exporter, err := otlptracehttp.New(context.Background(), otlptracehttp.WithEndpointURL(strings.TrimSuffix(collector, "/")+tracesPath))
	if err != nil {
		return nil, err
	}
	provider := trace.NewTracerProvider(trace.WithBatcher(exporter),
		trace.WithResource(resource.NewSchemaless(attribute.String("service.name", name))))
	telemetry, err := wsrouterotel.New(wsrouterotel.Options{TracerProvider: provider})
	return &service{telemetry, provider}, err
}

// router returns a router of the service. What it handles and calls is traced.
func (s *service) router(o wsrouter.Options) *wsrouter.Router {
	o.Trace = wsrouter.MultiTrace(o.Trace, s.Trace())
	router := wsrouter.New(&o)
	router.Use(s.Middleware)
	return router
}

// close sends what is left to the collector, but does not wait for long.
func (s *service) close() error {
	if s.provider == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	return errors.Join(s.Flush(ctx), s.provider.Shutdown(ctx))
}
