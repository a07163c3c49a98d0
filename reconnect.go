package wsrouter

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	neturl "net/url"
	"strings"
	"time"

	"github.com/wsrouter/wsrouter/adapter"
	"github.com/wsrouter/wsrouter/internal/closecode"
	"github.com/wsrouter/wsrouter/internal/plain"
)

// Reconnect says how a [Client] comes back after its connection was lost. The wait
// before the first attempt is between half of Min and Min, and doubles with every
// failed attempt, up to Max; the randomness keeps clients that were lost together from
// coming back together. After a connection that has lasted for Max or longer, attempts
// and waits start over. Negative Min and Max are like zero.
//
// A client does not come back
//
//   - after Close, or code 1000 (normal),
//   - after the codes 1002, 1003 and 1007 to 1010: it has broken a rule, and would do
//     so again,
//   - after the codes 4000 to 4499, with which applications say "stay away",
//   - if the server answers the handshake with 401 or 403.
//
// Its methods and [Client.Ready] then return the reason, see [Client]. Any other
// status, even 404, may come from a proxy whose server is being replaced; after it the
// client tries again, unless OnRetry ends that.
//
// OnConnect and OnDisconnect of DialOptions.Router run for each connection. In
// OnConnect tell the server what it must know about the client, such as what it
// watches, with [Conn.Call] and [Conn.Emit]; events that the server sends meanwhile
// are handled after OnConnect. If OnConnect takes longer than [Options.ConnectTimeout]
// or returns an error, for example from that Call, the connection ends. The client then
// comes back as if the connection had been lost, unless the error is a *[CloseError]
// with one of the codes above.
type Reconnect struct {
	Min time.Duration // zero means 500 ms
	Max time.Duration // zero means 30 s

	// First makes Dial and Connect repeat the first attempt, too, until there is a
	// connection or their ctx ends. Use it for a server that may not be up yet.
	// Otherwise they return the error of the first attempt.
	First bool

	// Resume asks the server for a connection that outlives the network, see
	// Options.Recovery. If the connection is lost and the client comes back in time,
	// both ends keep the same Conn, OnConnect does not run again, and open calls and
	// streams notice nothing. Until then Emit, Call and Pull queue what they send, up
	// to the limits in Options.Recovery of DialOptions.Router (if nil, its defaults),
	// and then wait. If the client does not come back in time, or the server cannot
	// resume, they all fail with the *CloseError of the loss, although some of it may
	// have arrived, and the client makes a new connection. With a server that has no
	// Recovery, Resume does nothing.
	Resume bool

	// OnRetry is called before each wait, with the number of the next attempt, counted
	// from 1, and the reason: a *[CloseError], a *[StatusError], or the error that kept
	// the client from getting an answer. It returns whether to continue. It must not
	// call Client.Close, which waits for it.
	OnRetry func(attempt int, wait time.Duration, err error) bool
}

func (r *Reconnect) withDefaults() *Reconnect {
	c := *r
	setDefault(&c.Min, 500*time.Millisecond, 500*time.Millisecond)
	setDefault(&c.Max, 30*time.Second, 30*time.Second)
	return &c
}

// wait returns how long to wait before an attempt.
func (r *Reconnect) wait(attempt int) time.Duration {
	d := r.Min
	for range attempt - 1 {
		if d *= 2; d >= r.Max {
			break
		}
	}
	d = min(d, r.Max)
	return d/2 + rand.N(d/2+1)
}

// keepConnected replaces each lost connection, until one ends for good.
func (c *Client) keepConnected() {
	defer func() { // user code whose context has ended
		c.header.Wait()
		c.auth.Wait()
		close(c.gone)
	}()
	for began := time.Now(); ; began = time.Now() {
		conn := c.Conn()
		lost := conn.awaitLoss()
		if time.Since(began) >= c.opts.Reconnect.Max {
			c.attempt = 0
		}
		c.lost = conn
		failed := conn.failedForNow()
		if failed && c.ctx.Err() == nil {
			c.opts.Router.app.opts.Logger.Warn("wsrouter: OnConnect of a client failed", "err", lost)
		}
		next, err := c.retry(c.ctx, lost, failed || comesBack(lost))
		if err != nil {
			c.giveUp(err, lost)
			conn.lapse(nil)
			return
		}
		if next != conn {
			c.lapsed.Go(func() { <-conn.ended.Done() }) // waits for handlers
		}
		c.mu.Lock()
		c.conn = next
		c.mu.Unlock()
		c.back.Happen()
		if c.ctx.Err() != nil { // Close may only have seen the connection before
			next.close(&CloseError{Code: CloseNormal, Cause: CauseLocal})
		}
	}
}

// awaitLoss waits until the connection has ended or is away, and returns how.
func (c *Conn) awaitLoss() error {
	var lost <-chan *CloseError
	if c.session != nil {
		lost = c.session.lost
	}
	for {
		select { // as long as it lives, see link.checkAlive
		case <-c.ended.Done():
			return c.gone()
		case ce := <-lost:
			if c.Away() { // otherwise it was away while it came back, and has come back again
				return ce
			}
		}
	}
}

// retry tries until there is a connection, ctx ends, or an error rules out further
// attempts. again says whether the first error, err, allows them.
func (c *Client) retry(ctx context.Context, err error, again bool) (*Conn, error) {
	r := c.opts.Reconnect
	for again && ctx.Err() == nil {
		c.attempt++
		wait := r.wait(c.attempt)
		if r.OnRetry != nil && !r.OnRetry(c.attempt, wait, err) {
			return nil, err
		}
		select { // at most Max
		case <-time.After(wait):
		case <-ctx.Done():
			return nil, fmt.Errorf("%w (%w)", err, ctx.Err())
		}
		conn, failed := c.connect(ctx)
		if failed == nil {
			return conn, nil
		}
		err, again = failed, comesBack(failed)
	}
	return nil, err
}

// comesBack reports whether another attempt makes sense after the error.
func comesBack(err error) bool {
	var ce *CloseError
	var status *StatusError
	switch {
	case errors.As(err, &ce):
		return ce.Cause == CauseTimeout || ce.Cause != CauseLocal && ce.Cause != CauseShutdown && !closecode.Final(ce.Code)
	case errors.As(err, &status):
		return status.StatusCode != http.StatusUnauthorized && status.StatusCode != http.StatusForbidden
	}
	return true
}

// failedForNow reports whether our own OnConnect has ended the connection, and not for
// good. If a server answers with an exception, for example because it is shutting down,
// the next attempt may succeed.
func (c *Conn) failedForNow() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.guard != guardRefused || c.ce.Cause != CauseLocal {
		return false
	}
	var answer *WsError
	return !closecode.Final(c.ce.Code) || c.ce.Code == ClosePolicy && errors.As(c.ce.err, &answer)
}

// gaveUp says why a client does not come back, and how its last connection ended.
type gaveUp struct{ reason, lost error }

func (e *gaveUp) Error() string {
	return "wsrouter: gave up: " + strings.TrimPrefix(e.reason.Error(), "wsrouter: ")
}

func (e *gaveUp) Unwrap() []error { return []error{e.reason, e.lost} }

// giveUp records why there will be no more connections. If our side wanted that, there
// is nothing more to say.
func (c *Client) giveUp(reason, lost error) {
	if c.ctx.Err() != nil {
		return
	}
	err := reason
	var ce *CloseError
	if !errors.As(reason, &ce) || ce.Cause != CauseLocal && ce.Cause != CauseShutdown {
		err = &gaveUp{reason, lost}
		c.opts.Router.app.opts.Logger.Warn("wsrouter: client gave up", "err", reason)
	}
	c.mu.Lock()
	c.err = err
	c.mu.Unlock()
}

// explain replaces the end of a connection by the reason why there will be no other.
func (c *Client) explain(err error) error {
	var ce *CloseError
	if err == nil || !errors.As(err, &ce) {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return c.err
	}
	return err
}

// Ready waits until the client is connected, and returns nil. It returns ctx's error if
// ctx ends first, or the reason why the client does not come back.
func (c *Client) Ready(ctx context.Context) error {
	for {
		back := c.back.Next()
		conn := c.Conn()
		err := conn.gone()
		if err == nil && !conn.Away() {
			return nil
		}
		if c.gone == nil {
			return err
		}
		select {
		case <-back:
		case <-c.gone:
			return c.explain(c.Conn().gone())
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// greeting is how a client introduces itself; it is made anew for each attempt.
type greeting struct {
	header http.Header
	auth   adapter.Frame // zero without Auth
	until  time.Time     // the end of the attempt, if it is over a network
	lost   *Conn         // the connection to resume; nil if there is none
}

// connect makes one attempt. ConnectTimeout bounds all of it: OnInit of our Router, the
// user's functions, DNS, dialing, TLS, and the answer with its body, which
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

// tooLate replaces the error of an attempt that took too long, unless ctx, which is the
// caller's, has ended.
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
	if g.header = c.opts.Header; c.header.Fn != nil {
		if g.header, err = c.header.Call(ctx); noTypedNil(err) != nil {
			return g, &dialError{"header: " + err.Error(), err}
		}
	}
	if c.auth.Fn == nil {
		return g, nil
	}
	auth, err := c.auth.Call(ctx)
	if err = noTypedNil(err); err == nil {
		g.auth, err = plain.AuthFrame(auth)
	}
	if err != nil {
		return g, &dialError{"auth: " + err.Error(), err}
	}
	return g, nil
}

// dialError is the error of an attempt that failed before there was an answer.
type dialError struct {
	text string
	err  error
}

func (e *dialError) Error() string { return "wsrouter: dial: " + e.text }
func (e *dialError) Unwrap() error { return e.err }

// dialFailure says why there is no WebSocket. It keeps the cause, and drops the layers
// that merely say that something failed, and the URL, whose query may be secret.
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

// checkURL rejects URLs that no attempt could dial.
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

// StatusError is returned by [Dial] and [Router.Connect] if the server answers with an
// HTTP status instead of a connection.
type StatusError struct {
	StatusCode int
	Text       string // of the body, at most 1 KB
}

// Error returns the status and the text.
func (e *StatusError) Error() string {
	return fmt.Sprintf("wsrouter: server answered %d %s: %s", e.StatusCode, http.StatusText(e.StatusCode), e.Text)
}

// statusError returns a refusal in the form that the side that dialed sees.
func statusError(err error) error {
	var r *adapter.Refusal
	if errors.As(err, &r) {
		return &StatusError{r.Status, r.Text}
	}
	return err
}
