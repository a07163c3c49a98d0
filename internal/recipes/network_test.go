package recipes

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wsrouter/wsrouter"
	"github.com/wsrouter/wsrouter/internal/memnet"
	"github.com/wsrouter/wsrouter/wsroutertest"
)

func newEcho(opts *wsrouter.Options) *wsrouter.Router {
	router := wsrouter.New(opts)
	router.On("echo", func(c *wsrouter.Context) error { return c.Reply(c.Value()) })
	return router
}

// requireEcho checks that the client is connected.
func requireEcho(t *testing.T, client *wsrouter.Client) {
	t.Helper()
	answer, err := wsrouter.Call[string](t.Context(), client, "echo", "hi")
	require.NoError(t, err)
	require.Equal(t, "hi", answer)
}

// TestWatcher: on each connection a client gets what it watches, even if the server
// did not receive the request to watch.
func TestWatcher(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fail := 0
		router := wsrouter.New(nil)
		router.On("watch", func(c *wsrouter.Context) error {
			if fail > 0 {
				fail--
				return errors.New("database is down")
			}
			var rooms []string
			if err := c.Bind(&rooms); err != nil {
				return err
			}
			return c.Join(rooms...)
		})
		client := wsroutertest.Connect(t, router, &wsrouter.DialOptions{
			Router: Watcher("prices"), Reconnect: &wsrouter.Reconnect{},
		})
		for _, failures := range []int{0, 0, 3} {
			router.To("prices").Emit("price", 42)
			client.Expect("price", 42)
			fail = failures
			client.Abort()
			synctest.Wait()
			require.Zero(t, router.To("prices").Count())
			time.Sleep(time.Minute)
		}
		router.To("prices").Emit("price", 43)
		client.Expect("price", 43)
	})
}

// TestProxy: a page on the proxy's host connects through it and a page on another
// host does not. Clients are counted by their own addresses, not by what they
// claim.
func TestProxy(t *testing.T) {
	opts := BehindProxy()
	opts.MaxConnsPerClient = 1
	router := newEcho(opts)
	to := serve(t, router)
	proxy := serve(t, Proxy(to))

	from := func(proxy *url.URL, origin, claimed string) (*wsrouter.Client, error) {
		header := http.Header{"Origin": {origin}, "X-Real-Ip": {claimed}}
		return dial(t, new(http.Transport), proxy.String()+"/ws", header)
	}
	_, err := from(proxy, "https://foreign.example", "192.0.2.1")
	require.Equal(t, http.StatusForbidden, refused(t, err))
	client, err := from(proxy, proxy.String(), "192.0.2.1")
	require.NoError(t, err)
	requireEcho(t, client)
	_, err = from(proxy, proxy.String(), "192.0.2.2")
	require.Equal(t, http.StatusTooManyRequests, refused(t, err))

	single := serve(t, httputil.NewSingleHostReverseProxy(to))
	client, err = from(single, single.String(), "192.0.2.3") // the server believes this
	require.NoError(t, err)
	requireEcho(t, client)
	router.Close()
}

func serve(t *testing.T, handler http.Handler) *url.URL {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	address, err := url.Parse(server.URL)
	require.NoError(t, err)
	return address
}

// TestListenUnix: all clients of a unix socket count as one, unless ClientKey tells
// them apart. A socket left behind by a process that was killed does no harm.
func TestListenUnix(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ws.sock")
	require.NoError(t, os.WriteFile(path, nil, 0o600))
	for _, opts := range []*wsrouter.Options{{}, BehindProxy()} {
		opts.MaxConnsPerClient = 1
		router := newEcho(opts)
		listener, err := ListenUnix(path)
		require.NoError(t, err)
		server := &http.Server{Handler: router}
		var serving sync.WaitGroup
		serving.Go(func() { server.Serve(listener) })
		from := func(ip string) (*wsrouter.Client, error) {
			transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				return new(net.Dialer).DialContext(ctx, "unix", path)
			}}
			return dial(t, transport, "ws://app.example/ws", http.Header{"X-Real-Ip": {ip}})
		}
		client, err := from("192.0.2.1")
		require.NoError(t, err)
		requireEcho(t, client)
		if client, err = from("192.0.2.2"); opts.ClientKey != nil {
			require.NoError(t, err)
			requireEcho(t, client)
		} else {
			require.Equal(t, http.StatusTooManyRequests, refused(t, err))
		}
		_, err = from("192.0.2.1")
		require.Equal(t, http.StatusTooManyRequests, refused(t, err))
		router.Close()
		server.Close()
		serving.Wait()
	}
}

// TestImpatient: pings are sent often enough that a balancer keeps an otherwise
// silent connection.
func TestImpatient(t *testing.T) {
	for _, test := range []struct {
		name string
		opts *wsrouter.Options
		left int
	}{{"Impatient", Impatient(), 1}, {"too rare", &wsrouter.Options{PingInterval: 31 * time.Second}, 0}} {
		synctest.Test(t, func(t *testing.T) {
			router := newEcho(test.opts)
			network := memnet.Serve(t, router)
			t.Cleanup(func() { router.Close() })
			transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				conn, err := network.Dial(ctx, "", "")
				return newBalancer(conn), err
			}}
			client, err := dial(t, transport, "ws://app.example/ws", nil)
			require.NoError(t, err)
			requireEcho(t, client)
			time.Sleep(time.Hour)
			require.Equal(t, test.left, router.Stats().Connections, test.name)
		})
	}
}

// balancer cuts a connection that carries nothing in either direction for 30
// seconds.
type balancer struct {
	net.Conn
	idle *time.Timer
}

func newBalancer(conn net.Conn) *balancer {
	return &balancer{conn, time.AfterFunc(30*time.Second, func() { conn.Close() })}
}

func (b *balancer) Read(p []byte) (int, error) {
	n, err := b.Conn.Read(p)
	b.idle.Reset(30 * time.Second)
	return n, err
}

func (b *balancer) Write(p []byte) (int, error) {
	n, err := b.Conn.Write(p)
	b.idle.Reset(30 * time.Second)
	return n, err
}

// TestMux: pages have a time limit, WebSockets do not. Behind a TimeoutHandler
// WebSockets do not work at all.
func TestMux(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		router := newEcho(nil)
		t.Cleanup(func() { router.Close() })
		pages := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
		mux := &http.Transport{DialContext: memnet.Serve(t, Mux(router, pages)).Dial}
		client, err := dial(t, mux, "ws://app.example/ws", nil)
		require.NoError(t, err)
		time.Sleep(time.Hour)
		requireEcho(t, client)
		began := time.Now()
		page, err := (&http.Client{Transport: mux}).Get("http://app.example/")
		require.NoError(t, err)
		body, err := io.ReadAll(page.Body)
		require.NoError(t, err)
		require.Equal(t, http.StatusServiceUnavailable, page.StatusCode)
		require.Equal(t, "too slow", string(body))
		require.Equal(t, 10*time.Second, time.Since(began))

		around := memnet.Serve(t, http.TimeoutHandler(Mux(router, pages), time.Minute, ""))
		_, err = dial(t, &http.Transport{DialContext: around.Dial}, "ws://app.example/ws", nil)
		require.Equal(t, http.StatusNotImplemented, refused(t, err))
		require.Equal(t, map[wsrouter.Refusal]int64{wsrouter.RefusedUpgrade: 1}, router.Stats().Refused)
	})
}

// TestLogStatus: a WebSocket gets through the middleware, and the status of every
// other request is logged.
func TestLogStatus(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		before := slog.Default()
		slog.SetDefault(slog.New(jsonLog(&log)))
		t.Cleanup(func() { slog.SetDefault(before) })
		router := newEcho(&wsrouter.Options{Logger: slog.New(slog.DiscardHandler)})
		t.Cleanup(func() { router.Close() })
		transport := &http.Transport{DialContext: memnet.Serve(t, LogStatus(router)).Dial}
		client, err := dial(t, transport, "ws://app.example/ws", nil)
		require.NoError(t, err)
		requireEcho(t, client)
		_, err = dial(t, transport, "ws://app.example/ws", http.Header{"Origin": {"https://foreign.example"}})
		require.Equal(t, http.StatusForbidden, refused(t, err))
		synctest.Wait()
		require.Contains(t, log.String(), `"msg":"request","path":"/ws","status":403`)
	})
}
