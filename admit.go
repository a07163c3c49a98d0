package wsrouter

import (
	"context"
	"net/http"

	"github.com/wsrouter/wsrouter/adapter"
	"github.com/wsrouter/wsrouter/internal/budget"
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
	case budget.Request(req) > maxRequest:
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
	return r.initialize(ctx.Done())
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
