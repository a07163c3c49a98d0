package socketio

import (
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/wsrouter/wsrouter"
	"github.com/wsrouter/wsrouter/internal/socket"
)

func isUpgrade(r *http.Request) bool {
	return strings.EqualFold(r.Header.Get("Upgrade"), "websocket")
}

// accept makes a WebSocket of a request. The first subprotocol that the client
// offers is accepted, as by the reference.
func (h *handler) accept(w http.ResponseWriter, r *http.Request, alive func()) (*socket.Conn, error) {
	first, _, _ := strings.Cut(r.Header.Get("Sec-WebSocket-Protocol"), ",")
	return socket.Accept(w, r, socket.Options{
		Subprotocols:   []string{strings.TrimSpace(first)},
		MaxMessage:     int64(h.limits.MaxMessage),
		MessageTimeout: h.limits.MessageTimeout,
		WriteTimeout:   h.limits.WriteTimeout,
		Alive:          alive,
		Control:        alive,
	})
}

// handshakeWebSocket begins a session without polling first.
func (h *handler) handshakeWebSocket(w http.ResponseWriter, r *http.Request) {
	var s *session
	ws, err := h.accept(w, r, func() { s.link.Alive() })
	if err != nil {
		return // it has answered
	}
	if s, err = h.newSession(r, ws); err != nil {
		ws.Close(noStatus, "")
		return
	}
	s.put(s.openPacket())
	s.read(ws)
}

// read is the read loop of a WebSocket, to the end of the session.
func (s *session) read(ws *socket.Conn) {
	for {
		p, err := readPacket(ws)
		if err != nil {
			s.end(readFailure(err))
			break
		}
		if !s.receive(p) {
			s.skip(ws)
			break
		}
	}
	<-s.done
}

// skip reads on to the close frame, after which our closing need not wait.
func (s *session) skip(ws *socket.Conn) {
	for {
		if _, _, err := ws.Read(); err != nil {
			s.end(readFailure(err))
			return
		}
	}
}

func readPacket(ws *socket.Conn) (enginePacket, error) {
	data, text, err := ws.Read()
	if err != nil {
		return enginePacket{}, err
	}
	if !text {
		return enginePacket{kind: engineMessage, data: data, binary: true}, nil
	}
	return parseEngine(data)
}

func readFailure(err error) *wsrouter.CloseError {
	if code, reason, ok := socket.CloseStatus(err); ok {
		return &wsrouter.CloseError{Code: code, Reason: reason, Cause: wsrouter.CausePeer}
	}
	switch {
	case errors.Is(err, socket.ErrTooBig):
		return &wsrouter.CloseError{Code: wsrouter.CloseTooBig, Reason: "message too big", Cause: wsrouter.CauseProtocol}
	case errors.Is(err, socket.ErrTimeout):
		return &wsrouter.CloseError{Code: wsrouter.ClosePolicy, Reason: "message took too long", Cause: wsrouter.CauseTimeout}
	case errors.Is(err, socket.ErrProtocol), errors.Is(err, errEngine):
		return &wsrouter.CloseError{Code: wsrouter.CloseProtocol, Reason: "protocol error", Cause: wsrouter.CauseProtocol}
	}
	return &wsrouter.CloseError{Code: wsrouter.CloseAbnormal, Cause: wsrouter.CausePeer}
}

func writePackets(ws *socket.Conn, packets []enginePacket) error {
	ws.Begin()
	for _, p := range packets {
		data := p.data
		if !p.binary {
			data = p.appendText(make([]byte, 0, len(p.data)+1))
		}
		if err := ws.Write(data, !p.binary); err != nil {
			return err
		}
	}
	return ws.End()
}

// upgradeTimeout is how long a WebSocket may probe.
const upgradeTimeout = 10 * time.Second

// upgrade moves a polling session to a WebSocket:
//
//	client, on the WebSocket    server
//	2probe                  →
//	                        ←   3probe, and a noop to every poll
//	5                       →   from here on the WebSocket carries all
//
// A probe that fails closes the WebSocket alone.
func (s *session) upgrade(w http.ResponseWriter, r *http.Request) {
	ws, err := s.handler.accept(w, r, s.link.Alive)
	if err != nil {
		return
	}
	if !s.beginUpgrade() {
		ws.Close(noStatus, "")
		return
	}
	late := time.AfterFunc(upgradeTimeout, ws.Abort)
	ok := s.probe(ws)
	if !late.Stop() || !ok {
		s.endUpgrade(nil)
		ws.Close(noStatus, "")
		return
	}
	s.endUpgrade(ws)
	s.read(ws)
}

func (s *session) beginUpgrade() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.upgrading || s.ws != nil || s.ended {
		return false
	}
	s.upgrading = true
	return true
}

func (s *session) probe(ws *socket.Conn) bool {
	p, err := readPacket(ws)
	if err != nil || p.kind != enginePing || string(p.data) != "probe" {
		return false
	}
	if ws.Write([]byte("3probe"), true) != nil {
		return false
	}
	s.mu.Lock()
	s.wakeLocked() // a waiting poll gets its noop
	s.mu.Unlock()
	p, err = readPacket(ws)
	return err == nil && p.kind == engineUpgrade
}

// endUpgrade takes up the WebSocket, if there is one, and sends on it what no
// poll has taken.
func (s *session) endUpgrade(ws *socket.Conn) {
	s.mu.Lock()
	s.upgrading = false
	if s.ended && ws != nil {
		go ws.Close(noStatus, "")
	}
	s.ws = ws
	packets, taken := s.out, s.taken
	if ws != nil {
		s.out, s.taken = nil, nil
	}
	s.wakeLocked()
	s.mu.Unlock()
	if ws == nil {
		return
	}
	if len(packets) > 0 {
		writePackets(ws, packets)
	}
	if taken != nil {
		close(taken)
	}
}
