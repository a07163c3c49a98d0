package wsrouter

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/http"
	"time"
)

// Reconnect says how a [Client] comes back when its connection is lost. The wait
// before the first attempt is somewhere between half of Min and Min, and doubles
// with every attempt that fails, up to Max; so clients that were lost together
// do not come back together. A connection that has lasted for Max starts anew.
//
// A client does not come back after Close, after the codes 1000 (normal), 1002,
// 1003, 1007 to 1010 (it broke a rule, and would again) and 4000 to 4499 (the
// application's for "stay away"), and when the server answers the handshake with
// a status from 400 to 499, other than 408, 425 and 429. [Client.Ready] then
// returns why.
//
// DialOptions.Router's OnConnect and OnDisconnect run for each connection.
type Reconnect struct {
	Min time.Duration // zero is 500 ms
	Max time.Duration // zero is 30 s

	// OnRetry is called before each wait, with the number of the attempt that
	// follows, counted from 1, and what went wrong. It returns whether to go on;
	// it must not call Client.Close, which waits for it.
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

// keepConnected replaces each connection that is lost, until one ends for good.
func (c *Client) keepConnected() {
	defer close(c.gone)
	for {
		conn := c.Conn()
		<-conn.ended
		next := c.comeBack(conn.gone(), time.Since(conn.born))
		if next == nil {
			return
		}
		c.mu.Lock()
		c.conn = next
		if c.back != nil {
			close(c.back)
			c.back = nil
		}
		c.mu.Unlock()
		if c.ctx.Err() != nil { // Close may have seen the connection before only
			next.close(&CloseError{Code: CloseNormal, Cause: CauseLocal})
		}
	}
}

// comeBack tries until there is a connection; nil means that there shall be none.
func (c *Client) comeBack(err error, lasted time.Duration) *Conn {
	r := c.opts.Reconnect
	if lasted >= r.Max {
		c.attempt = 0
	}
	for comesBack(err) && c.ctx.Err() == nil {
		c.attempt++
		wait := r.wait(c.attempt)
		if r.OnRetry != nil && !r.OnRetry(c.attempt, wait, err) {
			break
		}
		select {
		case <-time.After(wait):
		case <-c.ctx.Done():
			return nil
		}
		var conn *Conn
		if conn, err = c.dial(c.ctx); err == nil {
			return conn
		}
	}
	c.fail(err)
	return nil
}

// comesBack tells the errors after which another attempt makes sense.
func comesBack(err error) bool {
	var ce *CloseError
	var status *StatusError
	switch {
	case errors.As(err, &ce):
		return ce.Cause != CauseLocal && ce.Cause != CauseShutdown && !stayAway(ce.Code)
	case errors.As(err, &status):
		switch status.StatusCode {
		case http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests:
			return true
		}
		return status.StatusCode >= 500
	}
	return true
}

func stayAway(code int) bool {
	switch code {
	case CloseNormal, CloseProtocol, 1003, CloseInvalidUTF8, ClosePolicy, CloseTooBig, 1010:
		return true
	}
	return code >= 4000 && code < 4500
}

func (c *Client) fail(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.err = err
}

// Ready waits until the client is connected. It returns nil then, ctx's error,
// or why the client does not come back.
func (c *Client) Ready(ctx context.Context) error {
	for {
		c.mu.Lock()
		conn := c.conn
		if c.back == nil {
			c.back = make(chan struct{})
		}
		back := c.back
		c.mu.Unlock()
		err := conn.gone()
		if err == nil {
			return nil
		}
		if c.gone == nil {
			return err
		}
		select {
		case <-back:
		case <-c.gone:
			return c.failure()
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (c *Client) failure() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return c.err
	}
	return c.conn.gone()
}
