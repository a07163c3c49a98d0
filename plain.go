package wsrouter

import (
	"errors"
	"time"
)

// wire moves the frames of the plain protocol: a WebSocket or a pipe. The two
// ends of it are alike.
type wire interface {
	Transport

	// read returns the next frame, and whether it was a text frame. An error is
	// a *CloseError; unless its cause is the peer, the wire still has to be
	// closed.
	read() (data []byte, text bool, err error)
}

// plain is one end of a connection that speaks the plain protocol, see
// PROTOCOL.md. It has one Conn, which it asks for when the auth frame has come,
// or at once where none is wanted.
type plain struct {
	router *Router
	link   *Link
	wire   wire
	codec  Codec
	conn   *Conn // nil until there has been an auth frame

	sentAuth bool // this end has, as its first frame
}

// serve reads until the connection has ended, and everything of it is gone.
func (p *plain) serve(wantAuth bool) {
	if wantAuth {
		late := time.AfterFunc(p.link.app.opts.ConnectTimeout, p.lateAuth)
		defer late.Stop()
	} else if !p.join() {
		return
	}
	p.readLoop()
}

// readLoop waits for the peer: PingInterval and PongTimeout bound a silence, and
// MessageTimeout a message.
func (p *plain) readLoop() {
	for {
		data, text, err := p.wire.read()
		if err != nil {
			p.end(err)
			return
		}
		if p.link.Arrived(Frame{Text: data}) { // else it is read only to get to the close frame
			p.frame(data, text)
		}
	}
}

// end waits for the other goroutines of the connection.
func (p *plain) end(err error) {
	var ce *CloseError
	errors.As(err, &ce)
	if ce.Cause == CausePeer {
		p.wire.Abort() // nobody else lets go of what the peer has left
	} else {
		p.link.close(ce)
		p.wire.Close(ce.Code, ce.Reason) // waits for the writer, who does the same
	}
	p.link.End(ce)
}

// join asks for the connection; without one the link ends.
func (p *plain) join() bool {
	conn, err := p.link.Join(p.router, p.codec, nil)
	if err != nil {
		p.end(err)
		return false
	}
	p.conn = conn
	return true
}

func (p *plain) lateAuth() {
	p.link.mu.Lock()
	waits := len(p.link.conns) == 0 && p.link.ce == nil
	if waits {
		p.link.closeLocked(&CloseError{Code: ClosePolicy, Reason: "connect timeout", Cause: CauseTimeout})
	}
	p.link.mu.Unlock()
	if waits {
		p.link.app.refused(p.link.request, RefusedTimeout, nil)
	}
}

// frame handles one inbound frame.
func (p *plain) frame(data []byte, text bool) {
	m, ctl, err := decodeFrame(data, p.link.app.opts.MaxName)
	switch {
	case err == errUTF8 && text:
		p.link.close(&CloseError{Code: CloseInvalidUTF8, Reason: "invalid UTF-8", Cause: CauseProtocol})
	case err != nil && p.conn != nil:
		p.badFrame(err)
	case ctl.ping != nil:
		p.link.send(textFrame(`{"pong":`+string(ctl.ping)+`}`), sendNow)
	case ctl.pong:
	case p.conn == nil:
		p.authFrame(ctl)
	case ctl.auth != nil:
		p.badFrame(&frameError{msg: unexpectedAuth})
	case p.sentAuth && m.Kind == KindError && m.ID == "" && remoteError(m.Args).Message == unexpectedAuth:
		p.link.close(&CloseError{Code: ClosePolicy, Reason: "auth sent to a mount without AuthFrame", Cause: CauseProtocol})
	default:
		p.conn.Receive(m)
	}
}

// unexpectedAuth is what a server says of an auth frame where its mount wants none,
// see PROTOCOL.md. The end that dialled takes it for the end: who it is nobody
// knows there.
const unexpectedAuth = "unexpected auth frame"

func (p *plain) authFrame(ctl control) {
	if ctl.auth == nil {
		p.link.close(&CloseError{Code: ClosePolicy, Reason: "auth expected", Cause: CauseProtocol})
		return
	}
	if conn, err := p.link.Join(p.router, p.codec, ctl.auth); err == nil {
		p.conn = conn
	} else if p.link.Err() == nil {
		p.link.close(err.(*CloseError))
	}
}

// badFrame answers what is no frame of the protocol. An end that dialled answers
// nothing but requests.
func (p *plain) badFrame(err error) {
	var bad *frameError
	errors.As(err, &bad)
	if bad.fatal {
		p.link.close(&CloseError{Code: CloseProtocol, Reason: bad.msg, Cause: CauseProtocol})
		return
	}
	if p.link.client {
		p.link.app.opts.Logger.Warn("wsrouter: bad frame from the server", "err", bad.msg)
		return
	}
	f, _ := p.codec.Encode(&Message{Kind: KindError, ID: bad.id, Args: []any{
		wireError{Status: "error", Message: bad.msg, Code: CodeInvalid}}})
	p.link.send(f, sendNow)
}
