// Command gateway is the tour of NestJS gateways as one small program: every
// event of table.go, on the namespace "/" at /ws and on "/events" at /ws/events,
// and on both for Socket.IO clients at /socket.io/.
//
//	go run . -addr 127.0.0.1:3000 -metrics 127.0.0.1:9464
package main

import (
	"context"
	"errors"
	"flag"
	"log"
	"net"
	"net/http"
	"os/signal"
	"syscall"
	"time"

	"github.com/wsrouter/wsrouter"
	"github.com/wsrouter/wsrouter/socketio"
	"github.com/wsrouter/wsrouter/wsrouterprom"
)

func main() {
	addr := flag.String("addr", "127.0.0.1:3000", "address to listen on")
	detach := flag.Bool("detach", false, "use WSOptions.Detach")
	loops := flag.Bool("loops", false, "use Options.EventLoops")
	compress := flag.Bool("compress", false, "use WSOptions.Compression")
	recovery := flag.Duration("recovery", 0, "how long lost clients may resume their connection; 0 means not at all")
	metrics := flag.String("metrics", "", "`address` at which Prometheus scrapes; empty is none")
	flag.Parse()

	counts := wsrouterprom.New(&wsrouterprom.Options{Codes: []string{errNotNow.Code}})
	opts := &wsrouter.Options{EventLoops: *loops, Trace: counts.Trace()}
	if *recovery > 0 {
		opts.Recovery = &wsrouter.Recovery{Window: *recovery}
	}
	router := newRouter(opts)
	if *metrics != "" {
		go func() { log.Fatal(http.ListenAndServe(*metrics, counts.Handler(router))) }()
	}
	server := &http.Server{
		Handler:           newHandler(router, &wsrouter.WSOptions{Detach: *detach, Compression: *compress}),
		ReadHeaderTimeout: 5 * time.Second,
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	listener, err := net.Listen("tcp", *addr)
	if err != nil {
		log.Fatal(err)
	}
	log.Printf("listening on http://%s", listener.Addr())
	go func() {
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			log.Fatal(err)
		}
	}()
	<-ctx.Done()

	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := errors.Join(router.Shutdown(ctx), server.Shutdown(ctx)); err != nil {
		log.Fatal(err)
	}
}

// newHandler mounts both namespaces, for both kinds of clients, behind one HTTP
// middleware.
func newHandler(router *wsrouter.Router, opts *wsrouter.WSOptions) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/ws", router.Handler(opts))
	mux.Handle("/ws/events", router.Namespace("/events").Handler(opts))
	mux.Handle("/socket.io/", socketio.New(router, nil)) // the same handlers for socket.io-client
	return requireToken(mux)
}

// requireToken refuses clients before the upgrade, with an HTTP status.
func requireToken(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("token") == "bad" {
			http.Error(w, "bad token", http.StatusUnauthorized)
			return
		}
		next.ServeHTTP(w, r)
	})
}
