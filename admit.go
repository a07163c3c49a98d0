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

// admit decides whether a client may connect to this namespace. It checks the Origin
// header (403), whether there is room for another client (503) and for another with the
// same [Options.ClientKey] (429), and that the namespace is neither shutting down nor
// failed to initialize (503). It runs OnInit if nobody has, and waits for it as long as
// the client waits.
//
// A client that is waiting or has been admitted counts as a connection until newLink is
// called with the same request, or the request's context ends.
func (r *Router) admit(req *http.Request) *adapter.Refusal {
	r.app.checkRecovery()
	clients := r.app.sessions
	err := r.mayConnect(req)
	if err == nil {
		err = r.app.noRoom(clients.Hold(req, r.app.clientKey(req)))
	}
	if req.Context().Done() == nil { // not from a server: nothing would end it
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

// ready returns an error if the namespace cannot have connections. It waits for OnInit,
// which may wait for a network; ctx bounds that.
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

const maxRequest = 256 << 10 // bytes, as counted by budget

// noRoom returns the refusal if there is no room for a client, otherwise nil.
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

// notAnyMore returns the refusal of a client that comes during a shutdown.
func (a *app) notAnyMore() *adapter.Refusal {
	r := refusal(http.StatusServiceUnavailable, "shutting down", RefusedShutdown)
	r.Code = a.opts.ShutdownCode
	return r
}

// clientKey returns the key by which connections are counted together; "" without a
// limit.
func (a *app) clientKey(req *http.Request) string {
	if a.opts.MaxConnsPerClient == unlimited {
		return ""
	}
	if a.opts.ClientKey != nil {
		return a.opts.ClientKey(req)
	}
	return sessions.ClientOf(req.RemoteAddr)
}

// Refusal is the reason why a client was not let in at all, or not into a namespace;
// see [Stats] and [Trace]. For each reason the log has at most one line a minute, about
// one client, with the number of others since the previous line. Adapters have further
// reasons; those of Socket.IO are in package socketio.
type Refusal string

// The reasons.
const (
	RefusedOrigin   Refusal = "origin"     // not allowed by Options.Origins
	RefusedMaxConns Refusal = "max_conns"  // Options.MaxConns is reached
	RefusedClient   Refusal = "max_client" // Options.MaxConnsPerClient is reached
	RefusedShutdown Refusal = "shutdown"
	RefusedInit     Refusal = "init"     // OnInit failed or has not returned in time, or the router is a client's DialOptions.Router
	RefusedUpgrade  Refusal = "upgrade"  // not a WebSocket handshake, or some middleware's ResponseWriter hides Hijack
	RefusedGuard    Refusal = "guard"    // OnConnect returned an error
	RefusedTimeout  Refusal = "timeout"  // Options.ConnectTimeout has passed
	RefusedOverflow Refusal = "overflow" // more than Options.OutboxBytes was emitted before OnConnect returned
	RefusedProtocol Refusal = "protocol" // the client violated the protocol, or a limit, before it was in a namespace

	// RefusedRequest is for a client whose request is too large to be kept while the
	// client is connected: its headers cost more than 256 KiB, counting 128 bytes for
	// each value plus its characters.
	RefusedRequest Refusal = "request"
)

func refusal(status int, text string, reason Refusal) *adapter.Refusal {
	return &adapter.Refusal{Status: status, Text: text, Reason: string(reason)}
}

// refused counts, logs and traces a client that is not let in. namespace is "" if it is
// not known; err may be nil.
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
	if a.side.Load() == int32(dialing) { // the server logs it
		level = slog.LevelDebug
	}
	a.opts.Logger.LogAttrs(req.Context(), level, "wsrouter: refused", attrs...)
}

// maxShown is how many bytes of a header are logged.
const maxShown = 128
