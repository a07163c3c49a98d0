package interop

import (
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"testing"
)

// servePage serves the folder node and, beside it, the gateway's mounts: a browser
// connects only to where its page came from. It returns the address.
func servePage(t *testing.T, gatewayAddr string) string {
	t.Helper()
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(&url.URL{Scheme: "http", Host: gatewayAddr})
			r.Out.Host = r.In.Host // what the gateway compares the Origin with
		},
		ErrorLog: log.New(io.Discard, "", 0), // the rows see what went wrong
	}
	mux := http.NewServeMux()
	mux.Handle("/ws", proxy)
	mux.Handle("/ws/", proxy)
	mux.Handle("/", http.FileServer(http.Dir("node")))
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return server.Listener.Addr().String()
}
