// Command chat is a chat with rooms and a robot. Open it in a browser:
//
//	go run ./examples/chat
//
// The page at /socketio/ does the same over Socket.IO.
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

	"github.com/wsrouter/wsrouter/examples/chat/page"
)

func main() {
	addr := flag.String("addr", "127.0.0.1:3000", "address to listen on")
	flag.Parse()
	listener, err := net.Listen("tcp", *addr)
	if err != nil {
		log.Fatal(err)
	}
	log.Printf("open http://%s", listener.Addr())
	router := newChat()
	server := &http.Server{Handler: page.Handler(router), ReadHeaderTimeout: 5 * time.Second}
	go server.Serve(listener)

	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	<-ctx.Done()
	stop() // so that a second signal ends the program
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := errors.Join(router.Shutdown(ctx), server.Shutdown(ctx)); err != nil {
		log.Print(err)
	}
}
