// Command chat is a chat with rooms and a robot, to be opened in a browser:
//
//	go run ./examples/chat
//
// The page at /socketio/ is the same one over Socket.IO.
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
	"github.com/wsrouter/wsrouter/socketio"
)

//go:embed web
var files embed.FS

func main() {
	addr := flag.String("addr", "127.0.0.1:3000", "address to listen on")
	client := flag.String("client", "", "`file` of npm's socket.io-client, dist/socket.io.esm.min.js, for /socketio/; else it comes from "+cdn)
	flag.Parse()
	listener, err := net.Listen("tcp", *addr)
	if err != nil {
		log.Fatal(err)
	}
	log.Printf("open http://%s", listener.Addr())
	router := newChat()
	server := &http.Server{Handler: newHandler(router, *client), ReadHeaderTimeout: 5 * time.Second}
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

// cdn has the client that pages load where none is given, as in Socket.IO's documentation.
const cdn = "https://cdn.socket.io/4.8.1/socket.io.esm.min.js"

// policy keeps a page from loading anything from elsewhere but those scripts; a script that got into
// it somehow would not run.
const policy = "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// newHandler serves the chat and its page twice: at / with the client that comes with the router,
// at /socketio/ with socket.io-client, from a file or cdn. Both talk in the same rooms.
func newHandler(router *wsrouter.Router, client string) http.Handler {
	web, _ := fs.Sub(files, "web")
	page := http.FileServerFS(web)
	mux := http.NewServeMux()
	mux.Handle("/ws", router.Handler(&wsrouter.WSOptions{AuthFrame: true}))
	mux.Handle("/wsrouter/", wsrouter.ClientJS())
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Security-Policy", policy)
		page.ServeHTTP(w, r)
	})

	mux.Handle("/socket.io/", socketio.New(router, nil))
	mux.HandleFunc("/socketio/", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Security-Policy", policy+"; script-src 'self' https://cdn.socket.io")
		http.StripPrefix("/socketio", page).ServeHTTP(w, r)
	})
	mux.HandleFunc("/socketio/client.js", func(w http.ResponseWriter, r *http.Request) {
		http.ServeFileFS(w, r, web, "socketio.js")
	})
	mux.HandleFunc("/socketio/socket.io.js", func(w http.ResponseWriter, r *http.Request) {
		if client == "" {
			http.Redirect(w, r, cdn, http.StatusFound)
			return
		}
		http.ServeFile(w, r, client)
	})
	return mux
}
