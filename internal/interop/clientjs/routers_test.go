package clientjs

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wsrouter/wsrouter"
)

// mountRouters mounts what the gateway does not have, at /own and at /auth, where
// the first frame must be auth: close codes, a producer that counts, and how the
// server sees a connection begin and end.
func mountRouters(t *testing.T, mux *http.ServeMux) {
	t.Helper()
	opts := &wsrouter.Options{
		Logger:  slog.New(slog.DiscardHandler),
		Origins: []string{"127.0.0.1:*"}, // the page also comes over the line
	}
	own, auth := wsrouter.New(opts), wsrouter.New(opts)
	register(own)
	register(auth)
	mux.Handle("/own", own)
	mux.Handle("/auth", auth.Handler(&wsrouter.WSOptions{AuthFrame: true}))
	t.Cleanup(func() {
		require.NoError(t, errors.Join(own.Close(), auth.Close()))
	})
}

type closing struct {
	ID     string `json:"id,omitempty"`
	Code   int    `json:"code"`
	Reason string `json:"reason"`
}

func register(router *wsrouter.Router) {
	ends := make(chan closing, 1000)
	router.OnDisconnect(func(_ context.Context, c *wsrouter.Conn, ce *wsrouter.CloseError) {
		ends <- closing{c.ID(), ce.Code, ce.Reason}
	})
	// ended replies how a connection ended, once it has.
	wsrouter.Handle(router, "ended", func(c *wsrouter.Context, id string) (closing, error) {
		for {
			select {
			case end := <-ends:
				if end.ID == id {
					return closing{Code: end.Code, Reason: end.Reason}, nil
				}
			case <-c.Context().Done():
				return closing{}, context.Cause(c.Context())
			}
		}
	})
	router.On("close", func(c *wsrouter.Context) error {
		var in closing
		if err := c.Bind(&in); err != nil {
			return err
		}
		return c.Conn().Close(in.Code, in.Reason)
	})
	router.On("whoami", func(c *wsrouter.Context) error { return c.Reply(c.Conn().ID()) })
	wsrouter.Handle(router, "meta", func(c *wsrouter.Context, key string) (string, error) { return c.Meta(key), nil })
	// ask meta asks the client in turn, with the context of the event.
	router.On("ask meta", func(c *wsrouter.Context) error {
		return errors.Join(c.Emit("asked"), c.Conn().Call(c.Context(), "asked", nil, nil))
	})
	router.On("auth", func(c *wsrouter.Context) error {
		var auth json.RawMessage
		if err := c.Conn().Auth(&auth); err != nil {
			return err
		}
		return c.Reply(auth)
	})
	registerProducer(router)
}

// registerProducer streams the numbers from 1 up and counts those that the newest
// stream made; one before may not know yet that it was canceled.
func registerProducer(router *wsrouter.Router) {
	var newest atomic.Pointer[atomic.Int64]
	newest.Store(new(atomic.Int64))
	router.On("produce", func(c *wsrouter.Context) error {
		produced := new(atomic.Int64)
		newest.Store(produced)
		return wsrouter.StreamSeq(c, func(yield func(int64, error) bool) {
			for yield(produced.Add(1), nil) {
			}
		})
	})
	router.On("produced", func(c *wsrouter.Context) error { return c.Reply(newest.Load().Load()) })
}
