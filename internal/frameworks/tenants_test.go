package frameworks

import (
	"fmt"
	"io"
	"net/http"
	"sync"
	"testing"

	"github.com/go-chi/chi/v5"
	"github.com/stretchr/testify/require"

	"github.com/wsrouter/wsrouter"
)

// TestTenants holds that a connection's request stays its own. chi uses a
// request's RouteContext, where the parameters are, for another request once its
// handler has returned; what ServeMux found is in the request itself.
func TestTenants(t *testing.T) {
	tests := []struct {
		name   string
		detach bool
		router func(ws, other http.Handler) http.Handler
		param  func(*http.Request) string
	}{
		{"chi", false, chiTenants, func(r *http.Request) string { return chi.URLParam(r, "tenant") }},
		{"ServeMux, detached", true, muxTenants, func(r *http.Request) string { return r.PathValue("tenant") }},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			router := wsrouter.New(nil)
			router.On("tenant", func(c *wsrouter.Context) error { return c.Reply(test.param(c.Request())) })
			other := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, test.param(r)) })
			ws := router.Handler(&wsrouter.WSOptions{Detach: test.detach})
			testTenants(t, start(t, router, test.router(ws, other)))
		})
	}
}

func testTenants(t *testing.T, server *server) {
	clients := make([]*wsrouter.Client, 100)
	for i := range clients {
		clients[i] = server.dial(t, fmt.Sprintf("/t/tenant-%d/ws", i))
	}
	askOthers(t, server, 10, 120)
	for i, client := range clients {
		require.Equal(t, fmt.Sprintf("tenant-%d", i), call[string](t, client, "tenant", nil))
	}
}

// askOthers sends n requests of strangers from each of so many goroutines.
func askOthers(t *testing.T, server *server, goroutines, n int) {
	var wg sync.WaitGroup
	for g := range goroutines {
		wg.Go(func() {
			for i := range n {
				name := fmt.Sprintf("other-%d-%d", g, i)
				if got, err := get(server, "/t/"+name+"/other"); got != name || err != nil {
					t.Errorf("got %q, %v, want %q", got, err, name)
					return
				}
			}
		})
	}
	wg.Wait()
}

func get(server *server, path string) (string, error) {
	resp, err := server.Client().Get(server.URL + path)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return string(body), err
}

func chiTenants(ws, other http.Handler) http.Handler {
	r := chi.NewRouter()
	r.Route("/t/{tenant}", func(r chi.Router) {
		r.Handle("/ws", ws)
		r.Handle("/other", other)
	})
	return r
}

func muxTenants(ws, other http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/t/{tenant}/ws", ws)
	mux.Handle("/t/{tenant}/other", other)
	return mux
}
