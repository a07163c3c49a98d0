package clientjs

import (
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"testing"

	"github.com/wsrouter/wsrouter/clientjs"
)

// stage is one HTTP server with everything that the rows need: a browser connects
// only to where its page came from. Under /control/ a row ends and starts the
// gateway, and makes the line fall silent, or cuts it.
type stage struct {
	addr string
	line *line // another way to addr
}

func newStage(t *testing.T) *stage {
	t.Helper()
	gateway := newGateway(t)
	gateway.start()
	server := httptest.NewUnstartedServer(nil)
	s := &stage{addr: server.Listener.Addr().String()}
	s.line = newLine(t, s.addr)

	mux := http.NewServeMux()
	proxy := proxyTo(gateway.addr)
	mux.Handle("/ws", proxy)
	mux.Handle("/ws/", proxy)
	mountRouters(t, mux)
	mountRecovering(t, mux)
	mux.Handle("/wsrouter/", clientjs.Handler())
	mux.Handle("/", http.FileServer(http.Dir(".")))
	for name, do := range map[string]func(){
		"start": gateway.start, "stop": gateway.stop, "kill": gateway.kill,
		"stall": s.line.stall, "stallUp": s.line.stallUp, "stallDown": s.line.stallDown,
		"resume": s.line.resume, "cut": s.line.cut,
	} {
		mux.HandleFunc("POST /control/"+name, func(http.ResponseWriter, *http.Request) { do() })
	}
	server.Config.Handler = mux
	server.Start()
	t.Cleanup(server.Close)
	return s
}

func proxyTo(addr string) http.Handler {
	return &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(&url.URL{Scheme: "http", Host: addr})
			r.Out.Host = r.In.Host // what the gateway compares the Origin with
		},
		ErrorLog: log.New(io.Discard, "", 0), // the rows see what went wrong
	}
}
