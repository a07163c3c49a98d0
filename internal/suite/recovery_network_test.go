package suite_test

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wsrouter/wsrouter"
	"github.com/wsrouter/wsrouter/internal/memnet"
)

// line is the network between a client and its server.
type line struct {
	*memnet.Network
	mu    sync.Mutex
	conns []net.Conn // both ends of each connection
	still chan struct{}
}

func newLine(n *memnet.Network) *line {
	l := &line{Network: n, still: make(chan struct{})}
	close(l.still)
	return l
}

// Dial connects through a proxy that may freeze, and cut in the middle of a frame.
func (l *line) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	far, err := l.Network.Dial(ctx, network, address)
	if err != nil {
		return nil, err
	}
	near, inner := net.Pipe()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.conns = append(l.conns, far, inner)
	go l.copy(far, inner)
	go l.copy(inner, far)
	return near, nil
}

func (l *line) copy(to, from net.Conn) {
	defer to.Close()
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		if err != nil {
			return
		}
		l.mu.Lock()
		still := l.still
		l.mu.Unlock()
		<-still
		if _, err := to.Write(buf[:n]); err != nil {
			return
		}
	}
}

// freeze blocks everything until thaw is called.
func (l *line) freeze() (thaw func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	still := make(chan struct{})
	l.still = still
	return func() { close(still) }
}

func (l *line) cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range l.conns {
		c.Close()
	}
	l.conns = nil
}

// TestResumeOverWebSocket: over a network that is cut, and over one that freezes, after
// which the old transport is still there when the client comes back. A stream and a
// call go on.
func TestResumeOverWebSocket(t *testing.T) {
	for _, freezes := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			router := newResuming(wsrouter.Options{})
			router.On("ticks", func(c *wsrouter.Context) error {
				return wsrouter.StreamSeq(c, func(yield func(int, error) bool) {
					for n := 1; n <= 200 && yield(n, nil); n++ {
						time.Sleep(100 * time.Millisecond)
					}
				})
			})
			l := newLine(memnet.Serve(t, router))
			mine := wsrouter.New(&wsrouter.Options{
				Logger: slog.New(slog.DiscardHandler), PingInterval: 2 * time.Second, PongTimeout: time.Second})
			transport := &http.Transport{DialContext: l.Dial}
			client, err := wsrouter.Dial(t.Context(), "ws://memory/", resumes(wsrouter.DialOptions{
				Router: mine, HTTPClient: &http.Client{Transport: transport}}))
			require.NoError(t, err)
			server := router.only()
			want := 1
			for n, err := range wsrouter.Pull[int](t.Context(), client, "ticks", nil) {
				require.NoError(t, err)
				require.Equal(t, want, n)
				if want++; n%50 != 0 {
					continue
				}
				if freezes {
					thaw := l.freeze()
					time.AfterFunc(10*time.Second, thaw)
				} else {
					l.cut()
				}
			}
			require.Equal(t, 201, want)
			require.Same(t, server, router.only())
			require.NoError(t, client.Ready(t.Context()))
			require.Positive(t, router.Stats().Resumed)
			require.Equal(t, "websocket", server.Transport())
			require.NoError(t, client.Close())
			transport.CloseIdleConnections()
			l.cut()
			synctest.Wait()
			requireNothingHeld(t, router.Router)
		})
	}
}
