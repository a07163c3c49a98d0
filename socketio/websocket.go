package socketio

import (
	"encoding/base64"
	"errors"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/wsrouter/wsrouter"
	"github.com/wsrouter/wsrouter/adapter"
	"github.com/wsrouter/wsrouter/internal/socket"
)

// textOnly reports whether the client asks for base64 in place of binary messages.
func textOnly(r *http.Request) bool { return r.URL.Query().Get("b64") != "" }

func isUpgrade(r *http.Request) bool {
	return strings.EqualFold(r.Header.Get("Upgrade"), "websocket")
}

// accept makes a WebSocket of a request. If it cannot, it has answered and reported
// that: a client whose upgrade fails stays with polling, which might go unnoticed.
// The first subprotocol that the client offers is accepted, as by the reference. of
// returns whose WebSocket it is, or nil if that is not known yet.
func (h *handler) accept(w http.ResponseWriter, r *http.Request, of func() *session) (*socket.Conn, error) {
	first, _, _ := strings.Cut(r.Header.Get("Sec-WebSocket-Protocol"), ",")
	ws, err := socket.Accept(w, r, socket.Options{
		Subprotocols:   []string{strings.TrimSpace(first)},
		EventLoops:     h.limits.EventLoops,
		MaxMessage:     int64(h.limits.MaxMessage),
		MessageTimeout: h.limits.MessageTimeout,
		WriteTimeout:   h.limits.WriteTimeout,
		Alive: func() {
			if s := of(); s != nil {
				s.link.Alive()
			}
		},
		Control: func() {
			if s := of(); s != nil {
				s.link.Arrived(adapter.Frame{})
			}
		},
	})
	if err != nil {
		h.host.Refused(r, string(wsrouter.RefusedUpgrade), err)
	}
	return ws, err
}

// handshakeWebSocket begins a session without polling first.
func (h *handler) handshakeWebSocket(w http.ResponseWriter, r *http.Request) *inbound {
	var taken atomic.Pointer[session] // nil until there is a session
	ws, err := h.accept(w, r, taken.Load)
	if err != nil {
		return nil
	}
	s, err := h.newSession(r, ws)
	if err != nil {
		ws.Close(noStatus, "")
		return nil
	}
	taken.Store(s)
	s.put(s.openPacket())
	return &inbound{session: s, ws: ws}
}

// inbound reads a WebSocket of a session. It is the [socket.Handler].
type inbound struct {
	*session
	ws   *socket.Conn
	over bool // reads on only to find the close frame, for which our closing need not wait
}

// read reads until the session ends. The heartbeat and the Link bound how long the
// client may be silent, MessageTimeout how long a message may take.
func (in *inbound) read() {
	if in.handler.opts.Detach {
		go in.ws.Serve(in)
		<-in.link.Settled()
		return
	}
	in.ws.Serve(in)
	<-in.done.Done()
}

func (in *inbound) Message(data []byte, text bool) (flow adapter.Flow, turn adapter.Turn) {
	if in.over {
		return adapter.Closed, nil
	}
	p, err := packetOf(data, text)
	if err != nil {
		in.fail(err)
		in.over = true
		return adapter.Closed, nil
	}
	flow, turn = in.receive(p)
	in.over = flow == adapter.Closed
	return flow, turn
}

func (in *inbound) End(err error) { in.end(socket.EndOf(err)) }

func readPacket(ws *socket.Conn) (enginePacket, error) {
	data, text, err := ws.Read()
	if err != nil {
		return enginePacket{}, err
	}
	return packetOf(data, text)
}

func packetOf(data []byte, text bool) (enginePacket, error) {
	if !text {
		return enginePacket{kind: engineMessage, data: data, binary: true}, nil
	}
	return parseEngine(data)
}

// writer writes packets to a WebSocket.
type writer struct {
	ws     *socket.Conn
	base64 bool // the client takes text only
}

// write sends packets in one batch. The heartbeat and the upgrade use it, beside
// the link's writer.
func (w writer) write(packets ...enginePacket) error {
	w.ws.Begin()
	var failed error
	for _, p := range packets {
		if p.binary {
			failed = w.addBinary(p.data)
		} else {
			failed = w.ws.Write(string([]byte{p.kind}), p.data, true) // a single byte does not allocate
		}
		if failed != nil {
			break
		}
	}
	return errors.Join(failed, w.ws.End())
}

// addBinary adds a binary message packet to a batch.
func (w writer) addBinary(data []byte) error {
	if w.base64 {
		const prefix = string(engineBase64)
		return w.ws.Write(prefix, base64.StdEncoding.AppendEncode(nil, data), true)
	}
	return w.ws.Write("", data, false)
}

// add adds frames, each of which is a message packet, to a batch.
func (w writer) add(batch []adapter.Frame) error {
	const prefix = string(engineMessage)
	for i := range batch {
		for f := &batch[i]; f != nil; f = f.Next {
			if err := w.ws.Write(prefix, f.Text, true); err != nil {
				return err
			}
			for _, data := range f.Attachments {
				if err := w.addBinary(data); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// upgradeTimeout is how long a WebSocket may probe, including everything it reads
// and writes.
const upgradeTimeout = 10 * time.Second

// upgrade moves a polling session to a WebSocket:
//
//	client, on the WebSocket    server
//	2probe                  →
//	                        ←   3probe, and a noop to every poll
//	5                       →   from here on the WebSocket carries all
//
// A probe that fails closes only the WebSocket, and nil is returned.
func (s *session) upgrade(w http.ResponseWriter, r *http.Request) *inbound {
	ws, err := s.handler.accept(w, r, func() *session { return s })
	if err != nil {
		return nil
	}
	if !s.beginUpgrade(ws, textOnly(r)) {
		ws.Close(noStatus, "")
		return nil
	}
	late := time.AfterFunc(upgradeTimeout, ws.Abort)
	ok := s.probe(ws)
	if !late.Stop() || !ok || !s.endUpgrade(ws) {
		s.failUpgrade()
		ws.Close(noStatus, "")
		return nil
	}
	return &inbound{session: s, ws: ws}
}

func (s *session) beginUpgrade(ws *socket.Conn, base64 bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.probing != nil || s.ws != nil || s.ended {
		return false
	}
	s.probing, s.base64 = ws, base64
	return true
}

func (s *session) probe(ws *socket.Conn) bool {
	p, err := readPacket(ws)
	if err != nil || p.kind != enginePing || string(p.data) != "probe" {
		return false
	}
	if (writer{ws: ws}).write(enginePacket{kind: enginePong, data: p.data}) != nil {
		return false
	}
	s.mu.Lock()
	s.probed = true
	s.changed.Happen() // a waiting poll gets its noop
	s.mu.Unlock()
	p, err = readPacket(ws)
	return err == nil && p.kind == engineUpgrade
}

func (s *session) failUpgrade() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.probing, s.probed = nil, false
}

// endUpgrade switches to the WebSocket once the last post, which has
// MessageTimeout, is through, and sends on it what no poll has taken. It reports
// false if the session has ended.
func (s *session) endUpgrade(ws *socket.Conn) bool {
	s.mu.Lock()
	for s.posting && !s.ended {
		changed := s.changed.Next()
		s.mu.Unlock()
		<-changed
		s.mu.Lock()
	}
	if s.ended {
		s.mu.Unlock()
		return false
	}
	s.ws, s.probing, s.probed = ws, nil, false
	packets, pending, w := s.out, s.takePendingLocked(), s.writerLocked()
	s.out = nil
	s.changed.Happen()
	s.mu.Unlock()
	var err error
	if len(packets) > 0 {
		if err = w.write(packets...); err == nil {
			s.sentPackets(packets)
		}
	}
	if pending {
		s.link.Writable(err)
	}
	return true
}
