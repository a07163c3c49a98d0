package soak

import (
	"fmt"
	"io"
	"strings"
	"time"
)

// stall is a client that stays and does not do what is expected of it.
func (m *member) stall() {
	srv := m.fleet.pick(m)
	one(m, m.neverRead, m.neverRead, m.readSlowly, m.writeSlowly, m.neverReadSocket,
		m.neverPoll, m.pollSlowly, m.postSlowly, m.handshakeHalf)(srv)
	m.deeds.add(stalled)
}

// patiently returns how long a client stalls unless it is cut before; in a long run
// that is longer than servers wait.
func (m *member) patiently() time.Duration {
	longest := 4 * time.Second
	if m.left() > 2*longTimes {
		longest = 3 * longTimes / 2
	}
	return m.between(longest/8, longest)
}

// greedy asks for more than it will ever take.
var greedy = text(`{"event":"join","data":["spam"]}`) + strings.Repeat(text(`{"event":"big"}`), 20)

func (m *member) neverRead(srv *server) {
	if c, ok := m.upgrade(srv, plainPath); ok {
		c.say(greedy)
		m.pause(m.patiently())
		m.part(c)
	}
}

func (m *member) readSlowly(srv *server) {
	if c, ok := m.upgrade(srv, plainPath); ok {
		c.say(greedy)
		m.slowly(func(buf []byte) error { _, err := c.Read(buf); return err })
		m.part(c)
	}
}

// slowly does something with single bytes until it fails.
func (m *member) slowly(do func([]byte) error) {
	end := time.Now().Add(m.patiently())
	for m.ctx.Err() == nil && time.Now().Before(end) {
		if do([]byte(" ")) != nil {
			return
		}
		m.pause(5 * time.Millisecond)
	}
}

// writeSlowly sends a message, its header or its fragments byte by byte.
func (m *member) writeSlowly(srv *server) {
	if c, ok := m.upgrade(srv, one(m, plainPath, socketPath)); ok {
		go c.listen(patience) // until it is closed
		message := one(m,
			frame(fin|opText, strings.Repeat(" ", 60_000)),
			strings.Repeat(frame(opText, " ")+frame(opContinue, " ")+frame(opContinue|fin, "{}"), 1000),
			strings.Repeat(frame(fin|opPing, ""), 1000))
		rest := strings.NewReader(message)
		m.slowly(func([]byte) error { _, err := io.CopyN(c, rest, 1); return err })
		m.part(c)
	}
}

func (m *member) neverReadSocket(srv *server) {
	if c, ok := m.upgrade(srv, socketPath); ok {
		c.say(text("40", `42["join",["spam"]]`) + strings.Repeat(text(`42["big"]`), 20))
		m.pause(m.patiently())
		m.part(c)
	}
}

// neverPoll has a session and never polls.
func (m *member) neverPoll(srv *server) {
	w := m.newPolling(srv)
	defer w.web.CloseIdleConnections()
	if m.enter(srv, w.open) {
		w.send(message{Event: "join", Data: encode([]string{"spam", "a", "b"})})
		m.pause(m.patiently())
		w.goodbye()
	}
}

// pollSlowly reads the answer to a poll byte by byte.
func (m *member) pollSlowly(srv *server) {
	m.overHTTP(srv, func(w *pollingWire, c raw) {
		w.send(message{Event: "big", ID: 1, Data: encode(1)})
		fmt.Fprintf(c, "GET %s&sid=%s HTTP/1.1\r\nHost: soak\r\n\r\n", pollPath, w.sid)
		m.slowly(func(buf []byte) error { _, err := c.Read(buf); return err })
	})
}

// postSlowly sends a body byte by byte.
func (m *member) postSlowly(srv *server) {
	m.overHTTP(srv, func(w *pollingWire, c raw) {
		fmt.Fprintf(c, "POST %s&sid=%s HTTP/1.1\r\nHost: soak\r\nContent-Length: 60000\r\n\r\n", pollPath, w.sid)
		m.slowly(func(buf []byte) error { _, err := c.Write(buf); return err })
	})
}

// overHTTP opens a session, and a separate connection for a request written by hand.
func (m *member) overHTTP(srv *server, do func(w *pollingWire, c raw)) {
	w := m.newPolling(srv)
	defer w.web.CloseIdleConnections()
	if !m.enter(srv, w.open) {
		return
	}
	if c, ok := m.connect(srv); ok {
		c.SetReadBuffer(4 << 10)
		do(w, c)
		m.part(c)
	}
	w.goodbye()
}

func (m *member) handshakeHalf(srv *server) {
	if c, ok := m.connect(srv); ok {
		c.say(one(m, "", "G", "GET "+socketPath+" HTTP/1.1\r\n", "GET "+plainPath+" HTTP/1.1\r\nHost: soak\r\nUpgrade: webso"))
		m.pause(m.patiently())
		m.part(c)
	}
}
