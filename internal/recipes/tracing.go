package recipes

import (
	"cmp"
	"context"
	"log/slog"
	"regexp"

	"github.com/wsrouter/wsrouter"
)

type traceKey struct{}

var traceparent = regexp.MustCompile(`^00-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}$`)

// Tracing is middleware that puts an event's trace into its context: the trace in
// its meta, or else that of the handshake.
func Tracing(next wsrouter.HandlerFunc) wsrouter.HandlerFunc {
	return func(c *wsrouter.Context) error {
		parent := cmp.Or(c.Meta("traceparent"), c.Request().Header.Get("Traceparent"))
		found := traceparent.FindStringSubmatch(parent)
		if found == nil {
			return next(c)
		}
		return next(c.WithContext(context.WithValue(c.Context(), traceKey{}, found[1])))
	}
}

// TraceLogs is a slog.Handler that adds the trace of the context to each line.
type TraceLogs struct{ slog.Handler }

// Handle implements [slog.Handler].
func (h TraceLogs) Handle(ctx context.Context, r slog.Record) error {
	if id, ok := ctx.Value(traceKey{}).(string); ok {
		r.AddAttrs(slog.String("trace_id", id))
	}
	return h.Handler.Handle(ctx, r)
}

// WithAttrs implements [slog.Handler]. Without it, lines of a Logger.With would
// have no trace.
func (h TraceLogs) WithAttrs(attrs []slog.Attr) slog.Handler {
	return TraceLogs{h.Handler.WithAttrs(attrs)}
}

// WithGroup implements [slog.Handler].
func (h TraceLogs) WithGroup(name string) slog.Handler { return TraceLogs{h.Handler.WithGroup(name)} }
