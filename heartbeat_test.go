package wsrouter_test

import (
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wsrouter/wsrouter"
	"github.com/wsrouter/wsrouter/adapter"
)

// pinged is a transport whose peer answers each ping at once.
type pinged struct {
	sink
	link atomic.Pointer[adapter.Link]
	note func()
}

func (p *pinged) Ping() {
	p.note()
	(*p.link.Load()).Alive()
}

// TestPingsAreSpread: of thousands of clients that came at the same moment not all are
// pinged at the same moment, and none later than PingInterval.
func TestPingsAreSpread(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const clients = 5000
		router := wsrouter.New(nil)
		var mu sync.Mutex // guards at
		at := make(map[time.Duration]int)
		begin := time.Now()
		for range clients {
			p := &pinged{note: func() {
				mu.Lock()
				defer mu.Unlock()
				at[time.Since(begin)]++
			}}
			link, err := router.Adapter().NewLink(p, adapter.LinkOptions{Request: httptest.NewRequest("GET", "/", nil)})
			require.NoError(t, err)
			p.link.Store(&link)
			defer link.End(adapter.End{Code: wsrouter.CloseNormal, Cause: adapter.CausePeer})
		}
		for round := 1; round <= 3; round++ {
			time.Sleep(25 * time.Second)
			synctest.Wait()
			mu.Lock()
			most, all := 0, 0
			for when, n := range at {
				require.Greater(t, when, 25*time.Second*time.Duration(round)-7*time.Second)
				most, all = max(most, n), all+n
			}
			clear(at)
			mu.Unlock()
			require.Equal(t, clients, all, "round %d", round)
			require.LessOrEqual(t, most, 1001, "round %d", round) // the first thousand
		}
	})
}

// fading is a transport whose peer answers a few pings, and then no more.
type fading struct {
	pinged
	answers int // how many pings it still answers; used by one goroutine at a time
	cut     chan time.Time
}

func (f *fading) Ping() {
	if f.answers--; f.answers >= 0 {
		f.pinged.Ping()
	}
}

func (f *fading) Abort() { f.cut <- time.Now() }

// TestLivenessWithLongPongTimeout: if PongTimeout is longer than PingInterval,
// pings still go out every PingInterval, and a dead peer is gone within the sum of
// both.
func TestLivenessWithLongPongTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const interval, patience = 10 * time.Second, time.Minute
		router := wsrouter.New(&wsrouter.Options{PingInterval: interval, PongTimeout: patience})
		begin := time.Now()
		var pings []time.Duration
		f := &fading{answers: 3, cut: make(chan time.Time, 1)}
		f.note = func() { pings = append(pings, time.Since(begin)) }
		link, err := router.Adapter().NewLink(f, adapter.LinkOptions{Request: httptest.NewRequest("GET", "/", nil)})
		require.NoError(t, err)
		f.link.Store(&link)
		cut := <-f.cut
		require.Equal(t, []time.Duration{interval, 2 * interval, 3 * interval}, pings)
		require.Equal(t, 3*interval+interval+patience, cut.Sub(begin))
		link.End(adapter.End{Code: wsrouter.CloseAbnormal, Cause: adapter.CausePeer})
	})
}
