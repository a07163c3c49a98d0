package socketio

import (
	"encoding/json"
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

	heartbeat *time.Timer
	connect   *time.Timer // until a namespace is joined

	mu        sync.Mutex     // guards everything below
	ws        *socket.Conn   // nil while polling
	out       []enginePacket // for the next poll
	taken     chan struct{}  // closed when out has been taken; nil if nobody waits
	changed   chan struct{}  // closed when a waiting poll shall look again
	polling   bool           // a poll is waiting
	posting   bool           // a post is being handled
	upgrading bool           // a WebSocket is probing
	goodbye   bool           // our side closes: the next poll is told
	ended     bool
}

// newSession makes a session and its link. ws is nil for polling.
func (h *handler) newSession(r *http.Request, ws *socket.Conn) (*session, error) {
	s := &session{
		handler: h,
		sid:     newSID(),
		ws:      ws,
		done:    make(chan struct{}),
		closed:  make(chan struct{}),
		changed: make(chan struct{}),
	}
	s.client = &client{session: s}
	link, err := h.router.NewLink(s, wsrouter.LinkOptions{Request: r, Multiplexed: true})
	if err != nil {
		return nil, err
	}
	s.link = link
	s.mu.Lock()
	defer s.mu.Unlock()
	s.heartbeat = time.AfterFunc(h.limits.PingInterval, s.ping)
	s.connect = time.AfterFunc(h.limits.ConnectTimeout, s.noNamespace)
	h.addSession(s)
	return s, nil
}

// openPacket is the first packet of a session.
func (s *session) openPacket(upgrades ...string) enginePacket {
	limits := &s.handler.limits
	data, _ := json.Marshal(struct {
		SID          string   `json:"sid"`
		Upgrades     []string `json:"upgrades"`
		PingInterval int64    `json:"pingInterval"`
		PingTimeout  int64    `json:"pingTimeout"`
		MaxPayload   int      `json:"maxPayload"`
	}{s.sid, append([]string{}, upgrades...), limits.PingInterval.Milliseconds(), limits.PongTimeout.Milliseconds(), limits.MaxMessage})
	return enginePacket{kind: engineOpen, data: data}
}

// ping is the heartbeat: the client answers it, and closes where none comes. The
// Link watches for the answer.
func (s *session) ping() { s.put(enginePacket{kind: enginePing}) }

// Ping implements [wsrouter.Transport]: the heartbeat pings at the right time.
func (s *session) Ping() {}

func (s *session) noNamespace() {
	s.end(&wsrouter.CloseError{Code: wsrouter.ClosePolicy, Reason: "no namespace joined", Cause: wsrouter.CauseTimeout})
}

// receive handles a packet from the client. It reports false when the session
// has ended and nothing more is to be read.
func (s *session) receive(p enginePacket) bool {
	if !s.link.Arrived(wsrouter.Frame{Text: p.data}) {
		return false
	}
	switch p.kind {
	case engineMessage:
		if err := s.client.receive(p); err != nil {
			s.fail(err)
			return false
		}
	case enginePong:
		s.heartbeat.Reset(s.handler.limits.PingInterval)
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
	s.ended = true
	s.wakeLocked()
	close(s.closed)
	ws := s.ws
	s.mu.Unlock()
	s.heartbeat.Stop()
	s.connect.Stop()
	s.handler.removeSession(s)
	if ws != nil {
		go ws.Close(noStatus, "") // Socket.IO has no codes; its clients look for none
	}
	go func() {
		s.link.End(ce)
		close(s.done)
	}()
}

// noStatus makes a close frame without a code.
const noStatus = 1005

// wakeLocked makes a waiting poll look again.
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
		ws.Write(p.appendText(nil), true)
	}
}

// Write implements [wsrouter.Transport].
func (s *session) Write(batch []wsrouter.Frame) error {
	packets := enginePackets(nil, batch)
	s.mu.Lock()
	ws := s.ws
	if ws == nil {
		s.out = append(s.out, packets...)
		s.wakeLocked()
		s.taken = make(chan struct{})
	}
	taken := s.taken
	s.mu.Unlock()
	if ws != nil {
		return writePackets(ws, packets)
	}
	return s.awaitPoll(taken)
}

// enginePackets lists the messages of frames.
func enginePackets(list []enginePacket, batch []wsrouter.Frame) []enginePacket {
	for _, f := range batch {
		list = append(list, enginePacket{kind: engineMessage, data: f.Text})
		for _, data := range f.Attachments {
			list = append(list, enginePacket{kind: engineMessage, data: data, binary: true})
		}
		if f.Next != nil {
			list = enginePackets(list, []wsrouter.Frame{*f.Next})
		}
	}
	return list
}

// Close implements [wsrouter.Transport].
func (s *session) Close(code int, reason string) {
	if !s.isWebSocket() {
		s.sayGoodbye()
	}
	s.end(&wsrouter.CloseError{Code: code, Reason: reason, Cause: wsrouter.CauseLocal})
}

// Abort implements [wsrouter.Transport].
func (s *session) Abort() {
	s.mu.Lock()
	ws := s.ws
	s.mu.Unlock()
	if ws != nil {
		ws.Abort()
	}
	s.end(&wsrouter.CloseError{Code: wsrouter.CloseAbnormal, Cause: wsrouter.CauseLocal})
}

func (s *session) isWebSocket() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ws != nil
}
