package socketio_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wsrouter/wsrouter"
)

// TestGoodbyeOvertakesPoll: a poll that comes just after the goodbye of its client is
// released, as one that was waiting; only one, not late, and of nobody else.
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

		bad := s.open() // it has broken a rule, and gets no kind word
		bad.post("x")
		bad.gone()
	})
}

// TestLeavingEndsOnConnect: a client that leaves a namespace while its OnConnect runs
// ends that one's context, and no other's; it may join anew meanwhile.
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
