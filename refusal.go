package wsrouter

import (
	"log/slog"
	"net/http"
	"time"

	"github.com/wsrouter/wsrouter/adapter"
)

// Refusal is why a client was not let in, or into a namespace, see [Stats] and
// [Trace]. The log has one line a minute for each, with the client that it is
// written for, and how many more there were since the line before. Adapters have
// more: those of Socket.IO are in package socketio.
type Refusal string

// The refusals.
const (
	RefusedOrigin   Refusal = "origin"     // Options.Origins does not have it
	RefusedMaxConns Refusal = "max_conns"  // Options.MaxConns are there
	RefusedClient   Refusal = "max_client" // Options.MaxConnsPerClient are there
	RefusedShutdown Refusal = "shutdown"
	RefusedInit     Refusal = "init"     // OnInit failed or was not waited for, or the router dials
	RefusedUpgrade  Refusal = "upgrade"  // no WebSocket handshake, or a ResponseWriter in front hides Hijack
	RefusedGuard    Refusal = "guard"    // OnConnect returned an error
	RefusedTimeout  Refusal = "timeout"  // Options.ConnectTimeout was over
	RefusedOverflow Refusal = "overflow" // what was emitted before OnConnect returned exceeds Options.OutboxBytes
	RefusedProtocol Refusal = "protocol" // it broke the protocol, or a limit, before it was in a namespace

	// RefusedRequest is that of a client whose request cannot be kept for as long
	// as it is connected: its headers hold more than 256 KiB, at 128 bytes for
	// each value besides its letters.
	RefusedRequest Refusal = "request"
)

func refusal(status int, text string, reason Refusal) *adapter.Refusal {
	return &adapter.Refusal{Status: status, Text: text, Reason: string(reason)}
}

// refused counts, logs and traces that a client is not let in; the namespace is
// empty where that is not known, err may be nil.
func (a *app) refused(req *http.Request, namespace string, reason Refusal, err error) {
	show, more := a.counters.refusals.Add(reason, time.Now())
	if show {
		a.logRefusal(req, namespace, reason, err, more)
	}
	if t := a.opts.Trace; t.Refuse != nil {
		a.trace(func() { t.Refuse(req, reason, err) })
	}
}

func (a *app) logRefusal(req *http.Request, namespace string, reason Refusal, err error, more int64) {
	attrs := []slog.Attr{slog.String("reason", string(reason)), slog.String("host", truncate(req.Host, maxShown))}
	if origin := req.Header.Get("Origin"); origin != "" {
		attrs = append(attrs, slog.String("origin", truncate(origin, maxShown)))
	}
	if namespace != "" {
		attrs = append(attrs, slog.String("namespace", namespace))
	}
	if err != nil {
		attrs = append(attrs, slog.Any("err", err))
	}
	if more > 0 {
		attrs = append(attrs, slog.Int64("more", more))
	}
	level := slog.LevelInfo
	if a.side.Load() == int32(dialing) { // the server has its line
		level = slog.LevelDebug
	}
	a.opts.Logger.LogAttrs(req.Context(), level, "wsrouter: refused", attrs...)
}

// maxShown is how many bytes of a header are logged.
const maxShown = 128
