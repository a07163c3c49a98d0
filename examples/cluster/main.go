// Command cluster is examples/chat on many servers. Open both in a browser:
//
//	redis-server &
//	go run . -redis redis://127.0.0.1:6379 -addr 127.0.0.1:3001 &
//	go run . -redis redis://127.0.0.1:6379 -addr 127.0.0.1:3002 -metrics 127.0.0.1:9464
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

	"github.com/redis/rueidis"

	"github.com/wsrouter/wsrouter/examples/chat/page"
	"github.com/wsrouter/wsrouter/redisbroker"
	"github.com/wsrouter/wsrouter/wsrouterprom"
)

func main() {
	addr := flag.String("addr", "127.0.0.1:3000", "address to listen on")
	url := flag.String("redis", "redis://127.0.0.1:6379", "`URL` of Redis; rediss:// for TLS")
	metrics := flag.String("metrics", "", "`address` at which Prometheus scrapes; empty is none")
	flag.Parse()
	option, err := rueidis.ParseURL(*url)
	if err != nil {
		log.Fatal(err)
	}
	broker, err := redisbroker.New(option, nil)
	if err != nil {
		log.Fatal(err)
	}
	redis, err := rueidis.NewClient(option)
	if err != nil {
		log.Fatal(err)
	}
	counts := wsrouterprom.New(nil)
	chat := newChat(broker, history{redis}, counts.Trace())
	if *metrics != "" {
		go func() { log.Fatal(http.ListenAndServe(*metrics, counts.Handler(chat.router))) }()
	}

	listener, err := net.Listen("tcp", *addr)
	if err != nil {
		log.Fatal(err)
	}
	log.Printf("open http://%s", listener.Addr())
	server := &http.Server{Handler: page.Handler(chat.router), ReadHeaderTimeout: 5 * time.Second}
	go server.Serve(listener)

	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	chat.tellPeople(ctx)
	stop() // so that a second signal ends the program
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	// The broker is closed last: what clients leave behind is sent through it.
	if err := errors.Join(chat.router.Shutdown(ctx), server.Shutdown(ctx), broker.Close()); err != nil {
		log.Print(err)
	}
	redis.Close()
}
