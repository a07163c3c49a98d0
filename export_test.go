package wsrouter

import (
	"net/http"

	"github.com/wsrouter/wsrouter/adapter"
	"github.com/wsrouter/wsrouter/broker"
	"github.com/wsrouter/wsrouter/internal/pipe"
	"github.com/wsrouter/wsrouter/internal/plain"
)

// Raw is the client's end of an in-memory connection, frame by frame.
type Raw struct {
	pipe *pipe.Pipe
	done chan struct{} // closed when the server's end is gone
}

// ConnectRaw connects to the namespace without a Client.
func ConnectRaw(r *Router, opts *WSOptions, req *http.Request) *Raw {
	if opts == nil {
		opts = &WSOptions{}
	}
	if req == nil {
		req = handshake("http://memory/", nil)
	}
	r.app.freeze()
	server, client := pipe.New(r.app.limits(), adapter.Limits{MaxMessage: unlimited})
	l, err := r.app.newLink(server, adapter.LinkOptions{Request: req})
	if err != nil {
		panic(err)
	}
	server.Attach(l)
	client.Attach(nobody{})
	raw := &Raw{pipe: client, done: make(chan struct{})}
	s := r.session(l, plain.Codec(opts.Codec))
	s.WantAuth = opts.AuthFrame
	go func() {
		defer close(raw.done)
		serve(s, server)
	}()
	return raw
}

// nobody is the link of an end that is not a router's.
type nobody struct{ adapter.Link }

func (nobody) Alive() {}

// Send hands a frame to the server; false means that the connection has ended.
func (r *Raw) Send(frame string) bool { return r.pipe.Send([]byte(frame)) }

// Read returns the next frame, or how the connection ended. It answers pings.
func (r *Raw) Read() (string, *CloseError) {
	data, _, end := r.pipe.Read()
	if end != nil {
		return "", &CloseError{Code: end.Code, Reason: end.Reason}
	}
	return string(data), nil
}

// Close says goodbye, Abort does not; Wait waits for the server's end to be gone.
func (r *Raw) Close(code int, reason string) { r.pipe.Close(adapter.End{Code: code, Reason: reason}) }
func (r *Raw) Abort()                        { r.pipe.Abort() }
func (r *Raw) Wait()                         { <-r.done }

// NodeOf is the namespace as Brokers see it.
func NodeOf(r *Router) broker.Node { return newNode(r) }

// SelectedBy returns how many connections of this process another node selects.
func SelectedBy(r *Router, s broker.Selection) int {
	t := newNode(r).local(s)
	return len(t.conns())
}
