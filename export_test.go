package wsrouter

import (
	"net/http"
)

// DecodeFrame is for the fuzz test.
func DecodeFrame(data []byte) (*Message, bool, error) {
	m, ctl, err := decodeFrame(data, 256)
	return m, ctl.auth != nil || ctl.ping != nil || ctl.pong, err
}

// BindMessage binds a message's arguments without a connection.
func BindMessage(m *Message, out any) error { return m.bind(out) }

// Raw is the client's end of an in-memory connection, frame by frame.
type Raw struct {
	pipe *pipe
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
	unlimited := Options{MaxMessage: -1}
	o := unlimited.withDefaults()
	r.app.freeze()
	server, client := newPipe(&r.app.opts, &o)
	var err error
	if server.link, err = r.NewLink(server, LinkOptions{Request: req}); err != nil {
		panic(err)
	}
	raw := &Raw{pipe: client, done: make(chan struct{})}
	p := &plain{router: r, link: server.link, wire: server, codec: opts.Codec}
	go func() {
		defer close(raw.done)
		p.serve(opts.AuthFrame)
	}()
	return raw
}

// Send hands a frame to the server; false means that the connection has ended.
func (r *Raw) Send(frame string) bool {
	select {
	case r.pipe.peer.frames <- []byte(frame):
		return true
	case <-r.pipe.shared.done:
		return false
	}
}

// Read returns the next frame, or how the connection ended. It answers pings.
func (r *Raw) Read() (string, *CloseError) {
	for {
		select {
		case <-r.pipe.pings:
			offer(r.pipe.peer.pongs)
		default:
		}
		select {
		case data := <-r.pipe.frames:
			return string(data), nil
		case <-r.pipe.pings:
			offer(r.pipe.peer.pongs)
		case <-r.pipe.shared.done:
			return "", &CloseError{Code: r.pipe.shared.code, Reason: r.pipe.shared.reason}
		}
	}
}

// Close says goodbye, Abort does not; Wait waits for the server's end to be gone.
func (r *Raw) Close(code int, reason string) { r.pipe.Close(code, reason) }
func (r *Raw) Abort()                        { r.pipe.Abort() }
func (r *Raw) Wait()                         { <-r.done }
