package socketio_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wsrouter/wsrouter"
	"github.com/wsrouter/wsrouter/socketio"
)

// TestJoinWhileDraining: a client comes back on its own when its session ends, but not
// when it is refused. So a client whose CONNECT comes after Shutdown has begun only
// sees the end: at once if it has no namespace yet, otherwise at its turn.
func TestJoinWhileDraining(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		router := newRouter(&wsrouter.Options{ShutdownSpread: 4 * time.Minute, PingInterval: -1, ConnectTimeout: -1})
		router.Namespace("/chat")
		s := serveInBubble(t, router, nil)
		inside, fresh, polls := s.connected(), s.direct(), s.open()
		for range 5 {
			s.connected()
		}
		synctest.Wait()
		done := make(chan error, 1)
		begin := time.Now()
		go func() { done <- router.Shutdown(t.Context()) }()
		time.Sleep(time.Second)

		fresh.Write(t.Context(), 1, []byte("40"))
		fresh.closed()
		poll := polls.waiting()
		polls.try("POST", polls.query(), "40", "Content-Type", "text/plain;charset=UTF-8")
		require.Contains(t, []string{"1", "6\x1e1"}, <-poll)
		require.Equal(t, time.Second, time.Since(begin))

		inside.Write(t.Context(), 1, []byte("40/chat,"))
		inside.closed()
		require.NoError(t, <-done)
		require.Zero(t, socketio.Sessions(s.handler))
	})
}

// TestNode: every way to open a session puts the server's name into its id.
func TestNode(t *testing.T) {
	s := serve(t, newRouter(nil), &socketio.Options{Node: "eu-1_a"})
	p := s.open()
	require.Regexp(t, `^eu-1_a\.[A-Za-z0-9_-]{20}$`, p.sid)
	p.join("40")
	ws := s.dial("")
	require.Regexp(t, `^0\{"sid":"eu-1_a\.[A-Za-z0-9_-]{20}",`, ws.read())
	for _, name := range []string{"a.b", "ä", " ", "a b", "a&b"} {
		require.Panics(t, func() { socketio.New(newRouter(nil), &socketio.Options{Node: name}) }, name)
	}
}
