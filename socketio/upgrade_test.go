package socketio_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"
	"github.com/stretchr/testify/require"

	"github.com/wsrouter/wsrouter"
	"github.com/wsrouter/wsrouter/socketio"
)

func (p *poller) probe() *socket {
	p.t.Helper()
	ws := p.dial("&sid=" + p.sid)
	ws.write("2probe")
	ws.reads("3probe")
	return ws
}

// TestUpgrade: every poll is released, what no poll has taken is flushed, and polling
// is over.
func TestUpgrade(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		router := newRouter(nil)
		s := serveInBubble(t, router, nil)
		p := s.open()
		p.join("40")
		poll := p.waiting()
		synctest.Wait()
		ws := p.probe()
		require.Equal(t, "6", <-poll)
		for range 3 {
			begin := time.Now()
			require.Equal(t, "6", p.get())
			require.Equal(t, 100*time.Millisecond, time.Since(begin))
		}
		require.NoError(t, router.Emit("polled"))
		require.Equal(t, `42["polled"]`, p.get())
		require.NoError(t, router.Emit("flushed"))
		synctest.Wait()
		ws.write("5")
		ws.reads(`42["flushed"]`)
		ws.write(`421["echo","over"]`)
		ws.reads(`431["over"]`)
		for _, method := range []string{"GET", "POST"} {
			a := s.do(method, p.query(), "40")
			require.Equal(t, 400, a.status)
			require.Equal(t, `{"code":3,"message":"Bad request"}`, a.body)
		}
		p.dial("&sid=" + p.sid).closed()
		ws.write(`422["echo","still"]`)
		ws.reads(`432["still"]`)
	})
}

// TestTransportName: a connection's transport has a name, which changes with the
// upgrade. A plain client on the same router has its own.
func TestTransportName(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		router := newRouter(nil)
		router.On("over", func(c *wsrouter.Context) error { return c.Reply(c.Conn().Transport()) })
		s := serveInBubble(t, router, nil)
		p := s.open()
		p.join("40")
		p.post(`420["over"]`)
		require.Equal(t, `430["polling"]`, p.get())
		ws := p.probe()
		p.get()
		ws.write("5")
		ws.write(`421["over"]`)
		ws.reads(`431["websocket"]`)
		direct := s.connected()
		direct.write(`422["over"]`)
		direct.reads(`432["websocket"]`)
	})
}

// TestUpgradePipelined: older clients do not wait for the answer to their probe.
func TestUpgradePipelined(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serveInBubble(t, newRouter(nil), nil)
		p := s.open()
		p.join("40")
		poll := p.waiting()
		synctest.Wait()
		ws := p.dial("&sid=" + p.sid)
		ws.write("2probe", "5", `421["echo",1]`)
		ws.reads("3probe", `431[1]`)
		require.Equal(t, "6", <-poll)
	})
}

// TestProbeFails: only the WebSocket is closed, and polling goes on: after something
// other than a probe, without an upgrade within 10 s, or when the WebSocket ends.
func TestProbeFails(t *testing.T) {
	for name, fail := range map[string]func(ws *socket){
		"no probe":       func(ws *socket) { ws.write("2"); ws.closed() },
		"a message":      func(ws *socket) { ws.write("40"); ws.closed() },
		"binary":         func(ws *socket) { ws.write("\x002probe"); ws.closed() },
		"garbage":        func(ws *socket) { ws.write("x"); ws.closed() },
		"probed twice":   func(ws *socket) { ws.write("2probe", "2probe"); ws.reads("3probe"); ws.closed() },
		"nothing":        func(*socket) { time.Sleep(11 * time.Second) },
		"no upgrade":     func(ws *socket) { ws.write("2probe"); time.Sleep(11 * time.Second) },
		"gone":           func(ws *socket) { ws.CloseNow() },
		"gone when told": func(ws *socket) { ws.write("2probe"); ws.reads("3probe"); ws.CloseNow() },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := serveInBubble(t, newRouter(nil), nil)
				p := s.open()
				p.join("40")
				fail(p.dial("&sid=" + p.sid))
				synctest.Wait()
				poll := p.waiting() // no longer released
				time.Sleep(time.Second)
				p.post(`421["echo",1]`)
				require.Equal(t, "431[1]", <-poll)
				p.probe().write("5") // and another may try
				synctest.Wait()
				require.Equal(t, 400, s.do("GET", p.query(), "").status)
			})
		})
	}
}

// TestSecondProbe: while one probes another is closed, which affects nobody.
func TestSecondProbe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serveInBubble(t, newRouter(nil), nil)
		p := s.open()
		p.join("40")
		ws := p.probe()
		p.dial("&sid=" + p.sid).closed()
		ws.write("5", `421["echo",1]`)
		ws.reads("431[1]")
	})
}

// pollOn polls until the session ends.
func (p *poller) pollOn() {
	for a, err := p.try("GET", p.query(), ""); err == nil && a.status == 200; {
		a, err = p.try("GET", p.query(), "")
	}
}

// TestCloseWhileProbing: when the session ends, so does the probe.
func TestCloseWhileProbing(t *testing.T) {
	for name, end := range map[string]func(p *poller){
		"client":   func(p *poller) { p.post("1") },
		"bad":      func(p *poller) { p.post("x") },
		"close":    func(p *poller) { p.router.Close() },
		"shutdown": func(p *poller) { go p.pollOn(); p.router.Shutdown(p.t.Context()) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := serveInBubble(t, newRouter(nil), nil)
				p := s.open()
				p.join("40")
				ws := p.probe()
				begin := time.Now()
				end(p)
				require.Error(t, (<-ws.received).err)
				require.Less(t, time.Since(begin), time.Second)
				synctest.Wait()
				require.Zero(t, socketio.Sessions(s.handler))
			})
		})
	}
}

// TestPostWhileUpgrading: a post under way is received before what arrives over the
// WebSocket.
func TestPostWhileUpgrading(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serveInBubble(t, newRouter(nil), nil)
		p := s.open()
		p.join("40")
		ws := p.probe()
		conn, err := newConn(s)
		require.NoError(t, err)
		fmt.Fprintf(conn, "POST /socket.io/?%s HTTP/1.1\r\nHost: memory\r\nContent-Length: 13\r\n\r\n421[", p.query())
		synctest.Wait()
		ws.write("5")
		go ws.Conn.Write(t.Context(), websocket.MessageText, []byte(`422["echo",2]`)) // nobody reads it yet
		synctest.Wait()
		fmt.Fprint(conn, `"echo",1]`)
		ws.reads("431[1]", "432[2]")
		conn.Close()
	})
}

// TestUpgradeLosesNothing: events that are emitted all the time arrive once and in
// order, wherever the upgrade happens.
func TestUpgradeLosesNothing(t *testing.T) {
	const n = 2000
	for round := range 5 {
		router := newRouter(nil)
		start := make(chan *wsrouter.Conn, 1)
		router.OnConnect(func(c *wsrouter.Conn) error { start <- c; return nil })
		s := serve(t, router, nil)
		p := s.open()
		p.join("40")
		conn := <-start
		var got []string
		for i := range round {
			require.NoError(t, conn.Emit("n", i))
			got = append(got, p.get())
		}
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			defer cancel()
			for i := round; i < n; i++ {
				if err := conn.Emit("n", i); err != nil {
					t.Error(err)
				}
			}
		}()
		poll := p.waiting()
		ws := p.probe()
		got = append(got, strings.Split(<-poll, "\x1e")...)
		ws.write("5")
		<-ctx.Done()
		next := 0
		check := func(packet string) {
			if packet != "6" {
				require.Equal(t, fmt.Sprintf(`42["n",%d]`, next), packet)
				next++
			}
		}
		for _, packet := range got {
			check(packet)
		}
		for next < n {
			check(ws.read())
		}
	}
}
