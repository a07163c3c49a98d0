package socketio

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"time"

	"github.com/wsrouter/wsrouter"
	"github.com/wsrouter/wsrouter/adapter"
)

// This file is the transport of clients that cannot use a WebSocket, or not yet. A
// client sends in the bodies of POSTs and receives in the responses to GETs. It
// always keeps one GET waiting, and may have one POST under way beside it.

func (h *handler) handshakePolling(w http.ResponseWriter, r *http.Request) {
	s, err := h.newSession(r, nil)
	if err != nil {
		h.refuse(w, r, errUnavailable)
		return
	}
	if h.opts.Cookie != nil {
		cookie := *h.opts.Cookie
		cookie.Value = s.sid
		http.SetCookie(w, &cookie)
	}
	s.respondPayload(w, []enginePacket{s.openPacket("websocket")})
}

// respondPayload answers with packets. The error says that the client does not get
// them; its session then ends. The session also ends if the ResponseWriter of some
// middleware panics; otherwise the link would wait forever to learn what became of
// its frames.
func (s *session) respondPayload(w http.ResponseWriter, packets []enginePacket) (err error) {
	err = net.ErrClosed // in a panic
	defer func() {
		switch { // the packets are lost
		case errors.Is(err, os.ErrDeadlineExceeded):
			s.end(adapter.End{Code: wsrouter.ClosePolicy, Reason: "slow client", Cause: adapter.CauseSlow})
		case err != nil:
			s.end(gone())
		}
	}()
	w.Header().Set("Cache-Control", "no-store")
	err = s.respond(w, "text/plain; charset=UTF-8", appendPayload(nil, packets))
	return err
}

// pollOfLeaver answers a poll that was overtaken by its client's goodbye, as if it
// had been waiting then.
func pollOfLeaver(w http.ResponseWriter) {
	header := w.Header()
	header.Set("Cache-Control", "no-store")
	header.Set("Content-Type", "text/plain; charset=UTF-8")
	w.Write([]byte{engineNoop})
}

// respond writes a response to the network. The server's own timeouts are not meant
// for requests that wait. Ours is removed afterwards, because the server would
// leave it in place for the next request on the connection.
func (s *session) respond(w http.ResponseWriter, contentType string, body []byte) error {
	rc := http.NewResponseController(w)
	rc.SetWriteDeadline(time.Now().Add(s.handler.limits.WriteTimeout))
	defer rc.SetWriteDeadline(time.Time{})
	w.Header().Set("Content-Type", contentType)
	if w.Header().Get("Content-Encoding") == "" { // otherwise middleware compresses it
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	}
	if _, err := w.Write(body); err != nil {
		return err
	}
	if err := rc.Flush(); !errors.Is(err, http.ErrNotSupported) {
		return err
	}
	return nil
}

// gone is the end of a client that did not wait for our answer.
func gone() adapter.End {
	return adapter.End{Code: wsrouter.CloseAbnormal, Cause: adapter.CausePeer}
}

// poll answers a GET with what there is to send, and waits until there is
// something.
func (s *session) poll(w http.ResponseWriter, r *http.Request) {
	rc := http.NewResponseController(w)
	rc.SetReadDeadline(time.Time{})
	rc.SetWriteDeadline(time.Time{})
	if !s.beginPoll() {
		w.WriteHeader(http.StatusBadRequest)
		s.fail(errEngine)
		return
	}
	packets, pending := s.nextPoll(r)
	if packets == nil {
		s.end(gone())
		return
	}
	err := s.respondPayload(w, packets)
	if err == nil {
		s.sentPackets(packets)
	}
	s.endPoll()
	if pending {
		s.link.Writable(err)
	}
}

func (s *session) endPoll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.polled = time.Now()
}

func (s *session) beginPoll() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.polling {
		return false
	}
	s.polling = true
	return true
}

// nextPoll waits for something to answer a poll with; nil means that the client has
// not waited. If pending, the link must be told when the answer has been written.
func (s *session) nextPoll(r *http.Request) (packets []enginePacket, pending bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer func() { s.polling, s.polled = false, time.Now() }()
	for waited := false; ; waited = true {
		if packets, pending = s.answerLocked(waited); packets != nil {
			return packets, pending
		}
		if !s.waitLocked(r) {
			return nil, false
		}
	}
}

// answerLocked returns what a poll is answered with now; nil means that it must
// wait.
func (s *session) answerLocked(waited bool) (packets []enginePacket, pending bool) {
	noop, bye := enginePacket{kind: engineNoop}, enginePacket{kind: engineClose}
	switch {
	case len(s.out) > 0 && s.ws == nil:
		packets, pending = s.out, s.takePendingLocked()
		s.out = nil
	case s.goodbye:
		s.goodbye = false
		s.changed.Happen()
		if packets = []enginePacket{noop, bye}; waited { // as the reference
			packets = packets[1:]
		}
	case s.ended && !s.byClient:
		packets = []enginePacket{bye}
	case s.ended, s.ws != nil, s.probed && waited:
		packets = []enginePacket{noop}
	}
	return packets, pending
}

// probeRelease is how long a poll waits while a WebSocket is probing. All such
// polls must be released, but not in a busy loop.
const probeRelease = 100 * time.Millisecond

// waitLocked releases the lock until there may be an answer; false means that the
// client has gone. PingInterval bounds the wait: after that there is a ping to
// answer with.
func (s *session) waitLocked(r *http.Request) bool {
	changed := s.changed.Next()
	var release <-chan time.Time
	if s.probed {
		timer := time.NewTimer(probeRelease)
		defer timer.Stop()
		release = timer.C
	}
	s.mu.Unlock()
	defer s.mu.Lock()
	select {
	case <-changed:
	case <-release:
	case <-r.Context().Done():
		return false
	}
	return true
}

// pollAgain is how long a client may take between the answer to a poll and its next
// poll: the time for the answer to arrive, and one way back. A WebSocket has as
// long for its close frame.
const pollAgain = 5 * time.Second

// sayGoodbye leaves the goodbye for the next poll and waits for that. It does not
// wait if the client should have polled long ago: such a client has vanished, and a
// later poll would be told that there is no such session. A WebSocket gets a close
// frame instead, even one to which the client upgrades in the meantime.
func (s *session) sayGoodbye() {
	s.mu.Lock()
	defer s.mu.Unlock()
	patience := pollAgain
	if !s.polling {
		patience -= time.Since(s.polled)
	}
	if patience <= 0 {
		return
	}
	s.goodbye = s.ws == nil
	s.changed.Happen()
	timeout := time.NewTimer(min(patience, s.handler.limits.WriteTimeout))
	defer timeout.Stop()
	for s.goodbye && !s.ended && s.ws == nil {
		changed := s.changed.Next()
		s.mu.Unlock()
		late := false
		select {
		case <-changed:
		case <-timeout.C:
			late = true
		}
		s.mu.Lock()
		if late {
			return
		}
	}
}

// post takes the packets of a request body, which has MessageTimeout to arrive. It
// answers when the packets are in their inboxes: a client that sends more than is
// handled has to wait, for handlers but not for a network.
func (s *session) post(w http.ResponseWriter, r *http.Request) {
	rc := http.NewResponseController(w)
	rc.SetReadDeadline(time.Now().Add(s.handler.limits.MessageTimeout))
	rc.SetWriteDeadline(time.Time{})
	switch ok, upgraded := s.beginPost(); {
	case upgraded:
		s.handler.refuse(w, r, errRequest)
		return
	case !ok:
		w.WriteHeader(http.StatusBadRequest)
		s.fail(errEngine)
		return
	}
	status := s.take(w, r)
	if status != http.StatusOK {
		// The read deadline stays, for the rest of the body.
		rc.SetWriteDeadline(time.Now().Add(s.handler.limits.WriteTimeout))
		w.WriteHeader(status)
		return
	}
	rc.SetReadDeadline(time.Time{})
	s.respond(w, "text/html", []byte("ok"))
}

// take receives a request body and returns the status to answer with. post has set
// MessageTimeout. When take returns the post has ended, even if the Body of some
// middleware panics. Only then is the client answered, because it may send the next
// post at once.
func (s *session) take(w http.ResponseWriter, r *http.Request) int {
	defer s.endPost()
	if r.Header.Get("Content-Type") == "application/octet-stream" {
		s.fail(errEngine) // it belongs to older versions of the protocol
		return http.StatusBadRequest
	}
	body, err := io.ReadAll(lively{http.MaxBytesReader(w, r.Body, int64(s.handler.limits.MaxMessage)), s.link.Alive})
	tooBig := new(http.MaxBytesError)
	switch {
	case err == nil:
		s.receiveAll(body)
		return http.StatusOK
	case errors.As(err, &tooBig):
		return http.StatusRequestEntityTooLarge // the session stays, as in the reference
	case errors.Is(err, os.ErrDeadlineExceeded):
		s.end(tookTooLong())
		return http.StatusRequestTimeout
	}
	s.end(gone())
	return http.StatusBadRequest
}

// lively reports each arrival of bytes.
type lively struct {
	io.Reader
	alive func()
}

func (l lively) Read(p []byte) (int, error) {
	n, err := l.Reader.Read(p)
	l.alive()
	return n, err
}

// receiveAll handles the packets of a body up to the first bad one.
func (s *session) receiveAll(body []byte) {
	for more := true; more; {
		var p enginePacket
		var err error
		if p, body, more, err = nextInPayload(body); err != nil {
			s.fail(err)
			return
		}
		if !p.binary {
			p.data = bytes.Clone(p.data) // so that a message in an inbox does not hold the whole body
		}
		flow, turn := s.receive(p)
		if turn != nil {
			go turn.Work()
		}
		switch flow {
		case adapter.Pause:
			s.Wait()
		case adapter.Closed:
			return
		}
	}
}

// beginPost admits one post at a time, and none after the upgrade: packets must be
// received by one goroutine.
func (s *session) beginPost() (ok, upgraded bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.ws != nil:
		return false, true
	case s.posting:
		return false, false
	}
	s.posting = true
	return true, false
}

func (s *session) endPost() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.posting = false
	s.changed.Happen()
}
