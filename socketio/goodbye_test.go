package socketio_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wsrouter/wsrouter"
	"github.com/wsrouter/wsrouter/broker"
)

// TestGoodbyeOvertakesPoll: a poll that arrives just after its client's goodbye is
// released like one that was waiting, but only one, not a late one, and not somebody
// else's.
func TestGoodbyeOvertakesPoll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serveInBubble(t, newRouter(nil), nil)
		p := s.open()
		p.join("40")
		p.post("1")
		for _, query := range []string{strings.Replace(p.query(), "polling", "websocket", 1), p.query() + "x"} {
			require.Equal(t, 400, s.do("GET", query, "").status, query)
		}
		require.Equal(t, 400, s.do("POST", p.query(), "40").status)
		a := s.do("GET", p.query(), "")
		require.Equal(t, answer{200, a.header, "6"}, a)
		require.Equal(t, "text/plain; charset=UTF-8", a.header.Get("Content-Type"))
		require.Equal(t, "no-store", a.header.Get("Cache-Control"))
		p.gone()

		late := s.open()
		late.post("1")
		time.Sleep(6 * time.Second)
		late.gone()

		bad := s.open() // it has broken a rule, and gets no such answer
		bad.post("x")
		bad.gone()
	})
}

// TestLeavingEndsOnConnect: if a client leaves a namespace while its OnConnect runs,
// that one's context ends and no other's. The client may join again meanwhile.
func TestLeavingEndsOnConnect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		router := newRouter(nil)
		begin := time.Now()
		tries := 0
		router.OnConnect(func(c *wsrouter.Conn) error {
			if tries++; tries > 1 {
				return c.Context().Err()
			}
			<-c.Context().Done()
			require.Zero(t, time.Since(begin))
			require.Equal(t, &wsrouter.CloseError{Code: wsrouter.CloseNormal, Cause: wsrouter.CausePeer}, context.Cause(c.Context()))
			return c.Context().Err()
		})
		other := router.Namespace("/other")
		other.OnConnect(func(c *wsrouter.Conn) error {
			select {
			case <-c.Context().Done():
				return c.Context().Err()
			case <-time.After(time.Second):
				return nil
			}
		})
		ws := serveInBubble(t, router, nil).direct()
		ws.write("40", "40/other,")
		synctest.Wait()
		ws.write("41")
		ws.join("40")
		joined(t, "40/other,", ws.read())
		require.Equal(t, 2, tries)
	})
}

// twoNodes returns a router with a client's two namespaces, and another node of its
// cluster.
func twoNodes(t *testing.T) (router, elsewhere *wsrouter.Router, ends chan *wsrouter.CloseError) {
	cluster := new(broker.Memory)
	router = newRouter(&wsrouter.Options{Broker: cluster})
	ends = make(chan *wsrouter.CloseError, 2)
	for _, r := range []*wsrouter.Router{router, router.Namespace("/other")} {
		r.OnDisconnect(func(_ context.Context, _ *wsrouter.Conn, err *wsrouter.CloseError) { ends <- err })
	}
	elsewhere = newRouter(&wsrouter.Options{Broker: cluster})
	t.Cleanup(func() { elsewhere.Close() })
	return router, elsewhere, ends
}

// TestCloseTransport: the client leaves all its namespaces, what was sent before
// arrives, and the transport ends, whether it is called here or on another node. Close
// leaves the transport alone.
func TestCloseTransport(t *testing.T) {
	want := &wsrouter.CloseError{Code: 4001, Reason: "out", Cause: wsrouter.CauseLocal}
	for name, end := range map[string]func(c *wsrouter.Conn, elsewhere *wsrouter.Router) error{
		"conn": func(c *wsrouter.Conn, _ *wsrouter.Router) error { return c.CloseTransport(4001, "out") },
		"target": func(c *wsrouter.Conn, _ *wsrouter.Router) error {
			return c.Router().To(c.ID()).DisconnectTransport(4001, "out")
		},
		"another node": func(c *wsrouter.Conn, r *wsrouter.Router) error { return r.To(c.ID()).DisconnectTransport(4001, "out") },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				router, elsewhere, ends := twoNodes(t)
				s := serveInBubble(t, router, nil)
				ws := s.connected()
				ws.join("40/other,")
				p := s.open()
				p.join("40")
				p.join("40/other,")
				synctest.Wait()
				for c := range router.Conns() {
					require.NoError(t, c.Emit("before"))
					require.NoError(t, end(c, elsewhere))
					require.NoError(t, end(c, elsewhere), "again")
				}
				ws.reads(`42["before"]`, "41", "41/other,")
				ws.closed()
				polled := p.get()
				for !strings.HasSuffix(polled, "41/other,") { // in one poll, or in several
					polled += "\x1e" + p.get()
				}
				require.Equal(t, "42[\"before\"]\x1e41\x1e41/other,", polled)
				synctest.Wait() // a poll that had to wait would get no noop, as with the reference
				require.Equal(t, "6\x1e1", p.get())
				synctest.Wait() // until it is gone, a poll gets its own goodbye
				p.gone()
				for range 4 {
					require.Equal(t, want, <-ends)
				}
			})
		})
	}
}

// TestCloseTransportWhileConnecting: a client whose OnConnect still runs is refused.
func TestCloseTransportWhileConnecting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		router := newRouter(nil)
		router.Namespace("/slow").OnConnect(func(c *wsrouter.Conn) error {
			<-c.Context().Done()
			return c.Context().Err()
		})
		ws := serveInBubble(t, router, nil).connected()
		ws.write("40/slow,")
		synctest.Wait()
		for c := range router.Conns() {
			require.Error(t, c.CloseTransport(1006, ""), "no endpoint sends that")
			require.NoError(t, c.CloseTransport(wsrouter.CloseNormal, "out"))
		}
		ws.reads("41", `44/slow,{"message":"out"}`)
		ws.closed()
	})
}

// TestDisconnectLeavesTransport: even if it comes from another node.
func TestDisconnectLeavesTransport(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		router, elsewhere, _ := twoNodes(t)
		ws := serveInBubble(t, router, nil).connected()
		ws.join("40/other,")
		require.NoError(t, elsewhere.All().Disconnect(4001, "out"))
		ws.reads("41")
		ws.write(`42/other,1["x"]`)
		require.Regexp(t, `^42/other,\["exception",`, ws.read())
	})
}
