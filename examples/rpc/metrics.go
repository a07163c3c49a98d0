package main

import (
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/wsrouter/wsrouter"
	"github.com/wsrouter/wsrouter/wsrouterprom"
)

// counted is a router with its metrics.
type counted struct {
	*wsrouter.Router
	counts *wsrouterprom.Metrics
}

// counted returns a router of the service, with its metrics.
func (s *service) counted(o wsrouter.Options) counted {
	counts := wsrouterprom.New(nil)
	o.Trace = counts.Trace()
	return counted{s.router(o), counts}
}

// metrics serves the metrics of this process's routers, told apart by a label.
func metrics(routers map[string]counted) http.Handler {
	registry := prometheus.NewRegistry()
	for name, r := range routers {
		labels := prometheus.Labels{"router": name}
		prometheus.WrapRegistererWith(labels, registry).MustRegister(r.counts.Collector(r.Router))
	}
	return promhttp.HandlerFor(registry, promhttp.HandlerOpts{})
}
