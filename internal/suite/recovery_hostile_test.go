package suite_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wsrouter/wsrouter"
	"github.com/wsrouter/wsrouter/internal/rawtest"
)

// session is one connection of a client that does what it likes.
type session struct {
	*testing.T
	*rawtest.Raw
}

func (r *resuming) raw(t *testing.T, first string) session {
	s := session{t, rawtest.Connect(r.Router, nil, rawtest.SessionRequest())}
	s.send(first)
	return s
}

func (s session) send(frame string) { require.True(s, s.Send(frame)) }

func (s session) reads(frames ...string) {
	s.Helper()
	for _, want := range frames {
		got, ce := s.Read()
		require.Nil(s, ce)
		require.Equal(s, want, got)
	}
}

// opens reads the answer to the first frame of a new session.
func (s session) opens() (secret string) {
	s.Helper()
	frame, ce := s.Read()
	require.Nil(s, ce)
	var w struct {
		Session  string
		Window   int64
		Received *uint64
	}
	require.NoError(s, json.Unmarshal([]byte(frame), &w))
	require.Nil(s, w.Received, "%s", frame)
	require.Len(s, w.Session, 20)
	require.EqualValues(s, 60_000, w.Window)
	return w.Session
}

func (s session) closes(code int, reason string) {
	s.Helper()
	_, ce := s.Read()
	require.Equal(s, &wsrouter.CloseError{Code: code, Reason: reason}, ce)
}

func comeBack(secret string, received uint64) string {
	return fmt.Sprintf(`{"session":%q,"received":%d}`, secret, received)
}

func resumed(secret string, received uint64) string {
	return fmt.Sprintf(`{"session":%q,"window":60000,"received":%d}`, secret, received)
}

// TestResumeByHand: frames of both directions are counted, and what the other side has
// not received is sent again.
func TestResumeByHand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		router := newResuming(wsrouter.Options{})
		router.On("hi", func(c *wsrouter.Context) error { return c.Reply("ho") })
		s := router.raw(t, `{"session":""}`)
		secret := s.opens()
		s.send(`{"event":"hi","id":1}`)
		s.reads(`{"event":"hi","data":"ho","re":1}`)
		s.send(`{"ping":1}`)
		s.reads(`{"pong":1}`)
		conn := router.only()
		s.Abort()
		s.Wait()
		before := router.Stats().EventsOut
		require.NoError(t, conn.Emit("news", 1))
		require.NoError(t, conn.Emit("news", 2))
		require.EqualValues(t, 2, router.Stats().EventsOut-before, "once, however often they are sent")
		s = router.raw(t, comeBack(secret, 1))
		s.reads(resumed(secret, 1), `{"event":"news","data":1}`, `{"event":"news","data":2}`)
		s.Abort()
		s.Wait()
		s = router.raw(t, comeBack(secret, 2))
		s.reads(resumed(secret, 1), `{"event":"news","data":2}`)
		require.EqualValues(t, 2, router.Stats().EventsOut-before)
		time.Sleep(time.Second)
		s.Close(1000, "")
		s.Wait()
		require.Equal(t, []string{"connect", "away", "resume", "away", "resume", "disconnect"}, router.wasTold())
		requireNothingHeld(t, router.Router)
	})
}

// TestAcksComeInTime: after 32 frames or one second.
func TestAcksComeInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		router := newResuming(wsrouter.Options{})
		s := router.raw(t, `{"session":""}`)
		s.opens()
		began := time.Now()
		s.send(`{"event":"x"}`)
		s.reads(`{"ack":1}`)
		require.Equal(t, time.Second, time.Since(began))
		for range 32 {
			s.send(`{"event":"x"}`)
		}
		s.reads(`{"ack":33}`)
		require.Equal(t, time.Second, time.Since(began))
		s.send(`{"event":"x","data":"` + strings.Repeat("x", 64<<10) + `"}`)
		s.reads(`{"ack":34}`)
		s.Close(1000, "")
		s.Wait()
	})
}

// TestWrongResumes: a client that cannot resume gets a new connection. Only one that
// knows the secret can end the old one.
func TestWrongResumes(t *testing.T) {
	for name, claim := range map[string]struct {
		frame func(secret string) string
		ends  bool
	}{
		"a secret of nobody":     {func(string) string { return comeBack("AAAAAAAAAAAAAAAAAAAA", 0) }, false},
		"a part of the secret":   {func(s string) string { return comeBack(s[:19], 0) }, false},
		"no number":              {func(s string) string { return `{"session":"` + s + `"}` }, true},
		"less than was said":     {func(s string) string { return comeBack(s, 1) }, true},
		"more than was sent":     {func(s string) string { return comeBack(s, 4) }, true},
		"far more than was sent": {func(s string) string { return comeBack(s, 1<<53-1) }, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				router := newResuming(wsrouter.Options{})
				s := router.raw(t, `{"session":""}`)
				secret := s.opens()
				conn := router.only()
				for n := range 3 {
					require.NoError(t, conn.Emit("news", n))
					s.Read()
				}
				s.send(`{"ack":2}`)
				s.Abort()
				s.Wait()
				s = router.raw(t, claim.frame(secret))
				require.NotEqual(t, secret, s.opens())
				synctest.Wait()
				require.Equal(t, !claim.ends, conn.Away() && router.Stats().Expired == 0)
				if !claim.ends {
					other := router.raw(t, comeBack(secret, 3))
					other.reads(resumed(secret, 0))
					other.Close(1000, "")
					other.Wait()
				}
				s.Close(1000, "")
				s.Wait()
				requireNothingHeld(t, router.Router)
			})
		})
	}
}

// TestMistakesInSessions: violations of the protocol end the connection for good.
func TestMistakesInSessions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		router := newResuming(wsrouter.Options{})
		router.raw(t, `{"event":"x"}`).closes(1008, "session expected")
		router.raw(t, `{"session":7}`).closes(1008, "session expected")
		s := router.raw(t, `{"session":""}`)
		s.opens()
		s.send(`{"ack":1}`)
		s.closes(1002, "ack of what was not sent")
		s = router.raw(t, `{"session":""}`)
		s.opens()
		s.send(`{"session":""}`)
		s.reads(`{"event":"exception","data":{"status":"error","message":"session must come first","code":"invalid"}}`)
		s.Close(1000, "")
		s.Wait()
		silent := rawtest.Connect(router.Router, nil, rawtest.SessionRequest())
		_, ce := silent.Read()
		require.Equal(t, &wsrouter.CloseError{Code: 1013, Reason: "connect timeout"}, ce)
		synctest.Wait()
		requireNothingHeld(t, router.Router)
	})
}

// TestLatestResumeWins: a transport that seems alive gives way and is told to stay
// away; what still arrives over it is ignored.
func TestLatestResumeWins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		router := newResuming(wsrouter.Options{})
		var got atomic.Int64
		router.On("x", func(*wsrouter.Context) error { got.Add(1); return nil })
		old := router.raw(t, `{"session":""}`)
		secret := old.opens()
		old.send(`{"event":"x"}`)
		synctest.Wait()
		next := router.raw(t, comeBack(secret, 0))
		next.reads(resumed(secret, 1))
		old.Send(`{"event":"x"}`)
		old.closes(wsrouter.CloseResumed, "resumed elsewhere")
		old.Wait()
		third, fourth := router.raw(t, comeBack(secret, 0)), router.raw(t, comeBack(secret, 0))
		third.Read()
		fourth.Read()
		synctest.Wait()
		require.EqualValues(t, 1, got.Load())
		require.Equal(t, 1, router.Stats().Connections)
		require.NotContains(t, router.wasTold(), "away")
		next.closes(wsrouter.CloseResumed, "resumed elsewhere")
		require.NoError(t, router.Shutdown(t.Context()))
		requireNothingHeld(t, router.Router)
	})
}

// TestOnResumeDecides: it sees what the client comes back with, and may refuse, panic
// or not return.
func TestOnResumeDecides(t *testing.T) {
	for name, c := range map[string]struct {
		decide func() error
		end    string
	}{
		"an error":        {func() error { return wsrouter.NewError("banned") }, "anew"},
		"another":         {func() error { return errors.New("db") }, "anew"},
		"a panic":         {func() error { panic("no") }, "anew"},
		"it takes a time": {func() error { time.Sleep(9 * time.Second); return nil }, "resumed"},
		"it is late":      {func() error { time.Sleep(time.Minute); return nil }, "late"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				router := &resuming{Router: wsrouter.New(&wsrouter.Options{
					Logger: slog.New(slog.DiscardHandler), Recovery: &wsrouter.Recovery{Window: time.Minute}})}
				router.OnConnect(func(*wsrouter.Conn) error { return nil })
				router.OnResume(func(conn *wsrouter.Conn) error {
					require.Equal(t, "again", conn.Request().Header.Get("Name"))
					return c.decide()
				})
				router.OnDisconnect(func(_ context.Context, _ *wsrouter.Conn, err *wsrouter.CloseError) {
					require.Equal(t, wsrouter.CausePeer, err.Cause)
					router.tell("gone")
				})
				s := router.raw(t, `{"session":""}`)
				secret := s.opens()
				s.Abort()
				s.Wait()
				req := rawtest.SessionRequest()
				req.Header.Set("Name", "again")
				s = session{t, rawtest.Connect(router.Router, nil, req)}
				s.send(comeBack(secret, 0))
				switch c.end {
				case "resumed":
					s.reads(resumed(secret, 0))
					require.Empty(t, router.wasTold())
				case "anew":
					require.NotEqual(t, secret, s.opens())
					synctest.Wait()
					require.Equal(t, []string{"gone"}, router.wasTold())
				case "late":
					s.closes(1013, "connect timeout")
					require.Empty(t, router.wasTold(), "another attempt may have more luck")
				}
				s.Close(1000, "")
				s.Wait()
				time.Sleep(2 * time.Minute)
				requireNothingHeld(t, router.Router)
			})
		})
	}
}

// TestUnguardedResume: an OnConnect without an OnResume panics when serving begins.
func TestUnguardedResume(t *testing.T) {
	router := wsrouter.New(&wsrouter.Options{Recovery: &wsrouter.Recovery{}})
	router.Namespace("/chat").OnConnect(func(*wsrouter.Conn) error { return nil })
	for range 2 {
		require.PanicsWithValue(t, "wsrouter: namespace /chat has an OnConnect and no OnResume, which Options.Recovery requires", func() {
			router.Connect(t.Context(), nil)
		})
	}
}

// TestOldLinksAreLetGoOf: whoever comes back again and again, while one handler runs,
// leaves nothing of its old links behind.
func TestOldLinksAreLetGoOf(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		router := newResuming(wsrouter.Options{})
		release := make(chan struct{})
		router.On("x", func(*wsrouter.Context) error { <-release; return nil })
		s := router.raw(t, `{"session":""}`)
		secret := s.opens()
		s.send(`{"event":"x"}`)
		synctest.Wait()
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		const times = 1000
		for range times {
			s = router.raw(t, comeBack(secret, 0))
			s.reads(resumed(secret, 1))
			synctest.Wait()
		}
		runtime.GC()
		runtime.GC()
		runtime.ReadMemStats(&after)
		require.Less(t, (int64(after.HeapAlloc)-int64(before.HeapAlloc))/times, int64(1000))
		close(release)
		require.NoError(t, router.Shutdown(t.Context()))
		requireNothingHeld(t, router.Router)
	})
}
