package main

import (
	"context"
	"encoding/json"
	"net/http"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/wsrouter/wsrouter"
)

type work struct {
	ID string `json:"id"`
	MS int    `json:"ms"`
}

// register adds what the test asks for: work that takes its time, and whose
// beginning is printed; who the client is, to MaxConnsPerClient; and, for the test
// alone, POST /news, which emits to everyone.
func register(router *wsrouter.Router, mux *http.ServeMux) {
	var mu sync.Mutex // guards out
	out := json.NewEncoder(os.Stdout)
	wsrouter.Handle(router, "work", func(c *wsrouter.Context, in work) (string, error) {
		mu.Lock()
		out.Encode(in.ID)
		mu.Unlock()
		select {
		case <-time.After(time.Duration(in.MS) * time.Millisecond):
			return in.ID, nil
		case <-c.Context().Done():
			return "", context.Cause(c.Context())
		}
	})
	wsrouter.Handle(router, "who", func(c *wsrouter.Context, _ any) (string, error) { return clientKey(c.Request()), nil })
	router.On("size", func(c *wsrouter.Context) error { return c.Reply(len(c.Raw())) })
	mux.HandleFunc("POST /news", func(w http.ResponseWriter, r *http.Request) {
		n, err := strconv.Atoi(r.FormValue("n"))
		if err == nil {
			err = router.Emit("news", n)
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
		}
	})
}
