package soak

import (
	"context"
	"net/http"
	"time"
)

// asking leaves handlers and streams running when its client vanishes.
var asking = text(`{"event":"join","data":["a","lone","victims"]}`, `{"event":"count","id":1,"data":{"Token":1,"N":-1}}`,
	`{"event":"count","id":2,"data":{"Token":2,"N":-1}}`, `{"event":"slow","id":3}`, `{"event":"ask","id":4,"data":1}`)

var askingSocket = text(`42["join",["a","lone","victims"]]`, `421["count",{"Token":1,"N":-1}]`,
	`422["count",{"Token":2,"N":-1}]`, `423["slow",1]`, `424["ask",1]`)

// vanish is a client that goes in the middle of something.
func (m *member) vanish() {
	srv := m.fleet.pick(m)
	one(m, m.vanishPlain, m.vanishPlain, m.vanishSocket, m.vanishSocket, m.vanishUnread, m.vanishHalf,
		m.vanishPoll, m.vanishForLong, m.vanishUpgrading)(srv)
	m.deeds.add(vanished)
	m.dawdle(0, 100*time.Millisecond)
}

// vanishPlain resets or ends a connection in the middle of a message.
func (m *member) vanishPlain(srv *server) {
	if c, ok := m.upgrade(srv, plainPath); ok {
		c.say(asking)
		c.listen(m.between(0, 50*time.Millisecond))
		c.say(text(`{"event":"echo","id":5,"data":1}`)[:m.IntN(20)])
		m.part(c)
	}
}

// vanishSocket goes soon, or at once, after it has asked to be let in.
func (m *member) vanishSocket(srv *server) {
	if c, ok := m.upgrade(srv, socketPath); ok {
		c.say(text("40", "40/chat,"))
		c.listen(m.between(0, 10*time.Millisecond))
		c.say(askingSocket)
		c.listen(m.between(0, 50*time.Millisecond))
		m.part(c)
	}
}

// vanishUnread says goodbye, and does not read the reaction.
func (m *member) vanishUnread(srv *server) {
	if c, ok := m.upgrade(srv, plainPath); ok {
		c.say(asking + frame(fin|opClose, "\x03\xe8"))
		m.dawdle(0, 50*time.Millisecond)
		m.part(c)
	}
}

// vanishHalf closes one direction, after which the server must close the other.
func (m *member) vanishHalf(srv *server) {
	path, first := plainPath, asking
	if m.IntN(2) == 0 {
		path, first = socketPath, text("40")+askingSocket
	}
	c, ok := m.upgrade(srv, path)
	if !ok {
		return
	}
	defer c.Close()
	c.say(first)
	c.listen(m.between(0, 50*time.Millisecond))
	c.CloseWrite()
	srv.watch(m.name+": the end of what is half closed", func() { c.listen(2 * patience) })
}

// vanishPoll gives up a waiting poll, which ends the session.
func (m *member) vanishPoll(srv *server) {
	w := m.newPolling(srv)
	defer w.web.CloseIdleConnections()
	if !m.enter(srv, w.open) {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), m.between(0, 50*time.Millisecond))
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, w.url, nil)
	if err != nil {
		m.fault("%v", err)
		return
	}
	if resp, err := w.web.Do(req); err == nil {
		resp.Body.Close()
	}
	w.goodbye() // if the poll was answered, the session goes on
}

// vanishForLong does not come back, or only when the server is about to lose patience,
// if the run is long enough.
func (m *member) vanishForLong(srv *server) {
	w := m.newPolling(srv)
	defer w.web.CloseIdleConnections()
	if !m.enter(srv, w.open) {
		return
	}
	w.send(message{Event: "count", ID: 1, Data: encode(count{1, -1})})
	if m.left() > 2*longTimes {
		return
	}
	m.dawdle(0, max(m.left(), 0)/2)
	w.goodbye()
}

// vanishUpgrading gives up in the middle of an upgrade; the session stays with polling.
func (m *member) vanishUpgrading(srv *server) {
	w := m.newPolling(srv)
	defer w.web.CloseIdleConnections()
	if !m.enter(srv, w.open) {
		return
	}
	if c, ok := m.upgrade(srv, socketPath+"&sid="+w.sid); ok {
		c.say(one(m, "", text("2probe"), text("2probe")[:3], text("2probe", "x"), text("nothing")))
		m.dawdle(0, 20*time.Millisecond)
		m.part(c)
	}
	if err := w.send(message{Event: "echo", Data: encode(1)}); err != nil && !srv.closing.Load() {
		m.fault("%s: after an upgrade that did not come: %v", srv.name, err)
	}
	w.goodbye()
}
