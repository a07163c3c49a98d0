package socketio_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
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
