// Command server is the one of docs/deploy.md, which shows this file: a server
// that is one of several behind a proxy.
package main

import (
	"context"
	"errors"
	"flag"
	"log"
	"net/http"
	"os/signal"
	"syscall"
	"time"

	"github.com/redis/rueidis"

	"github.com/wsrouter/wsrouter"
	"github.com/wsrouter/wsrouter/redisbroker"
	"github.com/wsrouter/wsrouter/socketio"
)

func main() {
	addr := flag.String("addr", ":3000", "address to listen on")
	node := flag.String("node", "", "this server's name in the ids of its Socket.IO sessions")
	redis := flag.String("redis", "", "address of the Redis that joins the servers; empty is none")
	spread := flag.Duration("spread", 30*time.Second, "time over which the clients are sent away")
	drain := flag.Duration("drain", 45*time.Second, "time that all of the shutdown may take")
	flag.Parse()

	opts := &wsrouter.Options{
		ClientKey:         clientKey,
		MaxConnsPerClient: 1000,
		ShutdownSpread:    *spread,
		ShutdownCode:      wsrouter.CloseServiceRestart,
		Recovery:          &wsrouter.Recovery{Window: 30 * time.Second},
	}
	closeBroker := func() error { return nil }
	if *redis != "" {
		broker, err := redisbroker.New(rueidis.ClientOption{InitAddress: []string{*redis}}, nil)
		if err != nil {
			log.Fatal(err)
		}
		opts.Broker, closeBroker = broker, broker.Close
	}
	router := wsrouter.New(opts)
	mux := http.NewServeMux()
	register(router, mux) // the service's own

	mux.Handle("/ws", router)
	mux.Handle("/socket.io/", socketio.New(router, &socketio.Options{Node: *node}))

	running, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	mux.HandleFunc("/livez", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("/readyz", func(w http.ResponseWriter, _ *http.Request) {
		if running.Err() != nil {
			http.Error(w, "shutting down", http.StatusServiceUnavailable)
		}
	})

	server := &http.Server{
		Addr:              *addr,
		Handler:           mux,
		ReadHeaderTimeout: 5 * time.Second,
		IdleTimeout:       2 * time.Minute, // longer than the proxy keeps idle connections
	}
	go func() {
		if err := server.ListenAndServe(); err != http.ErrServerClosed {
			log.Fatal(err)
		}
	}()

	<-running.Done()
	stop() // a second signal kills
	ctx, cancel := context.WithTimeout(context.Background(), *drain)
	defer cancel()
	err := errors.Join(router.Shutdown(ctx), server.Shutdown(ctx), closeBroker())
	if err != nil {
		log.Fatal(err)
	}
}

// clientKey is the address that the proxy has seen. Nobody else may reach this
// server: a client could write anything there.
func clientKey(r *http.Request) string { return r.Header.Get("X-Real-IP") }
