package soak

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"
)

// attack is a client that means harm. Whatever happens to it is right, as long as
// others do not notice.
func (m *member) attack() {
	srv := m.fleet.pick(m)
	switch m.IntN(4) {
	case 0, 1:
		m.storm(srv, plainPath, one(m, plainAttacks...)(m))
	case 2:
		m.storm(srv, socketPath, text("40")+one(m, socketAttacks...)(m))
	case 3:
		one(m, m.guess, m.pollAtOnce, m.postGarbage)(srv)
	}
	m.deeds.add(attacked)
	m.dawdle(0, 200*time.Millisecond)
}

// storm sends some bytes after a handshake, reads the result or does not, and goes.
func (m *member) storm(srv *server, path, bytes string) {
	c, ok := m.upgrade(srv, path)
	if !ok {
		return
	}
	var wg sync.WaitGroup
	wg.Go(func() { c.say(bytes) })
	if m.IntN(4) > 0 {
		c.listen(m.between(0, time.Second))
	} else {
		m.dawdle(0, time.Second)
	}
	m.part(c)
	wg.Wait()
}

// noise returns random bytes.
func (m *member) noise(n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(m.Uint32())
	}
	return string(b)
}

// names returns a list of rooms, in JSON, as long as a message may be.
func (m *member) names() string {
	if m.IntN(2) == 0 {
		return `["everyone"` + strings.Repeat(`,"a"`, 200_000) + "]"
	}
	var b strings.Builder
	b.WriteString(`["everyone"`)
	for i := range 80_000 {
		fmt.Fprintf(&b, `,"%d"`, i)
	}
	return b.String() + "]"
}

func (m *member) listEvent() string { return one(m, "say", "avoid", "join", "leave", "data") }

// plainAttacks return what is sent after the handshake.
var plainAttacks = []func(m *member) string{
	func(m *member) string { return m.noise(1 + m.IntN(2000)) },
	func(m *member) string { return text(m.noise(1+m.IntN(200)), `{"event":"echo","id":1}`) },
	func(m *member) string { return strings.Repeat(text(`{"event":`), 1000) },
	func(m *member) string { return frame(fin|opText, "x")[:2] + "unmasked" },
	func(m *member) string { return "\x81\x7f\xff\xff\xff\xff\xff\xff\xff\xff" + m.noise(100) },
	func(m *member) string { return "\x81\xff\x00\x00\x00\x00\x7f\xff\xff\xff" + m.noise(100_000) },
	func(m *member) string { return strings.Repeat(frame(fin|opPing, "ping"), 20_000) },
	func(m *member) string { return strings.Repeat(frame(fin|opClose, "\x03\xe8"), 1000) },
	func(m *member) string { return frame(opText, "") + strings.Repeat(frame(opContinue, ""), 50_000) },
	func(m *member) string { return strings.Repeat(frame(opText, "{")+frame(fin|opPing, ""), 10) },
	func(m *member) string { return strings.Repeat(text(`{"event":"echo","data":1}`), 20_000) },
	func(m *member) string { return strings.Repeat(text(`{"event":"slow"}`), 3000) },
	func(m *member) string { return strings.Repeat(text(`{"event":"big"}`), 500) },
	func(m *member) string {
		return strings.Repeat(text(`{"event":"count","data":{"Token":2,"N":-1}}`), 1500)
	},
	func(m *member) string { return text(`{"event":"count","id":1}`, `{"event":"count","id":1}`) },
	func(m *member) string {
		return strings.Repeat(text(`{"re":1,"data":1}`, `{"id":9,"cancel":true}`, `{"id":9,"pull":1}`), 1000)
	},
	func(m *member) string { return text(`{"id":1,"re":1}`) },
	func(m *member) string { return text(`{"event":"` + m.listEvent() + `","data":` + m.names() + "}") },
	func(m *member) string { return text(`{"event":"echo","data":` + strings.Repeat("[", 100_000) + "}") },
	func(m *member) string {
		return text(`{"event":"echo","data":` + strings.Repeat(`{"a":`, 9000) + "1" + strings.Repeat("}", 9000) + "}")
	},
	func(m *member) string {
		return text(`{"event":"echo","data":"` + strings.Repeat("x", 1_100_000) + `"}`)
	},
	func(m *member) string { return strings.Repeat(text(`{"event":"bye"}`, `{"event":"echo","id":1}`), 100) },
	func(m *member) string { return strings.Repeat(text(`{"event":"panic"}`, `{"event":"break"}`), 100) },
}

// socketAttacks return what is sent after joining a namespace.
var socketAttacks = []func(m *member) string{
	func(m *member) string { return text(m.noise(1 + m.IntN(200))) },
	func(m *member) string { return text(one(m, oddPackets...), `421["echo",1]`) },
	func(m *member) string { return text("40", "40") },
	func(m *member) string { return strings.Repeat(text("3"), 20_000) },
	func(m *member) string { return strings.Repeat(text("40/none,"), 5000) },
	func(m *member) string { return strings.Repeat(text("40/chat,", "41/chat,", "41", "40"), 1000) },
	func(m *member) string { return strings.Repeat(text(`42["echo",1]`), 20_000) },
	func(m *member) string { return strings.Repeat(text(`421["slow"]`), 3000) },
	func(m *member) string { return text(`42["echo"` + strings.Repeat(",0", 490_000) + "]") },
	func(m *member) string { return text(`42["` + m.listEvent() + `",` + m.names() + "]") },
	func(m *member) string { return text(`4510-["echo"]`) + strings.Repeat(frame(fin|opBinary, ""), 2000) },
	func(m *member) string {
		return text(`451-["echo",{"_placeholder":true,"num":7}]`) + frame(fin|opBinary, "x")
	},
	func(m *member) string { return text(`452-["echo"]`) + frame(fin|opBinary, "x") + text(`42["echo"]`) },
	func(m *member) string {
		return text(`42["echo",` + strings.Repeat("[", 10_000) + strings.Repeat("]", 10_000) + "]")
	},
	func(m *member) string {
		return text("40/chat,", `42/chat,1["bye"]`, `421["bye"]`) + strings.Repeat(text(`422["echo",1]`), 100)
	},
}

var oddPackets = []string{"", "4", "7", "2", "5", "6", "1", "4x", "42", "42[]", "42{}", `42["echo"`, "43", "431", "439[1]", "44", "45", "451", "451-",
	"46", `42/none,["echo"]`, `42["connect"]`, `42["disconnect"]`, "41/none", `42999999999999999999["echo"]`, "4511-[]"}

// guess asks for sessions that do not exist.
func (m *member) guess(srv *server) {
	w := m.newPolling(srv)
	defer w.web.CloseIdleConnections()
	w.url += "&sid="
	for i := range 100 {
		w.url = strings.TrimRight(w.url, "0123456789") + fmt.Sprintf("%020d", i)
		if _, err := w.do(one(m, http.MethodGet, http.MethodPost), "41"); err == nil {
			m.fault("%s has the session %d", srv.name, i)
		}
	}
}

// pollAtOnce uses one session concurrently in ways that are not allowed.
func (m *member) pollAtOnce(srv *server) {
	m.overHTTP(srv, func(w *pollingWire, _ raw) {
		var wg sync.WaitGroup
		for i := range 8 {
			method, body := http.MethodGet, ""
			if i%2 == 0 {
				method, body = http.MethodPost, strings.Repeat("42[\"echo\",1]\x1e", 1000)+"40\x1e41"
			}
			wg.Go(func() { w.do(method, body) })
		}
		srv.watch(m.name+": requests at once", wg.Wait)
	})
}

// postGarbage sends invalid bodies.
func (m *member) postGarbage(srv *server) {
	m.overHTTP(srv, func(w *pollingWire, c raw) {
		w.do(http.MethodPost, one(m, m.noise(1000), strings.Repeat("6\x1e", 100_000), strings.Repeat("b\x1e", 400_000),
			`4510-["echo"]`+strings.Repeat("\x1eb", 400_000), strings.Repeat("x", 1_000_001), one(m, oddPackets...)))
		c.say(m.noise(100) + "\r\n\r\n")
		c.listen(100 * time.Millisecond)
	})
}

// cycle joins and leaves namespaces as fast as it can.
func (m *member) cycle() {
	srv := m.fleet.pick(m)
	c, ok := m.upgrade(srv, socketPath)
	if !ok {
		return
	}
	go c.listen(patience) // until it is closed
	turn := one(m, text("40", "41"), text("40", `42["linger"]`, "41"),
		text("40/chat,", "40", "41/chat,", "41", "40/chat,", `42/chat,["linger"]`, "41/chat,"))
	end := time.Now().Add(m.between(100*time.Millisecond, 2*time.Second))
	c.SetWriteDeadline(end)
	for m.ctx.Err() == nil && time.Now().Before(end) {
		if _, err := c.Write([]byte(strings.Repeat(turn, 10))); err != nil {
			break
		}
		m.deeds.add(cycled)
		m.pause(time.Millisecond)
	}
	m.part(c)
	m.dawdle(0, 50*time.Millisecond)
}
