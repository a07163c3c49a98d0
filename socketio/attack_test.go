package socketio_test

import (
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"
	"github.com/stretchr/testify/require"

	"github.com/wsrouter/wsrouter"
	"github.com/wsrouter/wsrouter/internal/leak"
	"github.com/wsrouter/wsrouter/socketio"
)

// attack is what a misbehaving client does. What it leaves open is cut only after the
// server has had its time; a victim beside it is served throughout.
type attack struct {
	name string
	do   func(s *site, dial func() net.Conn)
}

const head = " HTTP/1.1\r\nHost: memory\r\n"

var attacks = []attack{
	{"a session that is guessed", func(s *site, _ func() net.Conn) {
		for i := range 1000 {
			for _, method := range []string{"GET", "POST"} {
				a := s.do(method, fmt.Sprintf("%s&sid=%020d", polling, i), "41")
				require.Equal(s.t, 400, a.status)
			}
		}
	}},
	{"sessions without end", func(s *site, _ func() net.Conn) {
		for range 300 {
			s.open()
		}
	}},
	{"a flood of posts", func(s *site, _ func() net.Conn) {
		p := s.open()
		p.join("40")
		for range 2000 {
			if a := s.do("POST", p.query(), `42["echo",1]`); a.body != "ok" {
				return
			}
		}
	}},
	{"a flood of posts at once", func(s *site, dial func() net.Conn) {
		p := s.open()
		for range 50 {
			fmt.Fprintf(dial(), "POST /socket.io/?%s%sContent-Length: 100\r\n\r\n4", p.query(), head)
		}
	}},
	{"polls at once", func(s *site, dial func() net.Conn) {
		p := s.open()
		p.join("40")
		for range 50 {
			fmt.Fprintf(dial(), "GET /socket.io/?%s%s\r\n", p.query(), head)
		}
	}},
	{"a poll held open forever", func(s *site, dial func() net.Conn) {
		p := s.open()
		p.join("40")
		fmt.Fprintf(dial(), "GET /socket.io/?%s%s\r\n", p.query(), head)
	}},
	{"a poll read at a byte a second", func(s *site, dial func() net.Conn) {
		p := s.open()
		p.join("40")
		p.post(`42["echo","` + strings.Repeat("x", 900_000) + `"]`)
		conn := dial()
		fmt.Fprintf(conn, "GET /socket.io/?%s%s\r\n", p.query(), head)
		trickle(conn.Read)
	}},
	{"a post sent at a byte a second", func(s *site, dial func() net.Conn) {
		p := s.open()
		conn := dial()
		fmt.Fprintf(conn, "POST /socket.io/?%s%sContent-Length: 900000\r\n\r\n", p.query(), head)
		trickle(conn.Write)
	}},
	{"a message sent at a byte a second", func(s *site, dial func() net.Conn) {
		conn := rawSocket(s, dial, "")
		conn.Write([]byte{0x81, 0xfe, 0xff, 0xff, 0, 0, 0, 0})
		trickle(conn.Write)
	}},
	{"a megabyte of b packets", func(s *site, _ func() net.Conn) {
		p := s.open()
		p.join("40")
		s.do("POST", p.query(), strings.Repeat("b\x1e", 499_999)+"b")
		p = s.open()
		p.join("40")
		s.do("POST", p.query(), `4510-["echo"]`+strings.Repeat("\x1eb", 490_000))
		p = s.open()
		p.join("40")
		s.do("POST", p.query(), strings.Repeat(`4510-["1"]`+strings.Repeat("\x1eb", 10)+"\x1e", 30_000)+"6")
		p = s.open()
		p.join("40")
		s.do("POST", p.query(), `451-["echo",{"_placeholder":true,"num":0}]`+"\x1eb"+strings.Repeat("A", 999_000))
	}},
	{"a body that is too big", func(s *site, _ func() net.Conn) {
		require.Equal(s.t, 413, s.do("POST", s.open().query(), strings.Repeat("x", 1_000_001)).status)
	}},
	{"attachments that never come", func(s *site, _ func() net.Conn) {
		p := s.open()
		p.join("40")
		p.post(`4510-["echo"]`)
		ws := s.connected()
		ws.write(`452-["echo"]`, "\x00one")
	}},
	{"100,000 packets in a payload", func(s *site, _ func() net.Conn) {
		for _, packet := range []string{"6", "3", "", `42["1"]`, "40/none,"} {
			p := s.open()
			p.join("40")
			s.do("POST", p.query(), strings.Repeat(packet+"\x1e", 99_999)+packet)
		}
	}},
	{"an upgrade abandoned", func(s *site, dial func() net.Conn) {
		for _, packets := range [][]string{nil, {"2probe"}, {"x"}, {"5"}, {"2probe", "x"}} {
			p := s.open()
			p.join("40")
			s.dial("&sid=" + p.sid).write(packets...)
			p = s.open()
			rawSocket(s, dial, "&sid="+p.sid).Close()
		}
	}},
	{"half a handshake", func(s *site, dial func() net.Conn) {
		for _, request := range []string{"G", "GET /socket.io/?" + polling, "GET /socket.io/?" + polling + head} {
			io.WriteString(dial(), request)
		}
	}},
	{"a socket that says nothing", func(s *site, dial func() net.Conn) { rawSocket(s, dial, "") }},
	{"JSON nested 10,000 deep", func(s *site, _ func() net.Conn) {
		for _, nested := range []string{
			strings.Repeat("[", 10_000), strings.Repeat("[", 10_000) + strings.Repeat("]", 10_000),
			strings.Repeat(`{"a":`, 10_000) + "1" + strings.Repeat("}", 10_000),
			strings.Repeat(`{"_placeholder":true,"num":0,"a":`, 9_000) + "1" + strings.Repeat("}", 9_000),
		} {
			for _, packet := range []string{`42["echo",` + nested + "]", `451-["echo",` + nested + "]\x1ebAAAA", `40{"a":` + nested + "}"} {
				p := s.open()
				if packet[1] != '0' {
					p.join("40")
				}
				s.do("POST", p.query(), packet)
			}
		}
	}},
	{"a message that is too big", func(s *site, _ func() net.Conn) {
		ws := s.connected()
		ws.write(`42["echo","` + strings.Repeat("x", 1_000_000) + `"]`)
	}},
	{"odd input", func(s *site, _ func() net.Conn) {
		for _, packets := range oddInput {
			s.direct().write(packets...)
			p := s.open()
			for _, packet := range packets {
				s.do("POST", p.query(), packet)
			}
		}
	}},
}

func trickle(one func([]byte) (int, error)) {
	for {
		if _, err := one([]byte(" ")); err != nil {
			return
		}
		time.Sleep(time.Second)
	}
}

// rawSocket is a WebSocket whose client does nothing on its own.
func rawSocket(s *site, dial func() net.Conn, extra string) net.Conn {
	conn := dial()
	fmt.Fprintf(conn, "GET /socket.io/?EIO=4&transport=websocket%s%sConnection: Upgrade\r\nUpgrade: websocket\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n", extra, head)
	buf, end := make([]byte, 1), ""
	for end != "\r\n\r\n" { // end of the answer's head
		if _, err := conn.Read(buf); err != nil {
			return conn
		}
		end += string(buf)
		end = end[max(0, len(end)-4):]
	}
	s.tell()
	return conn
}

// TestNothingIsLeft: after each attack, once its client has gone or its time is up, it
// has left no session, connection, goroutine or timer, and others have been served.
func TestNothingIsLeft(t *testing.T) {
	for _, attack := range attacks {
		t.Run(attack.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				router := newRouter(&wsrouter.Options{Logger: slog.New(slog.DiscardHandler)})
				s := serveInBubble(t, router, nil)
				victim := s.connected()
				go func() {
					for p := <-victim.received; p.err == nil; p = <-victim.received {
						victim.Conn.Write(t.Context(), websocket.MessageText, []byte("3")) // answers the ping
					}
				}()
				s.client.CloseIdleConnections()
				synctest.Wait()
				before := len(leak.InBubble())

				var running []func() int
				s.opened = func() { running = append(running, socketio.Timers(s.handler)) }
				var conns []net.Conn
				attack.do(s, func() net.Conn {
					conn, err := newConn(s)
					require.NoError(t, err)
					conns = append(conns, conn)
					return conn
				})
				time.Sleep(3 * time.Minute)
				for _, conn := range conns {
					conn.Close()
				}
				time.Sleep(time.Second) // net/http lingers for half of that if a body has not arrived
				s.client.CloseIdleConnections()
				synctest.Wait()
				require.Equal(t, 1, socketio.Sessions(s.handler))
				require.Equal(t, 1, router.Stats().Connections)
				require.Zero(t, router.Stats().Outbox)
				require.Len(t, leak.InBubble(), before)

				victim.CloseNow()
				synctest.Wait()
				require.Zero(t, socketio.Sessions(s.handler))
				for _, n := range running {
					require.Zero(t, n())
				}
			})
		})
	}
}
