package wsrouter

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	neturl "net/url"
	"strings"
	"time"

	"github.com/wsrouter/wsrouter/adapter"
	"github.com/wsrouter/wsrouter/internal/plain"
)

// This file is one attempt of a client to connect, whatever it connects over.

// greeting is what a client says of itself, anew at each attempt.
type greeting struct {
	header http.Header
	auth   adapter.Frame // zero without Auth
	until  time.Time     // the end of the attempt, where it is over a network
	lost   *Conn         // to come back to; nil if there is none
}

// connect is one attempt. ConnectTimeout bounds all of it: our Router's OnInit, the
// user's functions, resolving names, dialling, TLS, the answer and its body, which
// coder/websocket reads for 3 s at most. In memory only ctx bounds how long the
// server's OnInit may take.
func (c *Client) connect(ctx context.Context) (*Conn, error) {
	limit := c.opts.Router.app.opts.ConnectTimeout
	until := time.Now().Add(limit)
	limited, cancel := context.WithDeadline(ctx, until)
	defer cancel()
	g, err := c.greet(limited)
	if err != nil {
		return nil, tooLate(ctx, limit, err)
	}
	g.until, g.lost = until, c.lost
	conn, err := c.dial(ctx, g)
	return conn, tooLate(ctx, limit, err)
}

// tooLate says of an attempt that was given up that it was: ctx, which is the
// caller's, has not ended.
func tooLate(ctx context.Context, limit time.Duration, err error) error {
	if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
		return &dialError{fmt.Sprintf("no connection within %v (Options.ConnectTimeout)", limit), err}
	}
	return err
}

// greet does what needs no connection.
func (c *Client) greet(ctx context.Context) (g greeting, err error) {
	err = c.opts.Router.ready(ctx)
	switch {
	case err == errNotReady:
		return g, &dialError{"OnInit of DialOptions.Router has not returned", context.DeadlineExceeded}
	case err != nil:
		return g, &CloseError{Code: CloseTryAgainLater, Reason: "not available", Cause: CauseLocal, err: err}
	}
	if g.header = c.opts.Header; c.header.fn != nil {
		if g.header, err = c.header.call(ctx); err != nil {
			return g, &dialError{"header: " + err.Error(), err}
		}
	}
	if c.auth.fn == nil {
		return g, nil
	}
	auth, err := c.auth.call(ctx)
	if err == nil {
		g.auth, err = plain.AuthFrame(auth)
	}
	if err != nil {
		return g, &dialError{"auth: " + err.Error(), err}
	}
	return g, nil
}

// asked is a function of the user's that attempts ask, one after another.
type asked[T any] struct {
	fn      func(context.Context) (T, error)
	running chan answer[T] // a call that has not returned yet; nil if there is none
}

type answer[T any] struct {
	value T
	err   error
}

// call asks, and goes away when ctx ends first. What has not returned then is waited
// for before it is asked again: it never runs twice at a time. A panic is an error.
func (a *asked[T]) call(ctx context.Context) (T, error) {
	late := a.running != nil
	if !late {
		a.start(ctx)
	}
	select {
	case got := <-a.running:
		if a.running = nil; late {
			return a.call(ctx)
		}
		return got.value, got.err
	case <-ctx.Done():
		var none T
		return none, ctx.Err()
	}
}

func (a *asked[T]) start(ctx context.Context) {
	running := make(chan answer[T], 1)
	a.running = running
	go func() {
		got := answer[T]{err: errGoexit()}
		defer func() { running <- got }()
		var v T
		err := protect(func() (err error) { v, err = a.fn(ctx); return err })
		got = answer[T]{v, err}
	}()
}

// wait waits for what has not returned.
func (a *asked[T]) wait() {
	if a.running != nil {
		<-a.running
	}
}

// dialError is an attempt that failed before there was an answer.
type dialError struct {
	text string
	err  error
}

func (e *dialError) Error() string { return "wsrouter: dial: " + e.text }
func (e *dialError) Unwrap() error { return e.err }

// dialFailure tells why there is no WebSocket. It keeps what went wrong, without
// the layers that only say that it did, and without the URL: its query may be
// secret.
func dialFailure(err error, resp *http.Response) error {
	if resp != nil && resp.StatusCode != http.StatusSwitchingProtocols {
		text, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<10)) // is in memory by now
		return &StatusError{StatusCode: resp.StatusCode, Text: string(text)}
	}
	cause := err
	var request *neturl.Error
	if errors.As(err, &request) {
		cause = request.Err
	} else if inner := errors.Unwrap(err); inner != nil {
		cause = inner
	}
	return &dialError{strings.TrimPrefix(cause.Error(), "dial "), err}
}

// checkURL finds what no attempt could dial.
func checkURL(url string) error {
	u, err := neturl.Parse(url)
	var bad *neturl.Error
	switch {
	case errors.As(err, &bad):
		return &dialError{"bad URL: " + bad.Err.Error(), err}
	case u.Scheme != "ws" && u.Scheme != "wss" && u.Scheme != "http" && u.Scheme != "https":
		return &dialError{fmt.Sprintf("bad URL: scheme %q is none of ws, wss, http and https", u.Scheme), nil}
	case u.Host == "":
		return &dialError{"bad URL: no host", nil}
	}
	return nil
}

// StatusError is returned by [Dial] and [Router.Connect] when the server answers
// with an HTTP status instead of a connection.
type StatusError struct {
	StatusCode int
	Text       string // of the answer, at most 1 KB
}

func (e *StatusError) Error() string {
	return fmt.Sprintf("wsrouter: server answered %d %s: %s", e.StatusCode, http.StatusText(e.StatusCode), e.Text)
}

// statusError is a refusal as the side that dialed sees it.
func statusError(err error) error {
	var r *adapter.Refusal
	if errors.As(err, &r) {
		return &StatusError{r.Status, r.Text}
	}
	return err
}
