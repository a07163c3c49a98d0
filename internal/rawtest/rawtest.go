// Package rawtest connects to a router in memory, frame by frame, for tests that
// look at frames or break rules that a Client keeps. It uses what every adapter may
// use.
package rawtest

import (
	"net/http"

	"github.com/wsrouter/wsrouter"
	"github.com/wsrouter/wsrouter/adapter"
	"github.com/wsrouter/wsrouter/internal/pipe"
	"github.com/wsrouter/wsrouter/internal/plain"
)

// Raw is the client's end of an in-memory connection.
type Raw struct {
	pipe *pipe.Pipe
	done chan struct{} // closed when the server's end is gone
}

// unlimited is the size of the largest message that a Raw takes.
const unlimited = 1<<31 - 1

// SessionRequest returns the request of a client that can resume.
func SessionRequest() *http.Request {
	req, err := http.NewRequest(http.MethodGet, "http://memory/", nil)
	if err != nil {
		panic(err)
	}
	req.Header.Set("Sec-WebSocket-Protocol", plain.SessionSubprotocol)
	return req
}

// Connect connects to the namespace without a Client. opts and req may be nil. It
// panics if the router takes no clients.
func Connect(r *wsrouter.Router, opts *wsrouter.WSOptions, req *http.Request) *Raw {
	if opts == nil {
		opts = &wsrouter.WSOptions{}
	}
	if req == nil {
		var err error
		if req, err = http.NewRequest(http.MethodGet, "http://memory/", nil); err != nil {
			panic(err)
		}
	}
	host := r.Adapter()
	limits := host.Limits()
	server, client := pipe.New(host.Limits(), adapter.Limits{MaxMessage: unlimited})
	link, err := host.NewLink(server, adapter.LinkOptions{Request: req})
	if err != nil {
		panic(err)
	}
	server.Attach(link)
	client.Attach(nobody{})
	s := &plain.Session{
		Link: link, Namespace: r, Codec: plain.Codec(opts.Codec), Limits: &limits, WantAuth: opts.AuthFrame,
		Resumable: host.Limits().Window > 0 && req.Header.Get("Sec-WebSocket-Protocol") == plain.SessionSubprotocol,
	}
	raw := &Raw{pipe: client, done: make(chan struct{})}
	go func() {
		defer close(raw.done)
		defer s.Begin()()
		s.Serve(server)
	}()
	return raw
}

// nobody is the link of an end that does not belong to a router.
type nobody struct{ adapter.Link }

func (nobody) Alive() {}

// Send passes a frame to the server. It reports false if the connection has ended.
func (r *Raw) Send(frame string) bool { return r.pipe.Send([]byte(frame)) }

// Read returns the next frame, or how the connection ended. It answers pings.
func (r *Raw) Read() (string, *wsrouter.CloseError) {
	data, _, end := r.pipe.Read()
	if end != nil {
		return "", &wsrouter.CloseError{Code: end.Code, Reason: end.Reason}
	}
	return string(data), nil
}

// Close says goodbye, which Abort does not.
func (r *Raw) Close(code int, reason string) { r.pipe.Close(adapter.End{Code: code, Reason: reason}) }

// Abort cuts the connection.
func (r *Raw) Abort() { r.pipe.Abort() }

// Wait waits until the server's end is gone.
func (r *Raw) Wait() { <-r.done }
