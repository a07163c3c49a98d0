package socketio_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wsrouter/wsrouter"
	"github.com/wsrouter/wsrouter/socketio"
)

// watched returns a router that reports how connections end.
func watched(opts *wsrouter.Options) (*wsrouter.Router, <-chan error) {
	router := newRouter(opts)
	gone := make(chan error, 10)
	router.OnDisconnect(func(_ context.Context, _ *wsrouter.Conn, err *wsrouter.CloseError) { gone <- err })
	return router, gone
}

func requireCause(t *testing.T, want wsrouter.CloseCause, err error) {
	t.Helper()
	var ce *wsrouter.CloseError
	require.ErrorAs(t, err, &ce)
	require.Equal(t, want, ce.Cause, "%v", ce)
}

// TestHeartbeatWebSocket: a ping comes PingInterval after the handshake and after each
// pong. Without a pong the client is gone after PongTimeout.
func TestHeartbeatWebSocket(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		router, gone := watched(nil)
		s := serveInBubble(t, router, nil)
		ws := s.connected()
		for _, pause := range []time.Duration{0, time.Second, 15 * time.Second} {
			begin := time.Now()
			ws.reads("2")
			require.Equal(t, 25*time.Second, time.Since(begin))
			time.Sleep(pause)
			ws.write("3")
			ws.write(`421["echo",1]`)
			ws.reads("431[1]")
		}
		begin := time.Now()
		ws.reads("2")
		requireCause(t, wsrouter.CauseTimeout, <-gone)
		require.Equal(t, 45*time.Second, time.Since(begin))
		require.Zero(t, socketio.Sessions(s.handler))
	})
}

// TestHeartbeatPolling: the ping waits for the next poll, or answers one. A poll that
// is held without a pong ends with the session.
func TestHeartbeatPolling(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		router, gone := watched(nil)
		s := serveInBubble(t, router, nil)
		p := s.open()
		p.join("40")
		begin := time.Now()
		require.Equal(t, "2", p.get())
		require.Equal(t, 25*time.Second, time.Since(begin))
		p.post("3")
		time.Sleep(30 * time.Second)
		require.Equal(t, "2", p.get())
		p.post("3")
		begin = time.Now()
		require.Equal(t, "2", p.get())
		require.Equal(t, "1", p.get()) // this one waits
		require.Equal(t, 45*time.Second, time.Since(begin))
		requireCause(t, wsrouter.CauseTimeout, <-gone)
		p.gone()
		require.Zero(t, socketio.Sessions(s.handler))
	})
}

// TestClientPings: only servers ping, and an unexpected pong does no harm.
func TestClientPings(t *testing.T) {
	for _, ping := range []string{"2", "2probe"} {
		s := serve(t, newRouter(nil), nil)
		ws := s.connected()
		ws.write("3", "3probe", `421["echo",1]`)
		ws.reads("431[1]")
		ws.write(ping)
		ws.closed()
		p := s.open()
		p.join("40")
		p.post(ping)
		p.gone()
	}
}

// TestConnectTimeout: a client that no namespace lets in is closed. One that was let in
// and has left is not.
func TestConnectTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		router := newRouter(nil)
		router.Namespace("/guarded").OnConnect(func(*wsrouter.Conn) error { return wsrouter.NewError("no") })
		s := serveInBubble(t, router, nil)
		left := s.connected()
		left.write("41")
		idle, refused, p := s.direct(), s.direct(), s.open()
		refused.write("40/none,")
		refused.reads(`44/none,{"message":"Invalid namespace"}`)
		refused.write("40/guarded,")
		refused.reads(`44/guarded,{"message":"no"}`)
		begin := time.Now()
		idle.closed()
		refused.closed()
		require.Equal(t, 10*time.Second, time.Since(begin))
		synctest.Wait() // all three end at this moment
		p.gone()
		left.reads("2")
		require.Equal(t, 1, socketio.Sessions(s.handler))
	})
}

// TestAttachmentsNeverSent: a message, including its attachments, has MessageTimeout;
// pongs do not extend that.
func TestAttachmentsNeverSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		router, gone := watched(nil)
		s := serveInBubble(t, router, nil)
		ws := s.connected()
		begin := time.Now()
		ws.write(`452-["echo",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]`, "\x00one")
		ws.reads("2")
		ws.write("3")
		ws.reads("2")
		ws.write("3")
		ws.closed()
		require.Equal(t, time.Minute, time.Since(begin))
		requireCause(t, wsrouter.CauseTimeout, <-gone)
		require.Zero(t, socketio.Sessions(s.handler))
	})
}
