package recipes

import (
	"log/slog"

	"github.com/wsrouter/wsrouter"
)

// LogMistakes is middleware that logs the errors that clients are told.
func LogMistakes(next wsrouter.HandlerFunc) wsrouter.HandlerFunc {
	return func(c *wsrouter.Context) error {
		err := next(c)
		level := slog.LevelWarn
		outcome := c.Outcome(err)
		switch outcome {
		case "", wsrouter.OutcomeInternal:
			return err
		case wsrouter.OutcomeGone, wsrouter.CodeCanceled, wsrouter.CodeShutdown:
			level = slog.LevelDebug // nobody made a mistake
		}
		c.Logger().Log(c.Context(), level, "event failed", "outcome", outcome, "err", err)
		return err
	}
}
