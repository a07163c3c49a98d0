package socketio

import (
	"encoding/json"
	"net"
	"net/http"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/wsrouter/wsrouter"
	"github.com/wsrouter/wsrouter/adapter"
	"github.com/wsrouter/wsrouter/internal/lazy"
	"github.com/wsrouter/wsrouter/internal/socket"
)

// session is one client's Engine.IO connection, and the [adapter.Transport] of its
// Link. It begins over polling or WebSocket, and may change once from polling to
// WebSocket.
type session struct {
	adapter.Gate
	handler *handler
	sid     string
	link    adapter.Link
	client  *client
	ready   lazy.Latch // closed when the session has its link
	done    lazy.Latch // closed when everything about it is released

	delivery sync.Mutex // held while a packet is delivered, or the link is told of the end
	over     bool       // the link has been told of the end; guarded by delivery

	mu        sync.Mutex     // guards everything below
	heartbeat *time.Timer    // until the next ping
	connect   *time.Timer    // until a namespace has let the client in
	partial   *time.Timer    // until the attachments of a message have arrived; nil if none are awaited
	ws        *socket.Conn   // nil while polling
	probing   *socket.Conn   // wants to become ws; nil if none does
	base64    bool           // the WebSocket's client takes text only
	probed    bool           // probing has been told that it may: polls are released
	out       []enginePacket // for the next poll
	pending   *time.Timer    // until the link's frames in out must have been taken; nil if there are none
	changed   lazy.Signal    // wakes those who wait for a change
	polling   bool           // a poll is waiting
	posting   bool           // a post is being handled
	polled    time.Time      // when a poll, or the handshake, was last answered
	goodbye   bool           // our side closes: the next poll is told
	ended     bool
	byClient  bool // the client has ended it
	arrivals  arrivals
}

// newSession makes a session and its link. ws is nil for polling.
func (h *handler) newSession(r *http.Request, ws *socket.Conn) (*session, error) {
	s := &session{
		handler: h,
		sid:     h.newSID(),
		ws:      ws,
		base64:  textOnly(r),
		polled:  time.Now(),
	}
	s.client = &client{session: s, joined: make(map[string]adapter.Conn)}
	link, err := h.host.NewLink(s, adapter.LinkOptions{Request: r, Detached: h.opts.Detach || ws == nil, Multiplexed: true})
	if err != nil {
		return nil, err
	}
	defer s.ready.Happen() // whoever closes the session may be waiting for this
	s.mu.Lock()
	defer s.mu.Unlock()
	s.link = link
	s.heartbeat = time.AfterFunc(h.addSession(s), s.ping)
	s.connect = time.AfterFunc(h.limits.ConnectTimeout, s.noNamespace)
	return s, nil
}

// maxHeartbeat is the longest interval that a client is told, about 12 days. A
// JavaScript timer takes the sum of two intervals, and must stay below 2^31 ms.
const maxHeartbeat = 1<<30 - 1

// openPacket returns the first packet of a session.
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

// ping is the heartbeat: the client answers it, and closes if none arrives. The
// Link watches for the answer.
func (s *session) ping() { s.put(enginePacket{kind: enginePing}) }

// Ping implements [adapter.Transport]. It does nothing: the heartbeat pings at the
// right time.
func (s *session) Ping() {}

// pong restarts the heartbeat: the next ping comes PingInterval after this answer.
// It returns what the answer proves to have arrived.
func (s *session) pong() (arrived map[string]offset) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.ended {
		s.heartbeat.Reset(s.handler.limits.PingInterval)
	}
	return s.arrivals.pong()
}

func (s *session) noNamespace() {
	s.end(adapter.End{Code: wsrouter.ClosePolicy, Reason: "no namespace joined", Cause: adapter.CauseTimeout})
}

// awaitParts starts or stops the timer for the attachments of a message.
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

func tookTooLong() adapter.End {
	return adapter.End{Code: wsrouter.ClosePolicy, Reason: "message took too long", Cause: adapter.CauseTimeout}
}

// receive handles a packet from the client. If it returns Closed the session has
// ended, and nothing more must be read.
func (s *session) receive(p enginePacket) (adapter.Flow, adapter.Turn) {
	flow, turn, err := s.deliver(p)
	switch {
	case err != nil:
		s.fail(err)
		return adapter.Closed, nil
	case flow == adapter.Closed:
		return flow, turn
	}
	switch p.kind {
	case enginePong:
		s.client.arrived(s.pong())
	case engineClose:
		s.end(adapter.End{Code: wsrouter.CloseNormal, Cause: adapter.CausePeer})
		return adapter.Closed, nil
	case enginePing: // in this version of the protocol only servers ping
		s.fail(errEngine)
		return adapter.Closed, nil
	}
	return flow, turn
}

// deliver hands a packet to the link, and a message to its namespace, unless the
// link is being told of the end or has been.
func (s *session) deliver(p enginePacket) (flow adapter.Flow, turn adapter.Turn, err error) {
	s.delivery.Lock() // its holders never wait
	defer s.delivery.Unlock()
	if s.over || !s.link.Arrived(p.frame()) {
		return adapter.Closed, nil, nil
	}
	if p.kind == engineMessage {
		flow, turn, err = s.client.receive(p)
	}
	if flow == adapter.Closed { // one namespace has ended, the others remain
		flow = adapter.Go
	}
	return flow, turn, err
}

// tellEnd tells the link of the end.
func (s *session) tellEnd(e adapter.End) (gone <-chan struct{}) {
	s.delivery.Lock()
	defer s.delivery.Unlock()
	s.over = true
	return s.link.End(e)
}

// fail ends the session because of a mistake of the client.
func (s *session) fail(err error) {
	s.end(adapter.End{Code: wsrouter.CloseProtocol, Reason: err.Error(), Cause: adapter.CauseProtocol})
}

// end ends the session: polls are released, a WebSocket is closed, and the link is
// told. It does not wait for that; done is closed afterwards.
func (s *session) end(e adapter.End) {
	s.mu.Lock()
	if s.ended {
		s.mu.Unlock()
		return
	}
	s.ended, s.byClient = true, e.Cause == adapter.CausePeer
	s.changed.Happen()
	pending := s.takePendingLocked()
	s.heartbeat.Stop()
	s.connect.Stop()
	if s.partial != nil {
		s.partial.Stop()
	}
	sockets := [...]*socket.Conn{s.ws, s.probing}
	polls := s.ws == nil && !s.polling && s.byClient && e.Code == wsrouter.CloseNormal
	s.mu.Unlock()
	s.handler.removeSession(s, polls)
	code := noStatus // apart from one, Socket.IO has no codes, and its clients look for none
	if e.Code == wsrouter.CloseTooBig {
		code = e.Code
	}
	for _, ws := range sockets {
		if ws != nil {
			go ws.Close(code, "")
		}
	}
	if pending {
		s.link.Writable(net.ErrClosed)
	}
	gone := s.tellEnd(s.asLoss(e))
	go func() {
		<-gone
		s.done.Happen()
	}()
}

// asLoss turns the end of a transport into a loss if the client may come back. A
// goodbye is a DISCONNECT, or 1001 when a page is left. Ending the Engine.IO
// session or the WebSocket is not a goodbye: socket.io-client does both when it has
// heard nothing for too long, and then comes back.
func (s *session) asLoss(e adapter.End) adapter.End {
	if s.handler.limits.Window > 0 && e.Cause == adapter.CausePeer && (e.Code == wsrouter.CloseNormal || e.Code == noStatus) {
		return adapter.End{Code: wsrouter.CloseAbnormal, Reason: e.Reason, Cause: e.Cause}
	}
	return e
}

// noStatus makes a close frame without a code.
const noStatus = 1005

// put sends a packet of the session's own, in addition to those of the link.
func (s *session) put(p enginePacket) {
	s.mu.Lock()
	w := s.writerLocked()
	toPoll := w.ws == nil && !s.ended && !s.waitsLocked(p.kind)
	if p.kind == enginePing && (toPoll || w.ws != nil) {
		s.arrivals.ping()
	}
	if toPoll {
		s.out = append(s.out, p)
		s.changed.Happen()
	}
	s.mu.Unlock()
	if w.ws != nil {
		w.write(p)
	}
}

// waitsLocked reports whether a packet of that kind waits for a poll. A client may
// answer pings that it has not received, and never poll; so at most one ping waits.
func (s *session) waitsLocked(kind byte) bool {
	return slices.ContainsFunc(s.out, func(p enginePacket) bool { return p.kind == kind })
}

// writerLocked returns a writer for the WebSocket, if there is one.
func (s *session) writerLocked() writer { return writer{s.ws, s.base64} }

// Write implements [adapter.Transport].
func (s *session) Write(batch []adapter.Frame) (pending bool, err error) {
	s.mu.Lock()
	if hasWelcome(batch) {
		s.connect.Stop()
	}
	w := s.writerLocked()
	if w.ws == nil && !s.ended {
		s.out = enginePackets(s.out, batch)
		s.pending = time.AfterFunc(s.handler.limits.WriteTimeout, s.notPolled)
		s.changed.Happen()
	}
	ended := s.ended
	s.mu.Unlock()
	switch {
	case w.ws != nil:
		return s.push(w, batch)
	case ended:
		return false, net.ErrClosed
	}
	return true, nil
}

// push writes a batch to a WebSocket.
func (s *session) push(w writer, batch []adapter.Frame) (pending bool, err error) {
	pending, err = w.ws.Push(func() error { return w.add(batch) }, func(err error) {
		if err == nil {
			s.sentFrames(batch)
		}
		s.link.Writable(err)
	})
	if !pending && err == nil {
		s.sentFrames(batch)
	}
	return pending, err
}

// sentFrames notes frames that were handed to the network; sentPackets notes
// packets.
func (s *session) sentFrames(batch []adapter.Frame) {
	if s.handler.limits.Window == 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range batch {
		s.arrivals.sent(f.Text)
	}
}

func (s *session) sentPackets(packets []enginePacket) {
	if s.handler.limits.Window == 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range packets {
		if p.kind == engineMessage && !p.binary {
			s.arrivals.sent(p.data)
		}
	}
}

// takePendingLocked reports whether out had frames of the link. Whoever takes them
// must tell the link what became of them.
func (s *session) takePendingLocked() bool {
	if s.pending == nil {
		return false
	}
	s.pending.Stop()
	s.pending = nil
	return true
}

// notPolled is called when no poll has taken what was put out: the client is slow,
// or it is lost and may come back.
func (s *session) notPolled() {
	if s.handler.limits.Window > 0 {
		s.end(adapter.End{Code: wsrouter.CloseAbnormal, Reason: "no poll", Cause: adapter.CauseTimeout})
		return
	}
	s.mu.Lock()
	pending := s.takePendingLocked()
	s.mu.Unlock()
	if pending {
		s.link.Writable(os.ErrDeadlineExceeded)
	}
}

// hasWelcome reports whether a namespace lets the client in; a server sends CONNECT
// for nothing else.
func hasWelcome(batch []adapter.Frame) bool {
	for _, f := range batch {
		if len(f.Text) > 0 && f.Text[0] == typeConnect {
			return true
		}
	}
	return false
}

// Close implements [adapter.Transport].
func (s *session) Close(e adapter.End) {
	go func() {
		<-s.ready.Done()
		s.sayGoodbye()
		s.end(adapter.End{Code: e.Code, Reason: e.Reason, Cause: adapter.CauseLocal})
	}()
}

// Abort implements [adapter.Transport].
func (s *session) Abort() {
	go func() { // over TLS this may wait
		<-s.ready.Done()
		s.mu.Lock()
		sockets := [...]*socket.Conn{s.ws, s.probing}
		s.mu.Unlock()
		for _, ws := range sockets {
			if ws != nil {
				ws.Abort()
			}
		}
		s.end(adapter.End{Code: wsrouter.CloseAbnormal, Cause: adapter.CauseLocal})
	}()
}

// Name implements [adapter.Named].
func (s *session) Name() string {
	if s.isWebSocket() {
		return "websocket"
	}
	return "polling"
}

func (s *session) isWebSocket() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ws != nil
}
