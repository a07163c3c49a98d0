package wsrouter

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"github.com/wsrouter/wsrouter/adapter"
	"github.com/wsrouter/wsrouter/internal/handshake"
	"github.com/wsrouter/wsrouter/internal/origin"
	"github.com/wsrouter/wsrouter/internal/sessions"
)

// admit checks whether a client may connect to this namespace: its Origin header
// (403), that there is room for another client (503) of that [Options.ClientKey]
// (429), and that the namespace is neither shutting down nor failed to initialize
// (503). It runs OnInit if nobody has yet, and waits for it for as long as the client
// does.
//
// A client that waits, or is let in, counts as a connection until newLink is called
// with the same request, or the request's context ends.
func (r *Router) admit(req *http.Request) *adapter.Refusal {
	r.app.checkRecovery()
	clients := r.app.sessions
	err := r.mayConnect(req)
	if err == nil {
		err = r.app.noRoom(clients.Hold(req, r.app.clientKey(req)))
	}
	if req.Context().Done() == nil { // of no server: nothing would end it
		defer clients.LetGo(req)
	}
	if err == nil && r.ready(req.Context()) != nil {
		clients.LetGo(req)
		err = refusal(http.StatusServiceUnavailable, "not available", RefusedInit)
	}
	if err != nil {
		r.app.refused(req, r.name, Refusal(err.Reason), err)
	}
	return err
}

func (r *Router) mayConnect(req *http.Request) *adapter.Refusal {
	switch {
	case !r.app.allowsOrigin(req):
		return refusal(http.StatusForbidden, "origin not allowed", RefusedOrigin)
	case handshake.Held(req) > maxRequest:
		return refusal(http.StatusRequestHeaderFieldsTooLarge, "request headers too large", RefusedRequest)
	case r.isClosing():
		return r.app.notAnyMore()
	case !r.app.take(serving):
		return notServing()
	}
	return nil
}

func notServing() *adapter.Refusal {
	return refusal(http.StatusServiceUnavailable, "this router dials and serves no clients", RefusedInit)
}

// ready says why the namespace has no connections. What it waits for is OnInit,
// which may wait for a network itself: ctx bounds it.
func (r *Router) ready(ctx context.Context) error {
	r.app.freeze()
	if r.app.broken != nil {
		return r.app.broken
	}
	return r.initialize(ctx.Done)
}

// allowsOrigin reports whether a page of the request's Origin may connect.
func (a *app) allowsOrigin(req *http.Request) bool {
	header := req.Header.Get("Origin")
	if header == "" {
		return !origin.Embedded(req.Header)
	}
	o := origin.Parse(header)
	for _, pattern := range a.origins {
		if pattern.Match(o) {
			return true
		}
	}
	if allow := a.opts.AllowOrigin; allow != nil {
		return allow(req)
	}
	return o.SameAs(req.Host, req.TLS != nil)
}

const maxRequest = 256 << 10 // bytes, as budget counts them

// noRoom is the refusal where there is no room for a client, nil where there is.
func (a *app) noRoom(outcome sessions.Outcome) *adapter.Refusal {
	switch outcome {
	case sessions.Full:
		return refusal(http.StatusServiceUnavailable, "too many connections", RefusedMaxConns)
	case sessions.ClientFull:
		return refusal(http.StatusTooManyRequests, "too many connections from you", RefusedClient)
	case sessions.Closed:
		return a.notAnyMore()
	}
	return nil
}

// notAnyMore is the refusal of a client that comes to what shuts down.
func (a *app) notAnyMore() *adapter.Refusal {
	r := refusal(http.StatusServiceUnavailable, "shutting down", RefusedShutdown)
	r.Code = a.opts.ShutdownCode
	return r
}

// clientKey returns whose connections are counted together; empty without a limit.
func (a *app) clientKey(req *http.Request) string {
	if a.opts.MaxConnsPerClient == unlimited {
		return ""
	}
	if a.opts.ClientKey != nil {
		return a.opts.ClientKey(req)
	}
	return sessions.ClientOf(req.RemoteAddr)
}

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
