package socketio

import (
	"context"
	"io"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/wsrouter/wsrouter"
	"github.com/wsrouter/wsrouter/internal/interop/process"
)

// recoverers are the clients that can resume.
var recoverers = []string{"socket.io-client", "socket.io-client-4.6"}

// TestRecovery plays node/recover.mjs against Node's own server and ours: what both
// do, and what Node's does not do, or only by chance.
func TestRecovery(t *testing.T) {
	process.Need(t, process.NPM("socket.io"))
	for _, client := range recoverers {
		process.Need(t, process.NPM(client))
		for _, transport := range transports {
			play := func(server, rows string, serve func(t *testing.T) string) {
				t.Run(client+" "+transport+" "+server+" "+rows, func(t *testing.T) {
					t.Parallel()
					report(t, process.Node(t, "play.mjs", rows, client, transport, serve(t), "/"))
				})
			}
			node := func(t *testing.T) (url string) {
				process.Node(t, "recoverer.mjs").Read(t, &url)
				return url
			}
			ours := func(t *testing.T) string { return serveOwn(t, newRecoveryRouter()) }
			if transport != "polling" { // polling does not notice a loss between two polls, so the result is chance
				play("node", "recover", node)
				play("node", "recover/faulty", node)
			}
			play("ours", "recover", ours)
			play("ours", "recover/better", ours)
		}
	}
}

// newRecoveryRouter has the events of node/recoverer.mjs.
func newRecoveryRouter() *wsrouter.Router {
	router := wsrouter.New(&wsrouter.Options{
		Logger:   slog.New(slog.NewTextHandler(io.Discard, nil)),
		Recovery: &wsrouter.Recovery{},
	})
	for _, r := range []*wsrouter.Router{router, router.Namespace("/other")} {
		r.On("events", func(c *wsrouter.Context) error { return c.Reply(c.Value()) })
		r.On("cast", func(c *wsrouter.Context) error { return r.Emit("news", c.Value()) })
		r.On("volatile cast", func(c *wsrouter.Context) error { return r.Except().Volatile().Emit("news", c.Value()) })
		hold(r)
		r.On("ask", func(c *wsrouter.Context) error {
			var id, event string
			var ms int
			if err := c.Args(&id, &event, &ms); err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(c.Context(), time.Duration(ms)*time.Millisecond)
			defer cancel()
			for other := range r.Conns() {
				var answer any
				if other.ID() == id && other.Call(ctx, event, nil, &answer) == nil {
					return c.Reply(answer)
				}
			}
			return c.Reply(nil)
		}, wsrouter.Concurrent)
	}
	return router
}

// hold registers "hold", which is acked when "release" comes.
func hold(r *wsrouter.Router) {
	var mu sync.Mutex
	released := make(chan struct{})
	r.On("hold", func(c *wsrouter.Context) error {
		mu.Lock()
		wait := released
		mu.Unlock()
		select {
		case <-wait:
		case <-c.Context().Done():
		}
		return c.Reply("late")
	}, wsrouter.Concurrent)
	r.On("release", func(c *wsrouter.Context) error {
		mu.Lock()
		defer mu.Unlock()
		close(released)
		released = make(chan struct{})
		return nil
	})
}
