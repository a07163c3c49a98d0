// Command chat is a chat with rooms and a robot, to be opened in a browser:
//
//	go run ./examples/chat
package main

import (
	"context"
	"embed"
	"errors"
	"flag"
	"io/fs"
	"log"
	"net"
	"net/http"
	"os/signal"
	"syscall"
	"time"

	"github.com/wsrouter/wsrouter"
)

//go:embed web
var files embed.FS

func main() {
	addr := flag.String("addr", "127.0.0.1:3000", "address to listen on")
	flag.Parse()
	listener, err := net.Listen("tcp", *addr)
	if err != nil {
		log.Fatal(err)
	}
	log.Printf("open http://%s", listener.Addr())
	router := newChat()
	server := &http.Server{Handler: newHandler(router), ReadHeaderTimeout: 5 * time.Second}
	go server.Serve(listener)

	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	<-ctx.Done()
	stop() // so that a second signal kills
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := errors.Join(router.Shutdown(ctx), server.Shutdown(ctx)); err != nil {
		log.Print(err)
	}
}

// newHandler serves the page with its client, and the chat at /ws. The page loads nothing from
// elsewhere, and a script that got into it somehow would not run.
func newHandler(router *wsrouter.Router) http.Handler {
	web, _ := fs.Sub(files, "web")
	page := http.FileServerFS(web)
	mux := http.NewServeMux()
	mux.Handle("/ws", router.Handler(&wsrouter.WSOptions{AuthFrame: true}))
	mux.Handle("/wsrouter/", wsrouter.ClientJS())
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Security-Policy", "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
		page.ServeHTTP(w, r)
	})
	return mux
}
