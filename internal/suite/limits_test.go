package suite_test

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wsrouter/wsrouter"
	"github.com/wsrouter/wsrouter/internal/rawtest"
	"github.com/wsrouter/wsrouter/wsroutertest"
)

func request(url string) *http.Request {
	req, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		panic(err)
	}
	return req
}

func from(addr string) *wsrouter.DialOptions {
	req := request("http://h/")
	req.RemoteAddr = addr
	return &wsrouter.DialOptions{Request: req}
}

func refused(t *testing.T, router *wsrouter.Router, opts *wsrouter.DialOptions, status int) {
	t.Helper()
	_, err := router.Connect(t.Context(), opts)
	var se *wsrouter.StatusError
	require.ErrorAs(t, err, &se)
	require.Equal(t, status, se.StatusCode)
}

// TestMaxConns: as many as the limit may connect, and another one when one has gone.
func TestMaxConns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		router := wsrouter.New(&wsrouter.Options{MaxConns: 2})
		child := router.Namespace("/child")
		first := wsroutertest.Connect(t, router, nil)
		wsroutertest.Connect(t, child, nil)
		refused(t, router, nil, http.StatusServiceUnavailable)
		first.Close()
		synctest.Wait()
		wsroutertest.Connect(t, router, nil)
		require.Equal(t, map[wsrouter.Refusal]int64{wsrouter.RefusedMaxConns: 1}, router.Stats().Refused)
	})
}

// TestMaxConnsPerClient: clients are counted by the host of RemoteAddr, or by
// ClientKey.
func TestMaxConnsPerClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		router := wsrouter.New(&wsrouter.Options{MaxConnsPerClient: 2})
		first := wsroutertest.Connect(t, router, from("10.0.0.1:1"))
		wsroutertest.Connect(t, router, from("10.0.0.1:2"))
		refused(t, router, from("10.0.0.1:3"), http.StatusTooManyRequests)
		wsroutertest.Connect(t, router, from("10.0.0.2:1"))
		wsroutertest.Connect(t, router, from("[::1]:1"))
		first.Close()
		synctest.Wait()
		wsroutertest.Connect(t, router, from("10.0.0.1:3"))

		router = wsrouter.New(&wsrouter.Options{
			MaxConnsPerClient: 1,
			ClientKey:         func(r *http.Request) string { return r.Header.Get("X-Real-Ip") },
		})
		opts := from("10.0.0.9:1")
		opts.Request.Header.Set("X-Real-Ip", "a")
		wsroutertest.Connect(t, router, opts)
		refused(t, router, opts, http.StatusTooManyRequests)
		opts.Request.Header.Set("X-Real-Ip", "b")
		wsroutertest.Connect(t, router, opts)
		require.EqualValues(t, 1, router.Stats().Refused[wsrouter.RefusedClient])
	})
}

// TestFrameRate: all frames count, whatever they are. A burst is allowed, and
// replenished over time.
func TestFrameRate(t *testing.T) {
	frames := map[string]string{
		"events": `{"event":"events","data":"x"}`, "garbage": `garbage`, "unknown": `{"event":"nobody"}`,
		"cancel": `{"id":1,"cancel":true}`, "pull": `{"id":1,"pull":1}`, "ping": `{"ping":1}`, "pong": `{"pong":1}`,
	}
	for name, frame := range frames {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				router := newRouterWith(&wsrouter.Options{FrameRate: 10, FrameBurst: 5})
				raw := rawtest.Connect(router, nil, nil)
				ended := make(chan *wsrouter.CloseError)
				go func() {
					for {
						if _, ce := raw.Read(); ce != nil {
							ended <- ce
							return
						}
					}
				}()
				synctest.Wait()
				for range 5 {
					require.True(t, raw.Send(frame))
				}
				for range 100 {
					time.Sleep(100 * time.Millisecond)
					require.True(t, raw.Send(frame))
				}
				synctest.Wait()
				require.Equal(t, 1, router.Stats().Connections)
				raw.Send(frame)
				require.Equal(t, &wsrouter.CloseError{Code: 1008, Reason: "too many frames"}, <-ended)
				raw.Wait()
			})
		})
	}
}

// TestFrameRateOfPings: a WebSocket's own pings count, too.
func TestFrameRateOfPings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		router := newRouterWith(&wsrouter.Options{FrameRate: 10})
		conn := upgrade(t, router)
		all := drainConn(conn)
		conn.SetWriteDeadline(time.Now().Add(time.Minute))
		for range 11 {
			conn.Write(wsFrame(9, true, ""))
		}
		require.Contains(t, <-all, "too many frames")
	})
}

// TestFrameRateOfFragments: every fragment counts, whatever it holds.
func TestFrameRateOfFragments(t *testing.T) {
	for name, payload := range map[string]string{"empty": "", "bytes": "12345678"} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				router := newRouterWith(&wsrouter.Options{FrameRate: 10})
				conn := upgrade(t, router)
				all := drainConn(conn)
				conn.SetWriteDeadline(time.Now().Add(time.Minute))
				conn.Write(wsFrame(1, false, payload))
				for range 11 {
					conn.Write(wsFrame(0, false, payload))
				}
				require.Contains(t, <-all, "too many frames")
			})
		})
	}
}

// TestShutdownSpread: connections end one after another, and each is served until its
// turn, but not beyond the context's deadline.
func TestShutdownSpread(t *testing.T) {
	for name, test := range map[string]struct {
		timeout time.Duration
		want    time.Duration
	}{"in time": {time.Hour, 9 * time.Minute}, "cut short": {4 * time.Minute, 162 * time.Second}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				router := newRouterWith(&wsrouter.Options{ShutdownSpread: 10 * time.Minute, ShutdownCode: 1012})
				var mu sync.Mutex // guards ends
				var ends []time.Duration
				begin := time.Now()
				router.OnDisconnect(func(_ context.Context, _ *wsrouter.Conn, err *wsrouter.CloseError) {
					mu.Lock()
					defer mu.Unlock()
					ends = append(ends, time.Since(begin))
				})
				clients, _ := crowd(t, router, 10)
				begin = time.Now()
				ctx, cancel := context.WithTimeout(t.Context(), test.timeout)
				defer cancel()
				done := make(chan error)
				go func() { done <- router.Shutdown(ctx) }()
				synctest.Wait()
				refused(t, router, nil, http.StatusServiceUnavailable)
				served := 0
				for _, client := range clients {
					if client.Call(t.Context(), "events", "still here?", nil) == nil {
						served++
					}
				}
				require.Equal(t, 9, served)
				require.NoError(t, <-done)
				require.Equal(t, test.want, time.Since(begin))
				require.Len(t, ends, 10)
				for i, end := range ends {
					require.Equal(t, time.Duration(i)*test.want/9, end)
				}
				for _, client := range clients {
					client.ExpectClose(1012)
				}
			})
		})
	}
}

// TestStats: what is going on now.
func TestStats(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		router := newRouter()
		child := router.Namespace("/child")
		child.On("hold", func(c *wsrouter.Context) error { <-c.Context().Done(); return nil }, wsrouter.Concurrent)
		child.On("block", func(c *wsrouter.Context) error { <-c.Context().Done(); return nil })
		client := wsroutertest.Connect(t, child, nil)
		client.Emit("hold")
		time.Sleep(time.Minute)
		client.Emit("block")
		client.Emit("waits")
		synctest.Wait()
		s := router.Stats()
		require.Equal(t, map[string]int{"/": 0, "/child": 1}, s.Namespaces)
		require.Equal(t, 1, s.Connections)
		require.Equal(t, 2, s.Handlers)
		require.Equal(t, time.Minute, s.OldestHandler)
		require.EqualValues(t, 3, s.EventsIn)
		require.Greater(t, s.Inbox, 0)
		require.EqualValues(t, len(`{"event":"hold"}{"event":"block"}{"event":"waits"}`), s.BytesIn)
		require.EqualValues(t, 1, s.Connects)
		require.Zero(t, newRouter().Stats().Connections)
		require.Equal(t, map[string]int{"/child": 1}, child.Stats().Namespaces)
	})
}

// TestTrace: each hook is called with what it promises, and a panic in one has no
// effect on others.
func TestTrace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex // the read loop, the handlers and the writer are concurrent
		var trace []string
		add := func(format string, args ...any) {
			mu.Lock()
			defer mu.Unlock()
			trace = append(trace, fmt.Sprintf(format, args...))
		}
		opts := &wsrouter.Options{Trace: &wsrouter.Trace{
			Connect:    func(c *wsrouter.Conn) { add("connect %s", c.Router().Name()) },
			Disconnect: func(_ *wsrouter.Conn, err *wsrouter.CloseError) { add("disconnect %d", err.Code) },
			Refuse:     func(_ *http.Request, reason wsrouter.Refusal, _ error) { add("refuse %s", reason) },
			EventStart: func(c *wsrouter.Context) { add("start %s", c.Event()) },
			EventEnd: func(c *wsrouter.Context, took time.Duration, err error) {
				add("end %s %v %v", c.Event(), took, err)
			},
			FrameIn:  func(req *http.Request, data []byte) { add("in %s %s", req.URL, data) },
			FrameOut: func(_ *http.Request, data []byte) { add("out %s", data); panic("in a trace") },
		}}
		router := newRouterWith(opts)
		router.On("slow", func(*wsrouter.Context) error { time.Sleep(time.Second); panic("boom") })
		client := wsroutertest.Connect(t, router, nil)
		client.Emit("events", 1)
		client.Emit("nobody")
		client.Emit("slow")
		client.Next(nil)
		client.Next(nil)
		client.Close()
		opts.Trace.Refuse = nil // the options were copied
		refusedReq := request("http://h/")
		refusedReq.Header.Set("Origin", "http://evil.example")
		refused(t, router, &wsrouter.DialOptions{Request: refusedReq}, http.StatusForbidden)
		synctest.Wait()
		require.ElementsMatch(t, []string{
			"connect /", `in http://memory/ {"event":"events","data":1}`, "start events", "end events 0s <nil>",
			`out {"event":"events","data":1}`, `in http://memory/ {"event":"nobody"}`, `in http://memory/ {"event":"slow"}`,
			"start slow", "end slow 1s panic: boom",
			`out {"event":"exception","data":{"status":"error","message":"Internal server error"}}`,
			"disconnect 1000", "refuse origin",
		}, trace)
	})
}
