package suite_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wsrouter/wsrouter"
	"github.com/wsrouter/wsrouter/wsroutertest"
)

// lines is a log.
type lines struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) logger() *slog.Logger { return slog.New(traceHandler{slog.NewTextHandler(l, nil)}) }

// with returns the lines that have all of the parts.
func (l *lines) with(parts ...string) (found []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
next:
	for line := range strings.Lines(l.text.String()) {
		for _, part := range parts {
			if !strings.Contains(line, part) {
				continue next
			}
		}
		found = append(found, line)
	}
	return found
}

// traceHandler adds the trace that a context carries.
type traceHandler struct{ slog.Handler }

func (h traceHandler) Handle(ctx context.Context, r slog.Record) error {
	if trace, ok := ctx.Value(ctxKey{}).(string); ok {
		r.AddAttrs(slog.String("trace", trace))
	}
	return h.Handler.Handle(ctx, r)
}

func (h traceHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return traceHandler{h.Handler.WithAttrs(attrs)}
}

// foreign are ends of other connections and contexts.
var foreign = map[string]func(*testing.T) error{
	"another connection's end": func(t *testing.T) error {
		upstream := wsrouter.New(nil)
		upstream.On("ask", func(c *wsrouter.Context) error { return c.Conn().Close(1000, "idle") })
		client, err := upstream.Connect(context.Background(), nil)
		require.NoError(t, err)
		err = client.Call(context.Background(), "ask", nil, nil)
		var ce *wsrouter.CloseError
		require.ErrorAs(t, err, &ce)
		require.Equal(t, 1000, ce.Code)
		return fmt.Errorf("ask: %w", err)
	},
	"another context's end": func(*testing.T) error {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		return ctx.Err()
	},
}

// TestForeignEnds: a handler that fails with the end of another connection or context
// has failed, whatever the error's type, even if that ends its stream.
func TestForeignEnds(t *testing.T) {
	for name, fail := range foreign {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				log := &lines{}
				var outcomes []string
				router := wsrouter.New(&wsrouter.Options{Logger: log.logger(), Trace: &wsrouter.Trace{
					EventEnd: func(c *wsrouter.Context, _ time.Duration, err error) { outcomes = append(outcomes, c.Outcome(err)) },
				}})
				router.On("fail", func(*wsrouter.Context) error { return fail(t) })
				router.On("stream", func(c *wsrouter.Context) error {
					return wsrouter.StreamSeq(c, func(yield func(int, error) bool) { yield(0, fail(t)) })
				})
				client := wsroutertest.Connect(t, router, nil)
				for _, event := range []string{"fail", "stream"} {
					require.ErrorContains(t, client.Call(t.Context(), event, nil, nil), "Internal server error")
				}
				require.EqualValues(t, 2, router.Stats().Errors)
				require.Len(t, log.with("level=ERROR", "wsrouter: handler failed"), 2)
				require.Equal(t, []string{"internal", "internal"}, outcomes)
			})
		})
	}
}

// TestOutcome: it distinguishes a client's mistake, a client that has left, and a
// failure of ours.
func TestOutcome(t *testing.T) {
	tests := []struct {
		name    string
		handler wsrouter.HandlerFunc
		end     func(*wsroutertest.Client)
		want    string
		errors  int64
	}{
		{"none", noop, nil, "", 0},
		{"nil pointer", func(*wsrouter.Context) error { var e *wsrouter.WsError; return e }, nil, "", 0},
		{"mistake", func(*wsrouter.Context) error { return wsrouter.NewError("no") }, nil, "error", 0},
		{"code", func(*wsrouter.Context) error { return wsrouter.NewError("no").WithCode("taken") }, nil, "taken", 0},
		{"code and cause", func(*wsrouter.Context) error {
			return wsrouter.NewError("no").WithCode("taken").WithCause(errors.New("x"))
		}, nil, "taken", 1},
		{"shape", func(c *wsrouter.Context) error { var n int; return c.Bind(&n) }, nil, "invalid", 0},
		{"unknown", func(*wsrouter.Context) error { return errors.New("x") }, nil, "internal", 1},
		{"panic", func(*wsrouter.Context) error { panic(wsrouter.NewError("no")) }, nil, "internal", 0},
		{"time", func(c *wsrouter.Context) error { <-c.Context().Done(); return c.Context().Err() }, nil, "timeout", 1},
		{"left", func(c *wsrouter.Context) error {
			<-c.Context().Done()
			return fmt.Errorf("query: %w", c.Context().Err())
		}, func(client *wsroutertest.Client) { client.Abort() }, "gone", 0},
		{"left and told", func(c *wsrouter.Context) error { <-c.Context().Done(); return c.Emit("x") },
			func(client *wsroutertest.Client) { client.Abort() }, "gone", 0},
		{"closed by us", func(c *wsrouter.Context) error { c.Conn().Close(4001, ""); return c.Emit("x") }, nil, "gone", 0},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				outcomes := make(chan string, 1)
				router := wsrouter.New(&wsrouter.Options{HandlerTimeout: time.Minute, Trace: &wsrouter.Trace{
					EventEnd: func(c *wsrouter.Context, _ time.Duration, err error) { outcomes <- c.Outcome(err) },
				}})
				router.On("e", test.handler)
				client := wsroutertest.Connect(t, router, nil)
				client.Emit("e", "text")
				if test.end != nil {
					synctest.Wait()
					test.end(client)
				}
				require.Equal(t, test.want, <-outcomes)
				synctest.Wait()
				require.Equal(t, test.errors, router.Stats().Errors)
			})
		})
	}
}

// TestOutcomeOfCancel: a client that cancels has made no mistake, and neither have we.
func TestOutcomeOfCancel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		outcomes := make(chan string, 1)
		router := newRouter()
		router.On("e", func(c *wsrouter.Context) error {
			<-c.Context().Done()
			err := c.Context().Err()
			outcomes <- c.Outcome(err)
			return err
		})
		client := wsroutertest.Connect(t, router, nil)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		require.ErrorIs(t, client.Call(ctx, "e", nil, nil), context.DeadlineExceeded)
		require.Equal(t, wsrouter.CodeCanceled, <-outcomes)
		require.Zero(t, router.Stats().Errors)
	})
}

// TestFailuresCarryTheirContext: a slog.Handler finds the trace that middleware has
// put into the handler's context.
func TestFailuresCarryTheirContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := &lines{}
		router := wsrouter.New(&wsrouter.Options{Logger: log.logger()})
		router.Use(func(next wsrouter.HandlerFunc) wsrouter.HandlerFunc {
			return func(c *wsrouter.Context) error {
				return next(c.WithContext(context.WithValue(c.Context(), ctxKey{}, "trace-"+c.Event())))
			}
		})
		router.On("fail", func(*wsrouter.Context) error { return errors.New("x") })
		router.On("panic", func(*wsrouter.Context) error { panic("x") })
		router.On("odd", func(*wsrouter.Context) error { return wsrouter.NewError("x").WithData(func() {}) })
		client := wsroutertest.Connect(t, router, nil)
		for _, event := range []string{"fail", "panic", "odd"} {
			require.Error(t, client.Call(t.Context(), event, nil, nil))
			require.Len(t, log.with("level=ERROR", "event="+event, "trace=trace-"+event), 1, event)
		}
	})
}
