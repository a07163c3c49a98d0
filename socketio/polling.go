package socketio

import (
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/wsrouter/wsrouter"
)

// This file is the transport of clients that cannot, or not yet, use a WebSocket.
// What the client sends are bodies of POSTs, what it gets are responses to GETs;
// it always keeps one GET waiting, and may have one POST under way beside it.

func (h *handler) handshakePolling(w http.ResponseWriter, r *http.Request) {
	s, err := h.newSession(r, nil)
	if err != nil {
		(&engineError{3, "Bad request", http.StatusServiceUnavailable}).write(w)
		return
	}
	if h.opts.Cookie != nil {
		cookie := *h.opts.Cookie
		cookie.Value = s.sid
		http.SetCookie(w, &cookie)
	}
	writePayload(w, []enginePacket{s.openPacket("websocket")})
}

func writePayload(w http.ResponseWriter, packets []enginePacket) {
	w.Header().Set("Content-Type", "text/plain; charset=UTF-8")
	w.Header().Set("Cache-Control", "no-store")
	w.Write(appendPayload(nil, packets))
}

// poll answers a GET with what there is to say, and waits until there is.
func (s *session) poll(w http.ResponseWriter, r *http.Request) {
	rc := http.NewResponseController(w)
	rc.SetReadDeadline(time.Time{}) // the server's own timeouts are not meant for
	rc.SetWriteDeadline(time.Time{})
	s.mu.Lock()
	if s.polling {
		s.mu.Unlock()
		w.WriteHeader(http.StatusBadRequest)
		s.fail(errEngine)
		return
	}
	s.polling = true
	s.mu.Unlock()
	packets, taken := s.nextPoll(r)
	if packets == nil { // the client has gone
		s.end(&wsrouter.CloseError{Code: wsrouter.CloseAbnormal, Cause: wsrouter.CausePeer})
		return
	}
	rc.SetWriteDeadline(time.Now().Add(s.handler.limits.WriteTimeout))
	writePayload(w, packets)
	if taken != nil {
		close(taken)
	}
}

// nextPoll waits for something to answer a poll with; nil means that the client
// has not waited. taken is to be closed when the answer is written.
func (s *session) nextPoll(r *http.Request) (packets []enginePacket, taken chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer func() { s.polling = false }()
	for {
		switch {
		case len(s.out) > 0 && s.ws == nil:
			packets, taken = s.out, s.taken
			s.out, s.taken = nil, nil
			return packets, taken
		case s.goodbye:
			s.goodbye = false
			s.wakeLocked()
			return []enginePacket{{kind: engineNoop}, {kind: engineClose}}, nil
		case s.upgrading, s.ws != nil, s.ended:
			return []enginePacket{{kind: engineNoop}}, nil
		}
		changed := s.changed
		s.mu.Unlock()
		var gone bool
		select {
		case <-changed:
		case <-r.Context().Done():
			gone = true
		}
		s.mu.Lock()
		if gone {
			return nil, nil
		}
	}
}

// awaitPoll waits until a poll has taken what was put out.
func (s *session) awaitPoll(taken <-chan struct{}) error {
	timeout := time.NewTimer(s.handler.limits.WriteTimeout)
	defer timeout.Stop()
	select {
	case <-taken:
		return nil
	case <-s.closed:
		return net.ErrClosed
	case <-timeout.C:
		return os.ErrDeadlineExceeded
	}
}

// sayGoodbye leaves word for the next poll, and waits for it.
func (s *session) sayGoodbye() {
	s.mu.Lock()
	s.goodbye = true
	s.wakeLocked()
	s.mu.Unlock()
	timeout := time.NewTimer(s.handler.limits.WriteTimeout)
	defer timeout.Stop()
	for {
		s.mu.Lock()
		waiting, changed := s.goodbye && !s.ended, s.changed
		s.mu.Unlock()
		if !waiting {
			return
		}
		select {
		case <-changed:
		case <-timeout.C:
			return
		}
	}
}

// post takes the packets of a request body. It answers when they are in their
// inboxes: a client that sends more than is handled has to wait.
func (s *session) post(w http.ResponseWriter, r *http.Request) {
	rc := http.NewResponseController(w)
	rc.SetReadDeadline(time.Now().Add(s.handler.limits.MessageTimeout))
	rc.SetWriteDeadline(time.Time{})
	if !s.beginPost() || r.Header.Get("Content-Type") == "application/octet-stream" {
		w.WriteHeader(http.StatusBadRequest)
		s.fail(errEngine)
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, int64(s.handler.limits.MaxMessage)))
	if tooBig := new(http.MaxBytesError); errors.As(err, &tooBig) {
		s.endPost()
		w.WriteHeader(http.StatusRequestEntityTooLarge)
		return
	}
	if err != nil {
		s.end(&wsrouter.CloseError{Code: wsrouter.CloseAbnormal, Cause: wsrouter.CausePeer})
		return
	}
	rc.SetReadDeadline(time.Time{})
	s.receiveAll(body)
	s.endPost()
	w.Header().Set("Content-Type", "text/html")
	rc.SetWriteDeadline(time.Now().Add(s.handler.limits.WriteTimeout))
	io.WriteString(w, "ok")
}

// receiveAll handles the packets of a body up to the first bad one.
func (s *session) receiveAll(body []byte) {
	for more := true; more; more = len(body) > 0 {
		var p enginePacket
		var err error
		if p, body, err = nextInPayload(body); err != nil {
			s.fail(err)
			return
		}
		if !s.receive(p) {
			return
		}
	}
}

func (s *session) beginPost() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.posting {
		return false
	}
	s.posting = true
	return true
}

func (s *session) endPost() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.posting = false
}
