package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wsrouter/wsrouter"
	"github.com/wsrouter/wsrouter/wsroutertest"
)

func TestMain(m *testing.M) {
	slog.SetDefault(slog.New(slog.DiscardHandler))
	os.Exit(m.Run())
}

// inMemory runs a test of the table in both namespaces.
func inMemory(t *testing.T, fn func(t *testing.T, ns *wsrouter.Router, client *wsroutertest.Client)) {
	t.Helper()
	for _, path := range []string{"/", "/events"} {
		t.Run(path, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ns := newRouter(nil)
				if path != "/" {
					ns = ns.Namespace(path)
				}
				fn(t, ns, connect(t, ns))
			})
		})
	}
}

func connect(t *testing.T, ns *wsrouter.Router) *wsroutertest.Client {
	handlers := wsrouter.New(nil)
	handlers.On("question", func(c *wsrouter.Context) error { return c.Reply(c.Value()) })
	return wsroutertest.Connect(t, ns, &wsrouter.DialOptions{Router: handlers})
}

func failure(message, code string, data any) map[string]any {
	body := map[string]any{"status": "error", "message": message}
	if code != "" {
		body["code"] = code
	}
	if data != nil {
		body["data"] = data
	}
	return body
}

// TestTable sends each event and compares what comes back.
func TestTable(t *testing.T) {
	type event struct {
		name string
		data any
	}
	hidden := event{"exception", failure("Internal server error", "", nil)}
	empty := event{"exception", failure("数据不能为空！", "", nil)}
	object := map[string]any{"b": 1.5, "a": []any{"<x>", nil}}
	tests := []struct {
		event string
		args  []any
		want  []event
	}{
		{"events", []any{object}, []event{{"events", object}}},
		{"events", []any{""}, []event{empty}},
		{"events", []any{nil}, []event{empty}},
		{"events", nil, []event{empty}},
		{"id", []any{map[string]int{"id": 42}}, []event{{"id", 42}}},
		{"id", []any{map[string]int{"ID": 42}}, []event{{"exception", failure("id: expected a value, got nothing", "invalid", nil)}}},
		{"custom", []any{1}, []event{{"custom", "Hey there!"}, {"custom", 1}}},
		{"response", []any{"x"}, []event{{"events", "x"}}},
		{"numbers", nil, []event{{"events", 1}, {"events", 2}, {"events", 3}}},
		{"count", []any{map[string]int{"to": 3, "every_ms": 10}}, []event{{"count", 1}, {"count", 2}, {"count", 3}}},
		{"fail", nil, []event{{"exception", failure("not today", "E_FAIL", map[string]bool{"retry": true})}}},
		{"boom", nil, []event{hidden}},
		{"panic", nil, []event{hidden}},
		{"slow", []any{map[string]int{"ms": 50}}, []event{{"slow", "done"}}},
		{"ask", []any{"q"}, []event{{"ask", "q"}}},
		{"join", []any{"r"}, []event{{"join", []string{"r"}}}},
		{"leave", []any{"r"}, []event{{"leave", []string{}}}},
		{"say", []any{map[string]string{"room": "r", "text": "t"}}, nil},
		{"cast", []any{7}, []event{{"cast", 7}}},
	}
	for _, test := range tests {
		t.Run(fmt.Sprint(test.event, test.args), func(t *testing.T) {
			inMemory(t, func(t *testing.T, _ *wsrouter.Router, client *wsroutertest.Client) {
				require.NoError(t, client.Emit(test.event, test.args...))
				for _, want := range test.want {
					client.Expect(want.name, want.data)
				}
				client.ExpectNothing()
			})
		})
	}
}

func TestRooms(t *testing.T) {
	inMemory(t, func(t *testing.T, ns *wsrouter.Router, a *wsroutertest.Client) {
		b, outside := connect(t, ns), connect(t, ns)
		for _, room := range []string{"z", "r"} {
			require.NoError(t, a.Call(t.Context(), "join", room, nil))
			require.NoError(t, b.Call(t.Context(), "join", room, nil))
		}
		var rooms []string
		require.NoError(t, a.Call(t.Context(), "join", "a", &rooms))
		require.Equal(t, []string{"a", "r", "z"}, rooms)
		require.NoError(t, a.Call(t.Context(), "say", map[string]string{"room": "r", "text": "t"}, nil))
		b.Expect("said", "t")
		require.NoError(t, a.Emit("cast", "all"))
		for _, client := range []*wsroutertest.Client{a, b, outside} {
			client.Expect("cast", "all")
			client.ExpectNothing()
		}
	})
}

func TestWhoamiAndStats(t *testing.T) {
	inMemory(t, func(t *testing.T, _ *wsrouter.Router, client *wsroutertest.Client) {
		var id string
		require.NoError(t, client.Call(t.Context(), "whoami", nil, &id))
		require.Len(t, id, 20)
		require.NoError(t, client.Emit("count", map[string]int{"to": 0, "every_ms": 1000}))
		var stats struct{ Connections, Goroutines, Streams int }
		require.NoError(t, client.Call(t.Context(), "stats", nil, &stats))
		require.Equal(t, 1, stats.Connections)
		require.Equal(t, 1, stats.Streams)
		require.Positive(t, stats.Goroutines)
	})
}

func TestSlowIsCancelled(t *testing.T) {
	inMemory(t, func(t *testing.T, _ *wsrouter.Router, client *wsroutertest.Client) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		require.ErrorIs(t, client.Call(ctx, "slow", map[string]int{"ms": 3_600_000}, nil), context.DeadlineExceeded)
		begin := time.Now()
		require.NoError(t, client.Call(t.Context(), "whoami", nil, nil))
		require.Zero(t, time.Since(begin), "the handler has ended")
	})
}

func TestCloseAndRefuse(t *testing.T) {
	inMemory(t, func(t *testing.T, ns *wsrouter.Router, client *wsroutertest.Client) {
		require.NoError(t, client.Emit("close"))
		require.Equal(t, "bye", client.ExpectClose(4001).Reason)

		req, err := http.NewRequest("GET", "http://host/?refuse=1", nil)
		require.NoError(t, err)
		refused := wsroutertest.Connect(t, ns, &wsrouter.DialOptions{Request: req})
		require.Equal(t, "refused", refused.ExpectClose(1008).Reason)
	})
}

// TestRecovery checks that with -recovery a lost client gets its rooms and streams
// back.
func TestRecovery(t *testing.T) {
	for _, path := range []string{"/", "/events"} {
		synctest.Test(t, func(t *testing.T) {
			router := newRouter(&wsrouter.Options{Recovery: &wsrouter.Recovery{Window: 30 * time.Second}})
			ns := router
			if path != "/" {
				ns = router.Namespace(path)
			}
			client := wsroutertest.Connect(t, ns, &wsrouter.DialOptions{Reconnect: &wsrouter.Reconnect{Resume: true}})
			require.NoError(t, client.Call(t.Context(), "join", "r", nil))
			n := 0
			for i, err := range wsrouter.Pull[int](t.Context(), client, "count", map[string]int{"to": 10, "every_ms": 10}) {
				require.NoError(t, err)
				if n++; n == 5 {
					client.Abort()
				}
				require.Equal(t, n, i)
			}
			require.Equal(t, 10, n)
			require.NoError(t, client.Ready(t.Context()))
			var rooms []string
			require.NoError(t, client.Call(t.Context(), "join", "s", &rooms))
			require.Equal(t, []string{"r", "s"}, rooms)
			require.EqualValues(t, 1, router.Stats().Resumed)
			require.NoError(t, client.Close())
			require.NoError(t, router.Close())
		})
	}
}

// TestBodies checks that every row survives bodies of any shape.
func TestBodies(t *testing.T) {
	inMemory(t, func(t *testing.T, _ *wsrouter.Router, client *wsroutertest.Client) {
		events := strings.Fields("events id custom response numbers fail boom panic slow ask join leave say cast whoami stats")
		for _, event := range events {
			for _, body := range []string{`null`, `true`, `-1.5e3`, `"s"`, `[]`, `[[{}]]`, `{}`, `{"id":{"id":[]},"room":1,"ms":"x"}`} {
				err := client.Call(t.Context(), event, json.RawMessage(body), nil)
				if err != nil {
					var ws *wsrouter.WsError
					if event != "numbers" { // a stream
						require.ErrorAs(t, err, &ws, "%s %s", event, body)
					}
				}
			}
		}
	})
}
