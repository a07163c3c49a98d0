package socketio

import (
	"encoding/json"
	"errors"
	"net/http"
	"sync"
	"time"

	"github.com/wsrouter/wsrouter"
	"github.com/wsrouter/wsrouter/internal/socket"
)

// session is one client's Engine.IO connection, and the [wsrouter.Transport] of
// its Link. It begins over polling or WebSocket, and may change from the first to
// the second once.
type session struct {
	handler *handler
	sid     string
	link    *wsrouter.Link
	client  *client
	done    chan struct{} // closed when everything of it is gone
	closed  chan struct{} // closed when it has ended

	mu        sync.Mutex     // guards everything below
	heartbeat *time.Timer    // until the next ping
	connect   *time.Timer    // until a namespace has let the client in
	partial   *time.Timer    // until the attachments of a message are there; nil if none are awaited
	ws        *socket.Conn   // nil while polling
	probing   *socket.Conn   // wants to become ws; nil if none does
	probed    bool           // and has been told that it may: polls are released
	out       []enginePacket // for the next poll
	taken     chan struct{}  // closed when out has been taken; nil if nobody waits
	changed   chan struct{}  // closed when those who wait shall look again
	polling   bool           // a poll is waiting
	posting   bool           // a post is being handled
	polled    time.Time      // when a poll, or the handshake, was answered last
	goodbye   bool           // our side closes: the next poll is told
	ended     bool
	byClient  bool // it was the client who ended it
}

// newSession makes a session and its link. ws is nil for polling.
func (h *handler) newSession(r *http.Request, ws *socket.Conn) (*session, error) {
	s := &session{
		handler: h,
		sid:     h.newSID(),
		ws:      ws,
		done:    make(chan struct{}),
		closed:  make(chan struct{}),
		changed: make(chan struct{}),
		polled:  time.Now(),
	}
	s.client = &client{session: s, joined: make(map[string]*wsrouter.Router)}
	s.mu.Lock() // the link may be closed before NewLink returns
	defer s.mu.Unlock()
	link, err := h.router.NewLink(s, wsrouter.LinkOptions{Request: r, Multiplexed: true})
	if err != nil {
		return nil, err
	}
	s.link = link
	s.heartbeat = time.AfterFunc(h.addSession(s), s.ping)
	s.connect = time.AfterFunc(h.limits.ConnectTimeout, s.noNamespace)
	return s, nil
}

// maxHeartbeat is the longest interval that a client is told, about 12 days. A
// JavaScript timer takes the sum of two of them, and none beyond 2^31 ms.
const maxHeartbeat = 1<<30 - 1

// openPacket is the first packet of a session.
func (s *session) openPacket(upgrades ...string) enginePacket {
	limits := &s.handler.limits
	data, _ := json.Marshal(struct {
		SID          string   `json:"sid"`
		Upgrades     []string `json:"upgrades"`
		PingInterval int64    `json:"pingInterval"`
		PingTimeout  int64    `json:"pingTimeout"`
		MaxPayload   int      `json:"maxPayload"`
	}{
		s.sid, append([]string{}, upgrades...),
		min(limits.PingInterval.Milliseconds(), maxHeartbeat),
		min(limits.PongTimeout.Milliseconds(), maxHeartbeat),
		limits.MaxMessage,
	})
	return enginePacket{kind: engineOpen, data: data}
}

// ping is the heartbeat: the client answers it, and closes where none comes. The
// Link watches for the answer.
func (s *session) ping() { s.put(enginePacket{kind: enginePing}) }

// Ping implements [wsrouter.Transport]: the heartbeat pings at the right time.
func (s *session) Ping() {}

// pong sets the heartbeat: the next ping comes PingInterval after this answer.
func (s *session) pong() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.ended {
		s.heartbeat.Reset(s.handler.limits.PingInterval)
	}
}

func (s *session) noNamespace() {
	s.end(&wsrouter.CloseError{Code: wsrouter.ClosePolicy, Reason: "no namespace joined", Cause: wsrouter.CauseTimeout})
}

// awaitParts begins, or ends, the time for the attachments of a message.
func (s *session) awaitParts(some bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.partial != nil {
		s.partial.Stop()
		s.partial = nil
	}
	if some && !s.ended {
		s.partial = time.AfterFunc(s.handler.limits.MessageTimeout, func() { s.end(tookTooLong()) })
	}
}

func tookTooLong() *wsrouter.CloseError {
	return &wsrouter.CloseError{Code: wsrouter.ClosePolicy, Reason: "message took too long", Cause: wsrouter.CauseTimeout}
}

// receive handles a packet from the client. It reports false when the session
// has ended and nothing more is to be read.
func (s *session) receive(p enginePacket) bool {
	if !s.link.Arrived(p.frame()) {
		return false
	}
	switch p.kind {
	case engineMessage:
		if err := s.client.receive(p); err != nil {
			s.fail(err)
			return false
		}
	case enginePong:
		s.pong()
	case engineClose:
		s.end(&wsrouter.CloseError{Code: wsrouter.CloseNormal, Cause: wsrouter.CausePeer})
		return false
	case enginePing: // in this version of the protocol only servers ping
		s.fail(errEngine)
		return false
	}
	return true
}

// fail ends the session for a mistake of the client's.
func (s *session) fail(err error) {
	s.end(&wsrouter.CloseError{Code: wsrouter.CloseProtocol, Reason: err.Error(), Cause: wsrouter.CauseProtocol})
}

// end ends the session: polls are released, a WebSocket is closed, and the link
// is told. It does not wait for that; done is closed then.
func (s *session) end(ce *wsrouter.CloseError) {
	s.mu.Lock()
	if s.ended {
		s.mu.Unlock()
		return
	}
	s.ended, s.byClient = true, ce.Cause == wsrouter.CausePeer
	s.wakeLocked()
	close(s.closed)
	s.heartbeat.Stop()
	s.connect.Stop()
	if s.partial != nil {
		s.partial.Stop()
	}
	sockets := [...]*socket.Conn{s.ws, s.probing}
	s.mu.Unlock()
	s.handler.removeSession(s)
	code := noStatus // Socket.IO has no codes, but for one; its clients look for none
	if ce.Code == wsrouter.CloseTooBig {
		code = ce.Code
	}
	for _, ws := range sockets {
		if ws != nil {
			go ws.Close(code, "")
		}
	}
	go func() {
		s.link.End(ce)
		close(s.done)
	}()
}

// noStatus makes a close frame without a code.
const noStatus = 1005

// wakeLocked makes those who wait, polls mostly, look again.
func (s *session) wakeLocked() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// put sends a packet of the session's own, beside those of the link.
func (s *session) put(p enginePacket) {
	s.mu.Lock()
	ws := s.ws
	if ws == nil && !s.ended {
		s.out = append(s.out, p)
		s.wakeLocked()
	}
	s.mu.Unlock()
	if ws != nil {
		write(ws, p)
	}
}

// Write implements [wsrouter.Transport].
func (s *session) Write(batch []wsrouter.Frame) error {
	s.mu.Lock()
	if hasWelcome(batch) {
		s.connect.Stop()
	}
	ws := s.ws
	if ws == nil {
		s.out = enginePackets(s.out, batch)
		s.wakeLocked()
		s.taken = make(chan struct{})
	}
	taken := s.taken
	s.mu.Unlock()
	if ws == nil {
		return s.awaitPoll(taken)
	}
	ws.Begin()
	failed := add(ws, batch)
	return errors.Join(failed, ws.End())
}

// WriteNow implements [wsrouter.NowWriter].
func (s *session) WriteNow(batch []wsrouter.Frame) (rest []wsrouter.Frame, err error) {
	s.mu.Lock()
	ws := s.ws
	s.mu.Unlock()
	if ws == nil || hasWelcome(batch) || !ws.BeginNow() {
		return batch, nil
	}
	add(ws, batch)
	if all, err := ws.EndNow(); all || err != nil {
		return nil, err
	}
	return batch[:0], nil
}

// hasWelcome reports whether a namespace lets the client in: a server sends
// CONNECT for nothing else.
func hasWelcome(batch []wsrouter.Frame) bool {
	for _, f := range batch {
		if len(f.Text) > 0 && f.Text[0] == typeConnect {
			return true
		}
	}
	return false
}

// Close implements [wsrouter.Transport].
func (s *session) Close(code int, reason string) {
	s.sayGoodbye()
	s.end(&wsrouter.CloseError{Code: code, Reason: reason, Cause: wsrouter.CauseLocal})
}

// Abort implements [wsrouter.Transport].
func (s *session) Abort() {
	s.mu.Lock()
	sockets := [...]*socket.Conn{s.ws, s.probing}
	s.mu.Unlock()
	for _, ws := range sockets {
		if ws != nil {
			ws.Abort()
		}
	}
	s.end(&wsrouter.CloseError{Code: wsrouter.CloseAbnormal, Cause: wsrouter.CauseLocal})
}

func (s *session) isWebSocket() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ws != nil
}
