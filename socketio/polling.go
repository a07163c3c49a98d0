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

// This file is the transport of clients that cannot, or not yet, use a WebSocket.
// What the client sends are bodies of POSTs, what it gets are responses to GETs;
// it always keeps one GET waiting, and may have one POST under way beside it.

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

// respondPayload answers with packets; the error is that of a client that does not
// get them, and its session ends. So it does where a ResponseWriter of middleware's
// panics, or the link would wait forever for what has become of its frames.
func (s *session) respondPayload(w http.ResponseWriter, packets []enginePacket) (err error) {
	err = net.ErrClosed // in a panic
	defer func() {
		switch { // what the packets said is lost
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

// pollOfLeaver answers a poll that its client's goodbye has overtaken, as one that
// was waiting then.
func pollOfLeaver(w http.ResponseWriter) {
	header := w.Header()
	header.Set("Cache-Control", "no-store")
	header.Set("Content-Type", "text/plain; charset=UTF-8")
	w.Write([]byte{engineNoop})
}

// respond writes a response to the network. The server's own timeouts are not
// meant for requests that wait. Ours is taken away again, as the server would
// leave it in place for the connection's next request.
func (s *session) respond(w http.ResponseWriter, contentType string, body []byte) error {
	rc := http.NewResponseController(w)
	rc.SetWriteDeadline(time.Now().Add(s.handler.limits.WriteTimeout))
	defer rc.SetWriteDeadline(time.Time{})
	w.Header().Set("Content-Type", contentType)
	if w.Header().Get("Content-Encoding") == "" { // else middleware compresses what we write
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

// poll answers a GET with what there is to say, and waits until there is.
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

// nextPoll waits for something to answer a poll with; nil means that the client
// has not waited. The link is told when the answer is written if it waits for that.
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

// answerLocked is what a poll is answered at this moment; nil lets it wait.
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

// probeRelease is how long a poll waits while a WebSocket probes. All such polls
// have to be released, but not in a circle without a pause.
const probeRelease = 100 * time.Millisecond

// waitLocked gives up the lock until there may be an answer; false means that
// the client has gone. PingInterval bounds it: then there is a ping to answer with.
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

// pollAgain is how long a client may take from the answer to a poll to its next:
// the time for the answer to arrive, and one way back. It is what a WebSocket has
// for its close frame.
const pollAgain = 5 * time.Second

// sayGoodbye leaves word for the next poll, and waits for it, unless the client
// should have polled long ago: that one has vanished, and would hear from any
// later poll that its session is not known. A WebSocket, also one that the client
// upgrades to meanwhile, has its close frame instead.
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

// post takes the packets of a request body, for which it has MessageTimeout. It
// answers when they are in their inboxes: a client that sends more than is handled
// has to wait, for handlers, not for a network.
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

// take receives a request body and returns the status to answer. post has set
// MessageTimeout. The post has ended with it, also where a Body of middleware's
// panics, and before the client is answered, who may then send the next.
func (s *session) take(w http.ResponseWriter, r *http.Request) int {
	defer s.endPost()
	if r.Header.Get("Content-Type") == "application/octet-stream" {
		s.fail(errEngine) // it is for older versions of the protocol
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

// lively tells of each arrival of bytes.
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
			p.data = bytes.Clone(p.data) // a message in an inbox is not to hold the whole body
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

// beginPost lets one post at a time in, and none after the upgrade: packets are
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
