package suite_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wsrouter/wsrouter"
)

// network is what a client in a bubble dials: a server, or what a test puts in its
// place.
type network struct {
	server *http.Client
	broken atomic.Pointer[func(conn net.Conn) error] // gets the server's end; nil means the server
}

func newNetwork(t *testing.T, h http.Handler) (*network, *http.Client) {
	t.Cleanup(func() { time.Sleep(time.Minute) }) // for what still trickles
	n := &network{server: inMemory(t, h)}
	dial := n.server.Transport.(*http.Transport).DialContext
	transport := &http.Transport{DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
		broken := n.broken.Load()
		if broken == nil {
			return dial(ctx, network, addr)
		}
		client, server := net.Pipe()
		t.Cleanup(func() { server.Close() })
		if err := (*broken)(server); err != nil {
			return nil, err
		}
		return client, nil
	}}
	t.Cleanup(transport.CloseIdleConnections)
	return n, &http.Client{Transport: transport}
}

func (n *network) breaks(how func(conn net.Conn) error) { n.broken.Store(&how) }
func (n *network) heals()                               { n.broken.Store(nil) }

// The ways in which a network breaks.
func silent(net.Conn) error { return nil }

func reads(conn net.Conn) error { go io.Copy(io.Discard, conn); return nil }

func refuses(net.Conn) error {
	return &net.OpError{Op: "dial", Net: "tcp", Addr: &net.TCPAddr{IP: net.IPv4(10, 0, 0, 1), Port: 80}, Err: syscall.ECONNREFUSED}
}

// says answers a request with a head, and then trickles.
func says(head string) func(net.Conn) error {
	return func(conn net.Conn) error {
		go func() {
			_, err := http.ReadRequest(bufio.NewReader(conn))
			if err == nil {
				_, err = io.WriteString(conn, head)
			}
			for err == nil {
				time.Sleep(time.Second)
				_, err = io.WriteString(conn, "x")
			}
		}()
		return nil
	}
}

// TestAttemptsAreBounded: whatever is at the other end, every attempt is over after
// ConnectTimeout, and the client comes back when the server does.
func TestAttemptsAreBounded(t *testing.T) {
	networks := map[string]func(net.Conn) error{
		"silent":          silent,
		"reads only":      reads,
		"trickles a head": says("HTTP/1.1 503"),
	}
	for name, broken := range networks {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				network, http := newNetwork(t, newRouter())
				var retries atomic.Int32
				opts := &wsrouter.DialOptions{
					Router:     wsrouter.New(&wsrouter.Options{ConnectTimeout: 5 * time.Second}),
					HTTPClient: http,
					Reconnect: &wsrouter.Reconnect{OnRetry: func(int, time.Duration, error) bool {
						retries.Add(1)
						return true
					}},
				}
				network.breaks(broken)
				begin := time.Now()
				_, err := wsrouter.Dial(context.Background(), "ws://memory/", opts)
				require.Error(t, err)
				require.LessOrEqual(t, time.Since(begin), 5*time.Second)
				if name == "silent" {
					require.EqualError(t, err, "wsrouter: dial: no connection within 5s (Options.ConnectTimeout)")
					require.ErrorIs(t, err, context.DeadlineExceeded)
				}
				network.heals()
				client, err := wsrouter.Dial(context.Background(), "ws://memory/", opts)
				require.NoError(t, err)
				network.breaks(broken)
				client.Abort()
				time.Sleep(time.Minute)
				require.Greater(t, retries.Load(), int32(3))
				network.heals()
				require.NoError(t, client.Ready(t.Context()))
				require.NoError(t, client.Call(t.Context(), "events", "back", nil))
				require.NoError(t, client.Close())
			})
		})
	}
}

// TestTrickledBodyIsBounded does the same for a refusal whose body does not end. It is
// not in a bubble: whoever closes a body waits on a mutex for whoever reads it, which
// stops a bubble's time with net/http of Go 1.27.
func TestTrickledBodyIsBounded(t *testing.T) {
	var healed atomic.Bool
	router := newRouter()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if healed.Load() {
			router.ServeHTTP(w, r)
			return
		}
		w.Header().Set("Content-Length", "9999")
		w.WriteHeader(http.StatusServiceUnavailable)
		for r.Context().Err() == nil {
			io.WriteString(w, "no")
			http.NewResponseController(w).Flush()
			select {
			case <-r.Context().Done():
			case <-time.After(10 * time.Millisecond):
			}
		}
	}))
	defer server.Close()
	opts := &wsrouter.DialOptions{
		Router: wsrouter.New(&wsrouter.Options{ConnectTimeout: 300 * time.Millisecond}),
		Reconnect: &wsrouter.Reconnect{First: true, Min: time.Millisecond, OnRetry: func(attempt int, _ time.Duration, err error) bool {
			require.Error(t, err)
			if attempt >= 2 {
				healed.Store(true)
			}
			return true
		}},
	}
	client, err := wsrouter.Dial(t.Context(), server.URL, opts)
	require.NoError(t, err)
	require.NoError(t, client.Call(t.Context(), "events", "back", nil))
	require.NoError(t, client.Close())
	require.NoError(t, router.Shutdown(t.Context()))
}

// userFunction is an Auth or a HeaderFunc that hangs until its context ends or, if it
// is stubborn, for an hour. It never runs twice at a time.
type userFunction struct {
	t               *testing.T
	hangs, stubborn atomic.Bool
	calls, running  atomic.Int32
}

func (f *userFunction) call(ctx context.Context) error {
	f.calls.Add(1)
	require.EqualValues(f.t, 1, f.running.Add(1))
	defer f.running.Add(-1)
	if f.hangs.Load() {
		<-ctx.Done()
	}
	if f.stubborn.Load() {
		time.Sleep(time.Hour)
	}
	return ctx.Err()
}

// TestAttemptsOfUserFunctions: Auth and HeaderFunc have ConnectTimeout, too. If they
// ignore it they are not called again before they have returned.
func TestAttemptsOfUserFunctions(t *testing.T) {
	options := map[string]func(f *userFunction) *wsrouter.DialOptions{
		"auth": func(f *userFunction) *wsrouter.DialOptions {
			return &wsrouter.DialOptions{Auth: func(ctx context.Context) (any, error) { return nil, f.call(ctx) }}
		},
		"header": func(f *userFunction) *wsrouter.DialOptions {
			return &wsrouter.DialOptions{HeaderFunc: func(ctx context.Context) (http.Header, error) { return nil, f.call(ctx) }}
		},
	}
	for _, dial := range options {
		synctest.Test(t, func(t *testing.T) {
			f := &userFunction{t: t}
			opts := dial(f)
			var last atomic.Value
			opts.Reconnect = &wsrouter.Reconnect{OnRetry: func(_ int, _ time.Duration, err error) bool {
				last.Store(err.Error())
				return true
			}}
			client, err := newRouter().Connect(context.Background(), opts)
			require.NoError(t, err)
			f.hangs.Store(true)
			client.Abort()
			time.Sleep(5 * time.Minute)
			synctest.Wait()
			require.Greater(t, f.calls.Load(), int32(5))
			const late = "wsrouter: dial: no connection within 10s (Options.ConnectTimeout)"
			require.Equal(t, late, last.Load())
			f.stubborn.Store(true)
			time.Sleep(10 * time.Minute)
			synctest.Wait()
			before := f.calls.Load()
			time.Sleep(10 * time.Minute)
			synctest.Wait()
			require.Equal(t, before, f.calls.Load())
			require.Equal(t, late, last.Load())
			f.hangs.Store(false)
			f.stubborn.Store(false)
			require.NoError(t, client.Ready(t.Context()))
			f.stubborn.Store(true)
			client.Abort()
			time.Sleep(time.Minute)
			require.NoError(t, client.Close())
			require.Zero(t, f.running.Load(), "Close waits")
		})
	}
}

// TestUserFunctionsPanic: a panic is an error of the attempt.
func TestUserFunctionsPanic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, err := newRouter().Connect(t.Context(), &wsrouter.DialOptions{Auth: func(context.Context) (any, error) { panic("no vault") }})
		require.EqualError(t, err, "wsrouter: dial: auth: panic: no vault")
	})
}

// TestOnInitOfClient: it has ConnectTimeout, and if it fails the client is finished.
func TestOnInitOfClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		handlers := wsrouter.New(nil)
		handlers.OnInit(func(*wsrouter.Router) error { time.Sleep(15 * time.Second); return errors.New("no database") })
		_, err := newRouter().Connect(context.Background(), &wsrouter.DialOptions{Router: handlers})
		require.EqualError(t, err, "wsrouter: dial: no connection within 10s (Options.ConnectTimeout)")
		_, err = newRouter().Connect(context.Background(), &wsrouter.DialOptions{Router: handlers})
		require.ErrorContains(t, err, "no database")
	})
}

// TestStatuses: after 401 and 403 a client does not come back. Any other status may
// come from a proxy whose server is being replaced.
func TestStatuses(t *testing.T) {
	for _, status := range []int{204, 400, 401, 403, 404, 405, 408, 409, 410, 421, 425, 426, 429, 499, 500, 502, 503} {
		synctest.Test(t, func(t *testing.T) {
			var broken atomic.Bool
			router := newRouter()
			client := inMemory(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if broken.Load() {
					http.Error(w, "what?", status)
					return
				}
				router.ServeHTTP(w, r)
			}))
			var log bytes.Buffer
			c, err := wsrouter.Dial(t.Context(), "ws://memory/", &wsrouter.DialOptions{
				HTTPClient: client, Reconnect: &wsrouter.Reconnect{},
				Router: wsrouter.New(&wsrouter.Options{Logger: slog.New(slog.NewTextHandler(&log, nil))}),
			})
			require.NoError(t, err)
			broken.Store(true)
			c.Abort()
			time.Sleep(time.Minute)
			broken.Store(false)
			time.Sleep(time.Minute)
			if status != 401 && status != 403 {
				require.NoError(t, c.Call(t.Context(), "events", "back", nil), status)
				require.Empty(t, log.String())
				require.NoError(t, c.Close())
				return
			}
			requireGaveUp(t, c, http.StatusText(status))
			require.Equal(t, 1, strings.Count(log.String(), "\n"))
			require.Contains(t, log.String(), `level=WARN msg="wsrouter: client gave up" err="wsrouter: server answered `+strconv.Itoa(status))
			require.NoError(t, c.Close())
		})
	}
}

// requireGaveUp requires that everything fails with the reason why the client does not
// come back, and with how it lost its connection.
func requireGaveUp(t *testing.T, c *wsrouter.Client, reason string) {
	t.Helper()
	pull := func() (err error) {
		for _, err = range wsrouter.Pull[int](t.Context(), c, "numbers", nil) {
		}
		return err
	}
	for _, err := range []error{c.Emit("events"), c.Call(t.Context(), "events", 1, nil), pull(), c.Ready(t.Context())} {
		var ce *wsrouter.CloseError
		require.ErrorContains(t, err, "wsrouter: gave up: ")
		require.ErrorContains(t, err, reason)
		require.Equal(t, 1, strings.Count(err.Error(), "wsrouter: "))
		require.ErrorAs(t, err, &ce)
		require.ErrorIs(t, err, net.ErrClosed)
	}
}

// TestOnRetryDecides: it is asked after any status, and if it ends the attempts that
// status is the reason.
func TestOnRetryDecides(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network, http := newNetwork(t, newRouter())
		c, err := wsrouter.Dial(t.Context(), "ws://memory/", &wsrouter.DialOptions{HTTPClient: http, Reconnect: &wsrouter.Reconnect{
			OnRetry: func(_ int, _ time.Duration, err error) bool {
				var status *wsrouter.StatusError
				return !errors.As(err, &status)
			},
		}})
		require.NoError(t, err)
		network.breaks(says("HTTP/1.1 410 Gone\r\nContent-Length: 0\r\n\r\n"))
		c.Abort()
		time.Sleep(time.Minute)
		requireGaveUp(t, c, "server answered 410 Gone")
		require.NoError(t, c.Close())
	})
}

// TestReconnectFirst: the client waits for a server that is not up yet, if asked to.
func TestReconnectFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network, client := newNetwork(t, newRouter())
		opts := &wsrouter.DialOptions{HTTPClient: client, Reconnect: &wsrouter.Reconnect{}}
		network.breaks(refuses)
		begin := time.Now()
		_, err := wsrouter.Dial(t.Context(), "ws://memory/", opts)
		require.ErrorIs(t, err, syscall.ECONNREFUSED)
		require.Zero(t, time.Since(begin), "not without First")

		opts.Reconnect.First = true
		time.AfterFunc(time.Minute, network.heals)
		c, err := wsrouter.Dial(context.Background(), "ws://memory/", opts)
		require.NoError(t, err)
		require.GreaterOrEqual(t, time.Since(begin), time.Minute)
		require.NoError(t, c.Call(t.Context(), "events", "x", nil))
		require.NoError(t, c.Close())

		network.breaks(refuses)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		begin = time.Now()
		_, err = wsrouter.Dial(ctx, "ws://memory/", opts)
		require.Equal(t, time.Minute, time.Since(begin))
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.ErrorIs(t, err, syscall.ECONNREFUSED)
		require.EqualError(t, err, "wsrouter: dial: tcp 10.0.0.1:80: connection refused (context deadline exceeded)")

		network.breaks(says("HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n"))
		begin = time.Now()
		_, err = wsrouter.Dial(context.Background(), "ws://memory/", opts)
		var status *wsrouter.StatusError
		require.ErrorAs(t, err, &status)
		require.Zero(t, time.Since(begin), "not after 401")
		_, err = wsrouter.Dial(context.Background(), "redis://memory/", opts)
		require.Error(t, err)
		require.Zero(t, time.Since(begin), "nor a URL that nobody could dial")
	})
}

// TestHeaderFunc: each attempt has a header of its own.
func TestHeaderFunc(t *testing.T) {
	connects := map[string]func(*testing.T, *wsrouter.Router, *wsrouter.DialOptions) (*wsrouter.Client, error){
		"memory": func(t *testing.T, r *wsrouter.Router, o *wsrouter.DialOptions) (*wsrouter.Client, error) {
			return r.Connect(t.Context(), o)
		},
		"WebSocket": func(t *testing.T, r *wsrouter.Router, o *wsrouter.DialOptions) (*wsrouter.Client, error) {
			o.HTTPClient = inMemory(t, r)
			return wsrouter.Dial(t.Context(), "ws://memory/", o)
		},
	}
	for name, connect := range connects {
		synctest.Test(t, func(t *testing.T) {
			var seen []string
			router := newRouter()
			router.OnConnect(func(c *wsrouter.Conn) error {
				seen = append(seen, c.Request().Header.Get("Authorization"))
				return nil
			})
			tokens := []string{"a", "", "b"}
			client, err := connect(t, router, &wsrouter.DialOptions{
				Header: http.Header{"Authorization": {"stale"}},
				HeaderFunc: func(context.Context) (http.Header, error) {
					token := tokens[0]
					if tokens = tokens[1:]; token == "" {
						return nil, errors.New("no token")
					}
					return http.Header{"Authorization": {token}}, nil
				},
				Reconnect: &wsrouter.Reconnect{},
			})
			require.NoError(t, err, name)
			synctest.Wait()
			client.Abort()
			<-client.Conn().Context().Done()
			require.NoError(t, client.Ready(t.Context()))
			synctest.Wait()
			require.Equal(t, []string{"a", "b"}, seen)
			require.Equal(t, "b", client.Conn().Request().Header.Get("Authorization"))
			require.NoError(t, client.Close())
		})
	}
}

// TestDialErrorTexts: they say once what went wrong, and never contain the query.
func TestDialErrorTexts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network, client := newNetwork(t, newRouter())
		dial := func(url string) string {
			_, err := wsrouter.Dial(t.Context(), url, &wsrouter.DialOptions{HTTPClient: client})
			require.Error(t, err)
			return err.Error()
		}
		network.breaks(refuses)
		require.Equal(t, "wsrouter: dial: tcp 10.0.0.1:80: connection refused", dial("ws://memory/?token=secret"))
		network.breaks(says("HTTP/1.1 101 Yes\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: x\r\n\r\n"))
		require.Contains(t, dial("ws://memory/?token=secret"), "wsrouter: dial: WebSocket protocol violation: invalid Sec-WebSocket-Accept")
		require.Equal(t, `wsrouter: dial: bad URL: scheme "ftp" is none of ws, wss, http and https`, dial("ftp://memory/?token=secret"))
		require.Equal(t, `wsrouter: dial: bad URL: no host`, dial("ws:/?token=secret"))
		require.Equal(t, `wsrouter: dial: bad URL: invalid port ":x" after host`, dial("ws://memory:x/?token=secret"))
		_, err := newRouter().Connect(t.Context(), &wsrouter.DialOptions{Auth: func(context.Context) (any, error) { return nil, errors.New("no vault") }})
		require.EqualError(t, err, "wsrouter: dial: auth: no vault")
	})
}

// TestAuthToMountWithoutAuth: the side that dialed learns that nobody has looked at its
// auth, even if others send it exceptions.
func TestAuthToMountWithoutAuth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		router := newRouter()
		gone := make(chan error, 1)
		router.OnDisconnect(func(_ context.Context, _ *wsrouter.Conn, err *wsrouter.CloseError) { gone <- err })
		var log bytes.Buffer
		handlers := wsrouter.New(&wsrouter.Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
		opts := &wsrouter.DialOptions{
			Router: handlers, HTTPClient: inMemory(t, router), Reconnect: &wsrouter.Reconnect{},
			Auth: func(context.Context) (any, error) { return "me", nil },
		}
		client, err := wsrouter.Dial(t.Context(), "ws://memory/", opts)
		require.NoError(t, err)
		time.Sleep(time.Minute)
		requireGaveUp(t, client, `code 1008 "auth sent to a mount without AuthFrame"`)
		require.Equal(t, 1, strings.Count(log.String(), "\n"), log.String())
		var ce *wsrouter.CloseError
		require.ErrorAs(t, <-gone, &ce)
		require.Equal(t, 1008, ce.Code)
		require.NoError(t, client.Close())

		opts.Auth = nil
		client, err = wsrouter.Dial(t.Context(), "ws://memory/", opts)
		require.NoError(t, err)
		synctest.Wait()
		require.NoError(t, router.Emit("exception", wsrouter.NewError("unexpected auth frame")))
		synctest.Wait()
		require.NoError(t, client.Call(t.Context(), "events", "x", nil))
		require.NoError(t, client.Close())
	})
}
