package plain

import (
	"bytes"
	"encoding/json"
	"errors"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/wsrouter/wsrouter/adapter"
	"github.com/wsrouter/wsrouter/internal/scratch"
	"github.com/wsrouter/wsrouter/internal/usercode"
)

// Subprotocols of WebSockets: that of PROTOCOL.md, and the same with a session,
// which a client offers that can resume.
const (
	Subprotocol        = "wsrouter.v1"
	SessionSubprotocol = "wsrouter.v1.session"
)

// Wire moves the frames of the protocol: it is a WebSocket, or one end of a pipe.
type Wire interface {
	adapter.Transport

	// Read returns the next frame, and whether it was a text frame; or how the wire
	// ended. Unless the cause is the peer, the wire still has to be closed.
	Read() (data []byte, text bool, end *adapter.End)

	// Wait waits for the Resume after a Pause.
	Wait()

	// Over returns a channel that is closed when Close or Abort is done.
	Over() <-chan struct{}
}

// Session is one end of a connection. It has one Conn, which it asks for when the
// auth frame has arrived, or at once if none is wanted. Its exported fields must be
// set before it is used.
type Session struct {
	Link      adapter.Link
	Namespace adapter.Namespace
	Codec     Codec
	Limits    *adapter.Limits
	WantAuth  bool // {"auth":…} comes first
	Resumable bool // both ends have agreed that {"session":…} comes first
	Dialed    bool
	SentAuth  bool // this end has sent it, as its first frame

	// StrayAuth is called, on the side that serves, when an auth frame comes where none is
	// wanted: often after a guard that found no token has refused the client.
	StrayAuth func()

	// BadFrame is called, on the side that dialed, for a frame that is not one of
	// the protocol.
	BadFrame func(problem string)

	// Welcome is called, on the side that dialed, for the server's answer to
	// {"session":…}. It returns the Conn to use from then on, or nil if the link
	// ends.
	Welcome func(adapter.Session) adapter.Conn

	auth atomic.Uint32 // an authState
	conn adapter.Conn  // nil until the first frame has arrived, if one is wanted
	acks *acks         // nil before the first frame that is counted
}

type authState = uint32

const (
	authAwaited authState = iota
	authCame
	authLate
)

// Begin asks for the Conn, or starts waiting for the first frame. stop ends the
// waiting.
func (s *Session) Begin() (stop func()) {
	if !s.WantAuth && !s.Resumable {
		s.join(nil)
		return func() {}
	}
	late := time.AfterFunc(s.Limits.ConnectTimeout, s.lateAuth)
	return func() { late.Stop() }
}

// Start is Begin for an end that dialed, has its Conn, and expects a Welcome.
func (s *Session) Start(conn adapter.Conn) { s.conn = conn }

// Serve reads until the connection has ended and everything about it is released.
// PingInterval and PongTimeout bound how long the peer may be silent,
// MessageTimeout how long a message may take.
func (s *Session) Serve(w Wire) {
	for {
		data, text, end := w.Read()
		if end != nil {
			s.End(w, *end)
			return
		}
		flow, turn := s.Message(data, text)
		if turn != nil {
			go turn.Work()
		}
		if flow == adapter.Pause {
			w.Wait()
		}
	}
}

// Message handles one inbound frame. It is for a wire that somebody else reads.
func (s *Session) Message(data []byte, text bool) (adapter.Flow, adapter.Turn) {
	if !s.Link.Arrived(adapter.Frame{Text: data}) { // the wire is read only to find the close frame
		if bytes.HasPrefix(data, []byte(`{"auth":`)) {
			s.strayAuth()
		}
		return adapter.Closed, nil
	}
	return s.frame(data, text)
}

// End ends the connection when nothing more can be read. It returns when everything
// about it is released.
func (s *Session) End(w Wire, e adapter.End) {
	if s.acks != nil {
		defer s.acks.stop()
	}
	switch {
	case e.Cause != adapter.CausePeer:
		s.Link.Close(e)
		<-w.Over()
		<-s.Link.End(e)
		return
	case e.Code == abnormal:
		w.Abort() // nobody else releases what the peer has left behind
	}
	gone := s.Link.End(e) // before the peer has its answer, so that what fails from now on can say why
	w.Close(e)
	<-gone
	<-w.Over()
}

// Conn returns the connection, or nil if there is none.
func (s *Session) Conn() adapter.Conn { return s.conn }

// join asks for a Conn; without one the link ends.
func (s *Session) join(auth []byte) {
	s.joined(s.Link.Join(s.Namespace, s.Codec, auth))
}

func (s *Session) joined(conn adapter.Conn, err error) {
	if err == nil {
		s.conn = conn
		return
	}
	var refusal *adapter.Refusal
	if errors.As(err, &refusal) {
		s.Link.Close(refusal.End())
	}
}

// Close codes of RFC 6455, section 7.4.1, and of IANA's registry.
const (
	protocolError = 1002
	abnormal      = 1006
	invalidUTF8   = 1007
	policy        = 1008
	tryAgainLater = 1013
)

func (s *Session) lateAuth() {
	if s.auth.CompareAndSwap(authAwaited, authLate) {
		s.Link.Close(adapter.End{Code: tryAgainLater, Reason: "connect timeout", Cause: adapter.CauseTimeout})
	}
}

func (s *Session) frame(data []byte, text bool) (adapter.Flow, adapter.Turn) {
	m := scratch.Get()
	defer m.Put()
	var ctl control
	err := decode(data, s.Limits.MaxName, s.Resumable, &m.Message, &ctl)
	if err == nil && m.Kind != 0 && s.conn != nil && !s.authRefused(&m.Message) {
		return s.receive(&m.Message)
	}
	s.control(&ctl, err, text)
	return adapter.Go, nil
}

// control does what is to be done for a frame that has no message for the Conn: one
// that cannot be decoded, a control, or a message before there is a Conn.
func (s *Session) control(ctl *control, err error, text bool) {
	switch {
	case err == errUTF8 && text:
		s.Link.Close(adapter.End{Code: invalidUTF8, Reason: "invalid UTF-8", Cause: adapter.CauseProtocol})
	case err != nil && s.conn != nil:
		s.badFrame(err)
	case ctl.ping != nil:
		s.Link.Send(textFrame(`{"pong":` + string(ctl.ping) + `}`))
	case ctl.pong:
	case s.Dialed && s.Resumable && ctl.session != nil:
		s.welcomed(ctl)
	case s.Dialed && s.Resumable && s.conn == nil: // nothing else may come first
		s.Link.Close(adapter.End{Code: policy, Reason: "session expected", Cause: adapter.CauseProtocol})
	case s.conn == nil:
		s.firstFrame(*ctl)
	case ctl.ack != nil:
		if !s.conn.(adapter.Recoverable).Acknowledge(*ctl.ack) {
			s.Link.Close(adapter.End{Code: protocolError, Reason: "ack of what was not sent", Cause: adapter.CauseProtocol})
		}
	case ctl.session != nil:
		s.badFrame(&frameError{msg: "session must come first"})
	case ctl.auth != nil:
		s.strayAuth()
		s.badFrame(&frameError{msg: unexpectedAuth})
	}
}

func (s *Session) receive(m *adapter.Message) (adapter.Flow, adapter.Turn) {
	flow, turn := adapter.Take(s.conn, m)
	if s.Resumable && flow != adapter.Closed {
		s.took(m.Size)
	}
	return flow, turn
}

// took counts a frame from the peer.
func (s *Session) took(size int) {
	if s.acks == nil {
		s.acks = &acks{send: s.acknowledge}
	}
	s.acks.took(size)
}

func (s *Session) acknowledge() {
	n := s.conn.(adapter.Recoverable).Received()
	s.Link.Send(textFrame(`{"ack":` + strconv.FormatUint(n, 10) + `}`))
}

// welcomed takes the server's answer to this end's first frame.
func (s *Session) welcomed(ctl *control) {
	welcome := adapter.Session{Secret: *ctl.session, Window: time.Duration(ctl.window) * time.Millisecond}
	if ctl.received != nil {
		welcome.Resumed, welcome.Received = true, *ctl.received
	}
	if s.Welcome == nil {
		s.Link.Close(adapter.End{Code: protocolError, Reason: "session again", Cause: adapter.CauseProtocol})
		return
	}
	s.conn = s.Welcome(welcome)
	s.Welcome = nil
}

// unexpectedAuth is what a server answers to an auth frame on a mount that wants
// none, see PROTOCOL.md. For the end that dialed it is the end of the connection,
// because the server does not know who it is.
const unexpectedAuth = "unexpected auth frame"

// authRefused reports whether a message is that answer, and ends the link.
func (s *Session) authRefused(m *adapter.Message) bool {
	if !s.SentAuth || m.Kind != adapter.KindError || m.ID != "" {
		return false
	}
	var b body
	if json.Unmarshal(m.Data.JSON, &b) != nil || b.Message != unexpectedAuth {
		return false
	}
	s.Link.Close(adapter.End{Code: policy, Reason: "auth sent to a mount without AuthFrame", Cause: adapter.CauseProtocol})
	return true
}

// firstFrame takes the frame that is needed before there is a connection, with as
// little of the reader's stack as possible, which stays.
func (s *Session) firstFrame(ctl control) {
	usercode.Elsewhere(func() { s.begin(&ctl) })
}

func (s *Session) begin(ctl *control) {
	switch {
	case !s.WantAuth && !s.Resumable: // it could not join, and the link ends
	case s.Resumable && ctl.session == nil:
		s.Link.Close(adapter.End{Code: policy, Reason: "session expected", Cause: adapter.CauseProtocol})
	case s.WantAuth && ctl.auth == nil:
		s.Link.Close(adapter.End{Code: policy, Reason: "auth expected", Cause: adapter.CauseProtocol})
	case !s.auth.CompareAndSwap(authAwaited, authCame):
	case s.Resumable:
		s.recover(ctl)
	default:
		s.join(ctl.auth)
	}
}

// recover asks for the connection that the client has lost, or for a new one.
func (s *Session) recover(ctl *control) {
	if ctl.auth != nil && !s.WantAuth {
		s.strayAuth()
		s.badFrame(&frameError{msg: unexpectedAuth})
		ctl.auth = nil
	}
	lost := adapter.Recovery{Secret: *ctl.session}
	if ctl.received != nil {
		lost.Received = *ctl.received
	}
	s.joined(s.Link.Recover(s.Namespace, s.Codec, ctl.auth, lost))
}

func (s *Session) strayAuth() {
	if s.StrayAuth != nil && !s.WantAuth {
		s.StrayAuth()
	}
}

// badFrame answers a frame that is not one of the protocol. An end that dialed
// answers only requests.
func (s *Session) badFrame(err error) {
	var bad *frameError
	errors.As(err, &bad)
	if bad.fatal {
		s.Link.Close(adapter.End{Code: protocolError, Reason: bad.msg, Cause: adapter.CauseProtocol})
		return
	}
	var answer adapter.Frame
	if s.Dialed {
		s.BadFrame(bad.msg)
	} else {
		answer, _ = s.Codec.Encode(&adapter.Message{Kind: adapter.KindError, ID: bad.id, Args: []any{
			body{Status: "error", Message: bad.msg, Code: "invalid"}}})
	}
	if s.Resumable && s.conn != nil { // the peer has counted it
		s.conn.(adapter.Recoverable).Refuse(answer)
		s.took(0)
		return
	}
	s.Link.Send(answer)
}

// body is the data of an exception.
type body struct {
	Status  string `json:"status"`
	Message string `json:"message"`
	Code    string `json:"code"`
}

// AuthFrame returns the frame that carries a connect payload. It returns an error
// that says why, if the payload cannot be encoded.
func AuthFrame(auth any) (adapter.Frame, error) {
	return JSON.Encode(&adapter.Message{Kind: adapter.KindAuth, Args: []any{auth}})
}
