//go:build !js

package socket

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"time"

	"github.com/coder/websocket"
)

// Dial connects to url. ctx bounds the handshake. The response is nil unless the
// server answered with something other than an upgrade.
//
// coder/websocket makes the handshake and checks it; Dial then takes the connection
// from under it.
func Dial(ctx context.Context, url string, client *http.Client, header http.Header, opts Options) (*Conn, *http.Response, error) {
	if client == nil {
		client = http.DefaultClient
	}
	own, d := *client, &dialer{next: client.Transport}
	own.Transport = d
	if own.CheckRedirect == nil {
		own.CheckRedirect = tenRedirects
	}
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn: func(info httptrace.GotConnInfo) { d.raw = info.Conn },
	})
	ws, resp, err := websocket.Dial(ctx, url, &websocket.DialOptions{
		HTTPClient: &own, HTTPHeader: header, Subprotocols: opts.Subprotocols,
	})
	if err != nil {
		if d.body != nil {
			d.body.Close()
		}
		return nil, resp, err
	}
	ws.CloseNow() // it only has a placeholder of the connection
	c := newConn(d.network(), &opts, true)
	c.subprotocol = ws.Subprotocol()
	return c, nil, nil
}

func tenRedirects(_ *http.Request, via []*http.Request) error {
	if len(via) >= 10 { // as in net/http, whose check coder/websocket replaces
		return errors.New("stopped after 10 redirects")
	}
	return nil
}

// dialer is a RoundTripper that keeps the connection of an upgrade.
type dialer struct {
	next http.RoundTripper
	raw  net.Conn // beneath the body; nil if next does not reveal it
	body io.ReadWriteCloser
}

func (d *dialer) RoundTrip(r *http.Request) (*http.Response, error) {
	next := d.next
	if next == nil {
		next = http.DefaultTransport
	}
	resp, err := next.RoundTrip(r)
	if err != nil || resp.StatusCode != http.StatusSwitchingProtocols {
		return resp, err
	}
	if body, ok := resp.Body.(io.ReadWriteCloser); ok {
		d.body, resp.Body = body, taken{}
	}
	return resp, nil
}

// taken stands in for a connection that has been taken away.
type taken struct{}

func (taken) Read([]byte) (int, error)    { return 0, io.EOF }
func (taken) Write(p []byte) (int, error) { return len(p), nil }
func (taken) Close() error                { return nil }

// network returns the connection, with deadlines. It reads from the body, which may
// hold bytes that came with the response.
func (d *dialer) network() network {
	if d.raw != nil {
		return dialed{d.body, d.raw}
	}
	return &timed{ReadWriteCloser: d.body}
}

type deadlines interface {
	SetReadDeadline(time.Time) error
	SetWriteDeadline(time.Time) error
}

type dialed struct {
	io.ReadWriteCloser
	deadlines
}

// timed adds deadlines to the stream of a RoundTripper that is not net/http's:
// whatever takes too long closes the stream.
type timed struct {
	io.ReadWriteCloser
	read, write *time.Timer // each is set by whoever holds the mutex or token of its side
}

func (t *timed) SetReadDeadline(until time.Time) error {
	t.read = t.reset(t.read, until)
	return nil
}

func (t *timed) SetWriteDeadline(until time.Time) error {
	t.write = t.reset(t.write, until)
	return nil
}

func (t *timed) reset(timer *time.Timer, until time.Time) *time.Timer {
	if timer != nil {
		timer.Stop()
	}
	if until.IsZero() {
		return nil
	}
	return time.AfterFunc(time.Until(until), func() { t.Close() })
}
