package suite_test

import (
	"log/slog"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wsrouter/wsrouter"
	"github.com/wsrouter/wsrouter/adapter"
	"github.com/wsrouter/wsrouter/internal/plain"
)

// manyfold is a transport that carries several namespaces, and takes whatever it is
// given.
type manyfold struct {
	adapter.Gate
	link adapter.Link
	once sync.Once
}

// tells is a format whose frames are text that a test can read.
type tells struct{ *lastSecret }

type lastSecret struct {
	mu   sync.Mutex
	last string
}

func (f tells) Encode(m *adapter.Message) (adapter.Frame, error) {
	if m.Kind == adapter.KindConnect && m.Session != nil && !m.Session.Resumed {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.last = m.Session.Secret
	}
	return plain.JSON.Encode(m)
}

// secret waits for the last secret that a client was told.
func (f tells) secret() string {
	synctest.Wait()
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.last
}

func (m *manyfold) Write([]adapter.Frame) (bool, error) { return false, nil }
func (m *manyfold) Ping()                               { m.link.Alive() }
func (m *manyfold) Close(adapter.End)                   { m.Abort() }
func (m *manyfold) Abort() {
	m.once.Do(func() { go m.link.End(adapter.End{Code: 1006, Cause: adapter.CausePeer}) })
}

func (r *resuming) manyfold(t *testing.T) *manyfold {
	m := &manyfold{}
	req, err := http.NewRequest(http.MethodGet, "http://memory/", nil)
	require.NoError(t, err)
	m.link, err = r.Adapter().NewLink(m, adapter.LinkOptions{Request: req, Multiplexed: true})
	require.NoError(t, err)
	return m
}

func (m *manyfold) recover(t *testing.T, ns *wsrouter.Router, f tells, secret string) adapter.Conn {
	conn, err := m.link.Recover(ns, f, nil, adapter.Recovery{Secret: secret})
	require.NoError(t, err)
	synctest.Wait()
	return conn
}

func newManyfold(o wsrouter.Options) *resuming {
	o.Logger, o.Recovery = slog.New(slog.DiscardHandler), &wsrouter.Recovery{Window: time.Minute}
	return &resuming{Router: wsrouter.New(&o)}
}

// TestAttemptsOfOneLink: there may be no more at a time than joins.
func TestAttemptsOfOneLink(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		router := newManyfold(wsrouter.Options{MaxOpen: 10})
		block := make(chan struct{})
		router.OnResume(func(*wsrouter.Conn) error { <-block; return nil })
		f := tells{new(lastSecret)}
		old := router.manyfold(t)
		old.recover(t, router.Router, f, "")
		secret := f.secret()
		old.Abort()
		m := router.manyfold(t)
		before := runtime.NumGoroutine()
		for range 1000 {
			m.link.Recover(router.Router, f, nil, adapter.Recovery{Secret: secret})
		}
		require.Less(t, runtime.NumGoroutine(), before+50)
		close(block)
		time.Sleep(10 * time.Second)
		m.Abort()
		require.NoError(t, router.Shutdown(t.Context()))
		requireNothingHeld(t, router.Router)
	})
}

// TestSplitLinksAreCounted: a client that has one of its namespaces on another
// transport counts for MaxBuffered with all of them, whichever ends.
func TestSplitLinksAreCounted(t *testing.T) {
	for name, away := range map[string]bool{"old lives": false, "old is away": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				router := newManyfold(wsrouter.Options{MaxBuffered: 1 << 20})
				other := router.Namespace("/other")
				f := tells{new(lastSecret)}
				old := router.manyfold(t)
				old.recover(t, other, f, "")
				kept := router.others(other)
				old.recover(t, router.Router, f, "")
				if away {
					old.Abort()
				}
				next := router.manyfold(t)
				next.recover(t, router.Router, f, f.secret())
				next.link.Close(adapter.End{Code: 1000, Cause: adapter.CausePeer})
				synctest.Wait()
				for range 10 {
					kept.SetData(strings.Repeat("x", 3<<20)) // three times what may be held
					synctest.Wait()
				}
				require.Zero(t, router.Stats().Connections, "it is cut for that")
				require.NoError(t, router.Shutdown(t.Context()))
				requireNothingHeld(t, router.Router)
			})
		})
	}
}

// TestSplitLinksGiveNoCredit: a client whose namespaces come back on two links, and that
// acknowledges on one what was charged to the other, lowers nobody's MaxBuffered.
func TestSplitLinksGiveNoCredit(t *testing.T) {
	for name, tail := range map[string]int{"nothing sent": 0, "much sent": 300 << 10} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				router := newManyfold(wsrouter.Options{MaxBuffered: 1 << 20})
				other := router.Namespace("/other")
				var conns []*wsrouter.Conn
				for range 10 {
					conns = append(conns, router.split(t, other, tail))
				}
				for _, c := range conns {
					c.SetData(strings.Repeat("x", 500<<10))
				}
				synctest.Wait()
				require.Equal(t, 2, other.Stats().Connections, "of 10, for two half megabytes may be held")
				require.NoError(t, router.Shutdown(t.Context()))
				requireNothingHeld(t, router.Router)
			})
		})
	}
}

// split lets a client come back to two namespaces on two links, of which the first ends,
// and acknowledge what was sent to it in the other namespace.
func (r *resuming) split(t *testing.T, other *wsrouter.Router, sent int) (kept *wsrouter.Conn) {
	before := slices.Collect(other.Conns())
	f := tells{new(lastSecret)}
	old := r.manyfold(t)
	old.recover(t, other, f, "")
	secret := f.secret()
	for c := range other.Conns() {
		if !slices.Contains(before, c) {
			kept = c
		}
	}
	old.recover(t, r.Router, f, "")
	if sent > 0 {
		require.NoError(t, kept.Emit("x", strings.Repeat("x", sent)))
		synctest.Wait()
	}
	old.Abort()
	synctest.Wait()
	first := r.manyfold(t)
	first.recover(t, r.Router, f, f.secret())
	conn := r.manyfold(t).recover(t, other, f, secret)
	synctest.Wait()
	if sent > 0 {
		require.True(t, conn.(adapter.Recoverable).Acknowledge(1))
	}
	first.link.Close(adapter.End{Code: 1000, Cause: adapter.CausePeer})
	time.Sleep(time.Second)
	synctest.Wait()
	return kept
}

func (r *resuming) others(ns *wsrouter.Router) (conn *wsrouter.Conn) {
	synctest.Wait()
	for c := range ns.Conns() {
		conn = c
	}
	return conn
}

// TestReliefOfSplitLinks: it ends, although what it gives up has handlers that go on.
func TestReliefOfSplitLinks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		router := newManyfold(wsrouter.Options{MaxBuffered: 1 << 20})
		other := router.Namespace("/other")
		block := make(chan struct{})
		other.On("block", func(*wsrouter.Context) error { <-block; return nil })
		f := tells{new(lastSecret)}
		old := router.manyfold(t)
		at := old.recover(t, other, f, "")
		old.recover(t, router.Router, f, "")
		secret := f.secret()
		at.Receive(&adapter.Message{Kind: adapter.KindEvent, Event: "block", Size: 900 << 10})
		old.Abort()
		router.manyfold(t).recover(t, router.Router, f, secret)
		router.others(router.Router).SetData(strings.Repeat("x", 300<<10))
		synctest.Wait()
		for range 2 { // these are smaller than what is given up
			router.manyfold(t).recover(t, router.Router, f, "")
			for c := range router.Conns() {
				c.SetData(strings.Repeat("x", 600<<10))
			}
			synctest.Wait()
		}
		require.Equal(t, 1, router.Stats().Connections)
		close(block)
		synctest.Wait()
		require.NoError(t, router.Shutdown(t.Context()))
		requireNothingHeld(t, router.Router)
	})
}
