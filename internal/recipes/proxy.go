package recipes

import (
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"time"

	"github.com/wsrouter/wsrouter"
)

// Proxy returns a proxy in front of a router.
func Proxy(to *url.URL) *httputil.ReverseProxy {
	return &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(to)
		r.Out.Host = r.In.Host // SetURL has changed it to that of to
		client, _, _ := net.SplitHostPort(r.In.RemoteAddr)
		r.Out.Header.Set("X-Real-IP", client)
	}}
}

// BehindProxy returns options for a router that only a proxy can reach.
func BehindProxy() *wsrouter.Options {
	return &wsrouter.Options{
		MaxConnsPerClient: 20,
		ClientKey:         func(r *http.Request) string { return r.Header.Get("X-Real-IP") },
	}
}

// ListenUnix listens on a unix socket, for http.Server.Serve.
func ListenUnix(path string) (net.Listener, error) {
	os.Remove(path) // left by a server that was killed; if this fails, Listen says why
	return net.Listen("unix", path)
}

// Impatient returns options for a load balancer that cuts connections which were
// idle for 30 seconds.
func Impatient() *wsrouter.Options {
	return &wsrouter.Options{PingInterval: 10 * time.Second, PongTimeout: 10 * time.Second}
}
