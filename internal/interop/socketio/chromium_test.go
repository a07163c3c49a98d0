package socketio

import (
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wsrouter/wsrouter/internal/interop/process"
	"github.com/wsrouter/wsrouter/internal/loopback"
)

// TestChromium plays the gateway's table in a page of headless Chromium, which
// loads the browser bundle of the npm package.
func TestChromium(t *testing.T) {
	process.Need(t, process.NPM("playwright-core"), process.NPM("socket.io-client/dist/socket.io.min.js"), chromium)
	gateway := serve(t, buildGateway(t), loopback.Hold(t))
	node := process.Node(t, "chromium.mjs", append([]string{servePage(t, gateway.addr), "/"}, transports...)...)
	played := report(t, node)
	if !t.Failed() {
		require.Subset(t, played, gatewayEvents(t), "events without a row")
	}
}

// servePage serves the folder node and, beside it, the gateway's mount: a browser
// connects only to where its page came from.
func servePage(t *testing.T, gatewayAddr string) (origin string) {
	t.Helper()
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(&url.URL{Scheme: "http", Host: gatewayAddr})
			r.Out.Host = r.In.Host // what the gateway compares the Origin with
		},
		ErrorLog: log.New(io.Discard, "", 0), // the rows see what went wrong
	}
	mux := http.NewServeMux()
	mux.Handle("/socket.io/", proxy)
	mux.Handle("/", http.FileServer(http.Dir("node")))
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return server.URL
}
