// Package page is the chat's page, and what pages send to a server. Two servers use
// it: examples/chat on one machine, and examples/cluster on many.
package page

import (
	"embed"
	"io/fs"
	"net/http"

	"github.com/wsrouter/wsrouter"
	"github.com/wsrouter/wsrouter/clientjs"
	"github.com/wsrouter/wsrouter/socketio"
)

//go:embed web npm
var files embed.FS

// policy keeps a page from loading anything from elsewhere; an injected script
// would not run.
const policy = "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// Handler serves the chat and its page twice: at / with the client that comes with
// the router, at /socketio/ with socket.io-client. Both share the same rooms.
func Handler(router *wsrouter.Router) http.Handler {
	web, _ := fs.Sub(files, "web")
	page := http.FileServerFS(web)
	mux := http.NewServeMux()
	mux.Handle("/ws", router.Handler(&wsrouter.WSOptions{AuthFrame: true}))
	mux.Handle("/wsrouter/", clientjs.Handler())
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Security-Policy", policy)
		page.ServeHTTP(w, r)
	})

	mux.Handle("/socket.io/", socketio.New(router, nil))
	mux.HandleFunc("/socketio/", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Security-Policy", policy)
		http.StripPrefix("/socketio", page).ServeHTTP(w, r)
	})
	mux.HandleFunc("/socketio/client.js", func(w http.ResponseWriter, r *http.Request) {
		http.ServeFileFS(w, r, web, "socketio.js")
	})
	mux.HandleFunc("/socketio/socket.io.js", func(w http.ResponseWriter, r *http.Request) {
		http.ServeFileFS(w, r, files, "npm/socket.io.esm.min.js")
	})
	return mux
}
