package suite_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wsrouter/wsrouter"
	"github.com/wsrouter/wsrouter/internal/rawtest"
)

// TestTailIsBounded: a client that does not acknowledge may have MaxBytes. After that
// its connection goes on, but cannot be resumed.
func TestTailIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		router := newResuming(wsrouter.Options{Recovery: &wsrouter.Recovery{Window: time.Minute, MaxBytes: 10 << 10}})
		s := router.raw(t, `{"session":""}`)
		secret := s.opens()
		conn := router.only()
		text := strings.Repeat("x", 1<<10)
		emit := func(n int) {
			for range n {
				require.NoError(t, conn.Emit("x", text))
				s.Read()
			}
		}
		emit(8)
		held := router.Stats().Inbox
		require.Greater(t, held, 8<<10)
		emit(8)
		require.Less(t, router.Stats().Inbox, 11<<10)
		s.Abort()
		s.Wait()
		require.Equal(t, []string{"connect", "disconnect"}, router.wasTold(), "nothing to come back to")
		s = router.raw(t, comeBack(secret, 16))
		s.opens()
		conn = router.only()
		emit(9)
		s.send(`{"ack":9}`)
		synctest.Wait()
		emit(8)
		s.Abort()
		s.Wait()
		require.Equal(t, 1, router.Stats().Away, "it has said what it has")
		require.NoError(t, conn.Emit("x", text))
		require.Error(t, conn.Emit("x", text), "more than can be kept for it")
		synctest.Wait()
		require.Equal(t, []string{"connect", "disconnect", "connect", "away", "expired"}, router.wasTold())
		requireNothingHeld(t, router.Router)
	})
}

// TestStreamWaitsForWhoIsAway: the producer may fill half of the tail, and continues
// when the client is back or has been given up.
func TestStreamWaitsForWhoIsAway(t *testing.T) {
	for _, returns := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			router := newResuming(wsrouter.Options{Recovery: &wsrouter.Recovery{Window: time.Minute, MaxBytes: 10 << 10}})
			produced := 0
			router.On("all", func(c *wsrouter.Context) error {
				return wsrouter.StreamSeq(c, func(yield func(string, error) bool) {
					for produced < 100 && yield(strings.Repeat("x", 1<<10), nil) {
						produced++
					}
				})
			})
			s := router.raw(t, `{"session":""}`)
			secret := s.opens()
			s.send(`{"event":"all","id":1,"pull":1000}`)
			s.Read()
			s.Abort()
			s.Wait()
			synctest.Wait()
			require.Less(t, produced, 8)
			if !returns {
				time.Sleep(time.Minute)
				synctest.Wait()
				requireNothingHeld(t, router.Router)
				return
			}
			time.Sleep(30 * time.Second) // WriteTimeout is for connected clients
			s = router.raw(t, comeBack(secret, 1))
			s.reads(resumed(secret, 1))
			for n := range 100 {
				frame, ce := s.Read()
				require.Nil(t, ce)
				require.Equal(t, n < 99, strings.HasSuffix(frame, `"re":1,"more":true}`), "%d: %.100s", n, frame)
				s.send(fmt.Sprintf(`{"ack":%d}`, n+2))
			}
			s.Close(1000, "")
			s.Wait()
			requireNothingHeld(t, router.Router)
		})
	}
}

// awayFrom opens a session as a client with that address, and makes it go away.
func (r *resuming) awayFrom(t *testing.T, address string) (secret string) {
	t.Helper()
	req := rawtest.SessionRequest()
	req.RemoteAddr = address
	s := session{t, rawtest.Connect(r.Router, nil, req)}
	s.send(`{"session":""}`)
	secret = s.opens()
	s.Abort()
	s.Wait()
	return secret
}

// TestAwayGivesWay: connections that are away take no room from clients. Those of the
// same client give way first, then the oldest.
func TestAwayGivesWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		router := newResuming(wsrouter.Options{MaxConns: 3, MaxConnsPerClient: 2})
		a1 := router.awayFrom(t, "192.0.2.1:1")
		b := router.awayFrom(t, "192.0.2.2:1")
		a2 := router.awayFrom(t, "192.0.2.1:2")
		require.Equal(t, 3, router.Stats().Away)
		a3 := router.awayFrom(t, "192.0.2.1:3")
		synctest.Wait()
		require.Equal(t, 3, router.Stats().Away, "of its own three, two may be")
		c := router.awayFrom(t, "192.0.2.3:3")
		synctest.Wait()
		require.Equal(t, 3, router.Stats().Away)
		require.EqualValues(t, 2, router.Stats().Expired)
		for n, secret := range []string{a2, a3, c, a1, b} { // the new ones of the last two need room
			s := router.raw(t, comeBack(secret, 0))
			frame, _ := s.Read()
			require.Equal(t, n < 3, frame == resumed(secret, 0), "%s", frame)
			s.Close(1000, "")
			s.Wait()
		}
		synctest.Wait()
		requireNothingHeld(t, router.Router)
	})
}

// TestAwayIsBuffered: connections that are away count for MaxBuffered, and the largest
// is given up.
func TestAwayIsBuffered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		router := newResuming(wsrouter.Options{MaxBuffered: 100 << 10})
		s := router.raw(t, `{"session":""}`)
		s.opens()
		conn := router.only()
		s.Abort()
		s.Wait()
		require.NoError(t, conn.Emit("x", strings.Repeat("x", 50<<10)))
		for range 100 {
			router.awayFrom(t, "192.0.2.2:1")
		}
		synctest.Wait()
		st := router.Stats()
		require.LessOrEqual(t, st.Inbox, 100<<10, "a flood of clients that vanish")
		require.Greater(t, st.Away, 10)
		require.ErrorAs(t, conn.Emit("x"), new(*wsrouter.CloseError))
		time.Sleep(time.Minute)
		synctest.Wait()
		requireNothingHeld(t, router.Router)
	})
}

// TestHundredLossesInARow: what was once held for a connection is not held forever.
func TestHundredLossesInARow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		router := newResuming(wsrouter.Options{})
		block := make(chan struct{})
		router.On("block", func(c *wsrouter.Context) error {
			c.Yield()
			<-block
			return c.Reply(1)
		})
		header := http.Header{"Cookie": {strings.Repeat("x", 20<<10)}}
		client, err := router.Connect(t.Context(), resumes(wsrouter.DialOptions{Header: header}))
		require.NoError(t, err)
		conn := router.only()
		require.NoError(t, conn.SetData(strings.Repeat("x", 20<<10)))
		before := router.Stats().Inbox
		answers := make(chan error, 100)
		for n := range 100 {
			go func() { answers <- client.Call(t.Context(), "block", n, nil) }()
			synctest.Wait()
			client.Abort()
			synctest.Wait()
			require.NoError(t, client.Ready(t.Context()))
		}
		require.Less(t, router.Stats().Inbox, before+100*(2<<10))
		close(block)
		for range 100 {
			require.NoError(t, <-answers)
		}
		time.Sleep(5 * time.Second) // acks
		synctest.Wait()
		require.Equal(t, before, router.Stats().Inbox)
		require.EqualValues(t, 100, router.Stats().Resumed)
		require.NoError(t, client.Close())
		synctest.Wait()
		requireNothingHeld(t, router.Router)
	})
}

// TestNothingOfSessionsWithout: if a server has no Recovery, or a client does not ask
// for it, a lost connection just ends.
func TestNothingOfSessionsWithout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		plain := wsrouter.New(nil)
		client, err := plain.Connect(t.Context(), resumes(wsrouter.DialOptions{}))
		require.NoError(t, err)
		synctest.Wait()
		first := client.Conn()
		client.Abort()
		synctest.Wait()
		require.ErrorAs(t, client.Emit("x"), new(*wsrouter.CloseError))
		require.NoError(t, client.Ready(t.Context()))
		require.NotSame(t, first, client.Conn())
		require.NoError(t, client.Close())

		router := newResuming(wsrouter.Options{})
		raw := rawtest.Connect(router.Router, nil, nil)
		synctest.Wait()
		raw.Abort()
		raw.Wait()
		require.Equal(t, []string{"connect", "disconnect"}, router.wasTold())
		requireNothingHeld(t, router.Router)
	})
}
