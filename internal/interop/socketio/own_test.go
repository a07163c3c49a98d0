package socketio

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wsrouter/wsrouter"
	"github.com/wsrouter/wsrouter/internal/interop/process"
	"github.com/wsrouter/wsrouter/socketio"
)

// TestOwnServer plays node/own.mjs: bytes, auth, refusals and goodbyes.
func TestOwnServer(t *testing.T) {
	for _, client := range clients {
		process.Need(t, process.NPM(client))
		for _, transport := range transports {
			t.Run(client+" "+transport, func(t *testing.T) {
				t.Parallel()
				url := serveOwn(t, newOwnRouter())
				report(t, process.Node(t, "play.mjs", "own", client, transport, url, "/"))
			})
		}
	}
}

// serveOwn serves a router as the gateway does. Its clients must have disconnected
// before the test ends.
func serveOwn(t *testing.T, router *wsrouter.Router) (url string) {
	t.Helper()
	mux := http.NewServeMux()
	mux.Handle("/ws", router)
	h := socketio.New(router, nil)
	mux.Handle("/socket.io/", h)
	mux.Handle("/socket.io", h)
	server := httptest.NewServer(mux)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), process.Limit(t))
		defer cancel()
		require.NoError(t, errors.Join(router.Shutdown(ctx), server.Config.Shutdown(ctx)))
	})
	return server.URL
}

func newOwnRouter() *wsrouter.Router {
	router := wsrouter.New(&wsrouter.Options{Logger: slog.New(slog.NewTextHandler(io.Discard, nil))})
	echo := func(c *wsrouter.Context) error {
		var v any
		if err := c.Bind(&v); err != nil {
			return err
		}
		return c.Reply(v)
	}
	router.On("echo", echo)
	router.On("events", echo)
	router.On("size", func(c *wsrouter.Context) error {
		var name string
		var file []byte
		if err := c.Args(&name, &file); err != nil {
			return err
		}
		return c.Reply([]any{name, len(file)})
	})
	router.On("several", func(c *wsrouter.Context) error {
		var list []any
		if err := c.Bind(&list); err != nil {
			return err
		}
		return c.Reply(wsrouter.Args(list))
	})
	router.On("ask several", func(c *wsrouter.Context) error {
		var list, answer []any
		if err := c.Bind(&list); err != nil {
			return err
		}
		if err := c.Conn().Call(c.Context(), "questions", wsrouter.Args(list), &answer); err != nil {
			return err
		}
		return c.Reply(wsrouter.Args(answer))
	})
	router.On("which", func(c *wsrouter.Context) error {
		var a, b any = "none", "none"
		if err := c.Args(&a, &b); err != nil {
			return err
		}
		return c.Reply(wsrouter.Args{a, b})
	})
	router.On("ask", func(c *wsrouter.Context) error {
		var v, answer any
		if err := c.Bind(&v); err != nil {
			return err
		}
		if err := c.Conn().Call(c.Context(), "question", v, &answer); err != nil {
			return err
		}
		return c.Reply(answer)
	})
	router.On("ask all", func(c *wsrouter.Context) error {
		var ids []string
		var v any
		if err := c.Args(&ids, &v); err != nil {
			return err
		}
		answers, err := router.To(ids...).Call(c.Context(), "question", v)
		list := make([]any, len(answers))
		for i, a := range answers {
			err = errors.Join(err, a.Bind(&list[i]))
		}
		if err != nil {
			return err
		}
		return c.Reply(list)
	})
	router.On("cast", func(c *wsrouter.Context) error {
		var v any
		if err := c.Bind(&v); err != nil {
			return err
		}
		return router.Emit("cast", v)
	})
	router.On("watch", func(c *wsrouter.Context) error {
		var id string
		if err := c.Bind(&id); err != nil {
			return err
		}
		if err := c.Join("watchers of " + id); err != nil {
			return err
		}
		return c.Reply(true)
	})
	router.On("kick", func(c *wsrouter.Context) error {
		var id string
		if err := c.Bind(&id); err != nil {
			return err
		}
		if err := router.To(id).Disconnect(4001, "kicked"); err != nil {
			return err
		}
		return c.Reply(true)
	})
	router.OnDisconnect(func(_ context.Context, c *wsrouter.Conn, err *wsrouter.CloseError) {
		router.To("watchers of "+c.ID()).Emit("left", map[string]string{"id": c.ID(), "cause": err.Cause.String()})
	})

	router.On("move", func(c *wsrouter.Context) error { return c.Conn().Close(1012, "moved") })
	router.On("move by id", func(c *wsrouter.Context) error {
		return router.To(c.Conn().ID()).Disconnect(1012, "moved")
	})
	router.On("hang up", func(c *wsrouter.Context) error {
		var id string
		if err := c.Bind(&id); err != nil {
			return err
		}
		if err := router.To(id).DisconnectTransport(4001, "hung up"); err != nil {
			return err
		}
		return c.Reply(true)
	})

	guarded := router.Namespace("/guarded")
	guarded.On("events", echo)
	var seen sync.Map // by name, who has connected before
	guarded.OnConnect(func(c *wsrouter.Conn) error {
		var auth struct{ Token, Name string }
		if err := c.Auth(&auth); err != nil {
			return err
		}
		if _, again := seen.LoadOrStore(auth.Token+auth.Name, true); !again {
			switch auth.Token {
			case "crash":
				return errors.New("secret")
			case "late":
				<-c.Context().Done()
				return nil
			case "1011", "1012", "1013":
				code, _ := strconv.Atoi(auth.Token)
				return &wsrouter.CloseError{Code: code}
			}
		}
		if auth.Token != "bad" && auth.Token != "" {
			return c.Emit("welcome", auth.Name)
		}
		return wsrouter.NewError("who are you?").WithData(map[string]any{"name": auth.Name, "tries": []int{1, 2}})
	})
	return router
}
