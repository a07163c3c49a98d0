package recipes

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wsrouter/wsrouter"
	"github.com/wsrouter/wsrouter/wsroutertest"
)

// addFailures registers an event for each way in which one can end.
func addFailures(router *wsrouter.Router) {
	router.On("fine", func(*wsrouter.Context) error { return nil })
	router.On("mistake", func(*wsrouter.Context) error { return wsrouter.NewError("no such room") })
	router.On("full", func(*wsrouter.Context) error { return wsrouter.NewError("full").WithCode("E_FULL") })
	router.On("caused", func(*wsrouter.Context) error { return wsrouter.NewError("later").WithCause(errors.New("disk full")) })
	router.On("ours", func(*wsrouter.Context) error { return errors.New("disk full") })
	router.On("panic", func(*wsrouter.Context) error { panic("oops") })
	router.On("wait", func(c *wsrouter.Context) error {
		<-c.Context().Done()
		return c.Context().Err()
	})
}

func TestMetrics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var metrics Metrics
		router := wsrouter.New(&wsrouter.Options{Trace: metrics.Trace()})
		addFailures(router)
		router.On("slow", func(*wsrouter.Context) error { time.Sleep(3 * time.Second); return nil })
		client := wsroutertest.Connect(t, router, nil)
		for _, event := range []string{"fine", "fine", "mistake", "full", "ours", "panic", "slow", "unknown"} {
			client.Call(t.Context(), event, nil, nil)
		}
		vars := metrics.Vars(router)
		var got struct {
			Events  map[string]int
			Seconds map[string]float64
			Closed  map[string]int
			Stats   wsrouter.Stats
		}
		read := func() {
			t.Helper()
			require.NoError(t, json.Unmarshal([]byte(vars.String()), &got))
		}
		read()
		require.Equal(t, map[string]int{
			"fine ok": 2, "mistake error": 1, "full E_FULL": 1, "ours internal": 1, "panic internal": 1, "slow ok": 1,
		}, got.Events)
		require.Equal(t, 3.0, got.Seconds["slow"])
		require.Equal(t, 1, got.Stats.Connections)
		require.Empty(t, got.Closed)

		client.Emit("wait")
		synctest.Wait()
		client.Abort()
		synctest.Wait()
		read()
		require.Equal(t, 1, got.Events["wait gone"])
		require.Equal(t, map[string]int{"peer": 1}, got.Closed)
		require.Zero(t, got.Stats.Connections)
	})
}

// line is what the log says about one event.
type line struct {
	Level, Event, Msg, Outcome string
	Trace                      string `json:"trace_id"`
}

// lines returns the lines of the log about events.
func lines(t *testing.T, log *bytes.Buffer) (all []line) {
	t.Helper()
	for decoder := json.NewDecoder(log); decoder.More(); {
		var l line
		require.NoError(t, decoder.Decode(&l))
		if l.Event != "" {
			all = append(all, l)
		}
	}
	return all
}

func jsonLog(log *bytes.Buffer) slog.Handler {
	return slog.NewJSONHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug})
}

func TestLogMistakes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		router := wsrouter.New(&wsrouter.Options{Logger: slog.New(jsonLog(&log))})
		router.Use(LogMistakes)
		addFailures(router)
		client := wsroutertest.Connect(t, router, nil)
		for _, event := range []string{"fine", "mistake", "full", "caused", "ours", "panic"} {
			client.Call(t.Context(), event, nil, nil)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		client.Call(ctx, "wait", nil, nil) // is canceled
		client.Emit("wait")
		synctest.Wait()
		client.Abort()
		synctest.Wait()
		require.Equal(t, []line{
			{Level: "WARN", Event: "mistake", Msg: "event failed", Outcome: "error"},
			{Level: "WARN", Event: "full", Msg: "event failed", Outcome: "E_FULL"},
			{Level: "WARN", Event: "caused", Msg: "event failed", Outcome: "error"},
			{Level: "ERROR", Event: "caused", Msg: "wsrouter: handler failed"},
			{Level: "ERROR", Event: "ours", Msg: "wsrouter: handler failed"},
			{Level: "ERROR", Event: "panic", Msg: "wsrouter: handler panicked"},
			{Level: "DEBUG", Event: "wait", Msg: "event failed", Outcome: "canceled"},
			{Level: "DEBUG", Event: "wait", Msg: "event failed", Outcome: "gone"},
		}, lines(t, &log))
	})
}

func TestTracing(t *testing.T) {
	const trace = "4bf92f3577b34da6a3ce929d0e0e4736"
	tests := map[string]string{
		"00-" + trace + "-00f067aa0ba902b7-01": trace,
		"":                                     "",
		"00-" + trace + "-00f067aa0ba902b7-01 and more":  "",
		"00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa-1": "",
	}
	for header, want := range tests {
		synctest.Test(t, func(t *testing.T) {
			var log bytes.Buffer
			router := wsrouter.New(&wsrouter.Options{Logger: slog.New(TraceLogs{jsonLog(&log)})})
			router.Use(Tracing)
			addFailures(router)
			router.On("own", func(c *wsrouter.Context) error {
				c.Logger().InfoContext(c.Context(), "hello")
				return nil
			})
			client := wsroutertest.Connect(t, router, &wsrouter.DialOptions{Header: http.Header{"Traceparent": {header}}})
			client.Call(t.Context(), "ours", nil, nil)
			client.Call(t.Context(), "own", nil, nil)
			require.Equal(t, []line{
				{Level: "ERROR", Event: "ours", Msg: "wsrouter: handler failed", Trace: want},
				{Level: "INFO", Event: "own", Msg: "hello", Trace: want},
			}, lines(t, &log), header)

			log.Reset()
			const other = "0af7651916cd43dd8448eb211c80319c"
			client.Call(wsrouter.WithMeta(t.Context(), "traceparent", "00-"+other+"-b7ad6b7169203331-01"), "own", nil, nil)
			require.Equal(t, []line{{Level: "INFO", Event: "own", Msg: "hello", Trace: other}}, lines(t, &log), "an event's own trace takes precedence")
		})
	}
}
