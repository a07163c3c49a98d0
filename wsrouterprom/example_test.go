package wsrouterprom_test

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"os"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/expfmt"

	"github.com/wsrouter/wsrouter"
	"github.com/wsrouter/wsrouter/wsrouterprom"
)

// Prometheus scrapes the metrics of this server at another address, which clients
// cannot reach.
func ExampleNew() {
	metrics := wsrouterprom.New(nil)
	router := wsrouter.New(&wsrouter.Options{Trace: metrics.Trace()})

	go http.ListenAndServe("127.0.0.1:9464", metrics.Handler(router))
	http.Handle("/ws", router)
	log.Fatal(http.ListenAndServe(":3000", nil))
}

// An application has a Trace of its own beside the metrics, and error codes that
// are values of the label outcome.
func ExampleMetrics_Trace() {
	metrics := wsrouterprom.New(&wsrouterprom.Options{Codes: []string{"E_FULL", "E_BANNED"}})
	greeting := &wsrouter.Trace{
		Connect: func(c *wsrouter.Conn) { fmt.Println("somebody came by", c.Transport()) },
	}
	router := wsrouter.New(&wsrouter.Options{Trace: wsrouter.MultiTrace(greeting, metrics.Trace())})
	registry := prometheus.NewRegistry()
	registry.MustRegister(metrics.Collector(router))
	router.On("enter", func(*wsrouter.Context) error { return wsrouter.NewError("full").WithCode("E_FULL") })

	client, err := router.Connect(context.Background(), nil)
	if err != nil {
		log.Fatal(err)
	}
	client.Call(context.Background(), "enter", nil, nil)
	client.Close()
	router.Shutdown(context.Background())

	families, err := registry.Gather()
	if err != nil {
		log.Fatal(err)
	}
	for _, family := range families {
		if family.GetName() == "wsrouter_rpc_server_calls_total" {
			expfmt.MetricFamilyToText(os.Stdout, family)
		}
	}
	// Output:
	// somebody came by memory
	// # HELP wsrouter_rpc_server_calls_total Events, requests and streams that were handled, by how they ended.
	// # TYPE wsrouter_rpc_server_calls_total counter
	// wsrouter_rpc_server_calls_total{event="enter",kind="request",nsp="/",outcome="E_FULL"} 1
	// wsrouter_rpc_server_calls_total{event="enter",kind="request",nsp="/",outcome="internal"} 0
	// wsrouter_rpc_server_calls_total{event="enter",kind="request",nsp="/",outcome="ok"} 0
}

// Several routers in one process, one of which dials.
func ExampleMetrics_Collector() {
	registry := prometheus.NewRegistry()
	observed := func(name string) *wsrouter.Router {
		metrics := wsrouterprom.New(nil)
		router := wsrouter.New(&wsrouter.Options{Trace: metrics.Trace()})
		labels := prometheus.Labels{"router": name}
		prometheus.WrapRegistererWith(labels, registry).MustRegister(metrics.Collector(router))
		return router
	}
	server, upstream := observed("server"), observed("upstream")
	wsrouter.Dial(context.Background(), "ws://upstream/", &wsrouter.DialOptions{Router: upstream})
	http.Handle("/ws", server)
}
