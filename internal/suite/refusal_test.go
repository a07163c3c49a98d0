package suite_test

import (
	"bufio"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"
	"github.com/stretchr/testify/require"

	"github.com/wsrouter/wsrouter"
	"github.com/wsrouter/wsrouter/internal/rawtest"
	"github.com/wsrouter/wsrouter/wsroutertest"
)

// TestRefusalsAreSeen: a refused client is counted by reason, reported to Trace.Refuse,
// and logged at most once a minute for each reason, as an example.
func TestRefusalsAreSeen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := &lines{}
		traced := 0
		router := wsrouter.New(&wsrouter.Options{Logger: log.logger(), Trace: &wsrouter.Trace{
			Refuse: func(req *http.Request, reason wsrouter.Refusal, err error) {
				require.Equal(t, wsrouter.RefusedOrigin, reason)
				require.Error(t, err)
				require.Equal(t, "api.example.com", req.Host)
				traced++
			},
		}})
		knock := func() {
			req := httptest.NewRequest("GET", "http://api.example.com/ws?token=private", nil)
			req.Header.Set("Origin", "https://example.com")
			w := httptest.NewRecorder()
			router.ServeHTTP(w, req)
			require.Equal(t, 403, w.Code)
		}
		for range 10 {
			knock()
			time.Sleep(time.Second)
		}
		require.Len(t, log.with("refused"), 1)
		require.Len(t, log.with("reason=origin", "host=api.example.com", "origin=https://example.com", `err="origin not allowed"`), 1)
		time.Sleep(time.Minute)
		knock()
		require.Len(t, log.with("refused"), 2)
		require.Len(t, log.with("more=9"), 1)
		require.Empty(t, log.with("private"))
		require.Equal(t, 11, traced)
		require.EqualValues(t, 11, router.Stats().Refused[wsrouter.RefusedOrigin])
	})
}

// wrapped hides what the server's ResponseWriter can do.
type wrapped struct{ http.ResponseWriter }

// TestHiddenHijackIsNamed: the log names the type that hides Hijack, beneath those that
// can be unwrapped.
func TestHiddenHijackIsNamed(t *testing.T) {
	log := &lines{}
	router := wsrouter.New(&wsrouter.Options{Logger: log.logger()})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		router.ServeHTTP(seeThrough{wrapped{w}}, r)
	}))
	defer server.Close()
	_, err := wsrouter.Dial(t.Context(), server.URL, nil)
	var status *wsrouter.StatusError
	require.ErrorAs(t, err, &status)
	require.Equal(t, 501, status.StatusCode)
	require.Len(t, log.with("reason=upgrade", "suite_test.wrapped"), 1)
}

type seeThrough struct{ http.ResponseWriter }

func (s seeThrough) Unwrap() http.ResponseWriter { return s.ResponseWriter }

// TestEarlyEndsAreSeen: a client that violates a rule before it is in a namespace
// counts as refused; one that leaves on its own does not.
func TestEarlyEndsAreSeen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := &lines{}
		router := wsrouter.New(&wsrouter.Options{Logger: log.logger()})
		connect := func() *rawtest.Raw {
			return rawtest.Connect(router, &wsrouter.WSOptions{AuthFrame: true}, nil)
		}
		raw := connect()
		raw.Send(`{"event":"events"}`)
		raw.Read()
		raw.Wait()
		require.Len(t, log.with("refused", "reason=protocol", "auth expected"), 1)
		raw = connect()
		raw.Close(1000, "")
		raw.Read()
		raw.Wait()
		raw = connect()
		require.NoError(t, router.Shutdown(t.Context()))
		raw.Wait()
		require.Equal(t, map[wsrouter.Refusal]int64{wsrouter.RefusedProtocol: 1, wsrouter.RefusedShutdown: 1}, router.Stats().Refused)
	})
}

// TestShutdownCodeIsForLateClients: a client that comes during a shutdown, after Admit
// or to a namespace that is gone, is told the code of the shutdown.
func TestShutdownCodeIsForLateClients(t *testing.T) {
	router := wsrouter.New(&wsrouter.Options{ShutdownCode: wsrouter.CloseServiceRestart})
	chat := router.Namespace("/chat")
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/chat" {
			chat.Handler(&wsrouter.WSOptions{AuthFrame: true}).ServeHTTP(w, r)
			return
		}
		router.ServeHTTP(lateHijack{w, router}, r)
	}))
	defer server.Close()
	dial := func(path string) *websocket.Conn {
		conn, _, err := websocket.Dial(t.Context(), server.URL+path, nil)
		require.NoError(t, err)
		return conn
	}
	requireRestart := func(conn *websocket.Conn) {
		var end websocket.CloseError
		_, _, err := conn.Read(t.Context())
		require.ErrorAs(t, err, &end)
		require.Equal(t, websocket.CloseError{Code: 1012, Reason: "shutting down"}, end)
	}

	conn := dial("/chat")
	require.NoError(t, chat.Shutdown(t.Context()))
	require.NoError(t, conn.Write(t.Context(), websocket.MessageText, []byte(`{"auth":1}`)))
	requireRestart(conn)
	requireRestart(dial("/"))
	require.EqualValues(t, 2, router.Stats().Refused[wsrouter.RefusedShutdown])
}

// lateHijack shuts a router down between a client's request and its connection.
type lateHijack struct {
	http.ResponseWriter
	router *wsrouter.Router
}

func (h lateHijack) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	h.router.Close()
	return h.ResponseWriter.(http.Hijacker).Hijack()
}

// TestGuardRefusalsAreSeen: one line a minute for those that OnConnect intends, and one
// for each of its failures.
func TestGuardRefusalsAreSeen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := &lines{}
		router := wsrouter.New(&wsrouter.Options{Logger: log.logger()})
		var err error
		router.OnConnect(func(*wsrouter.Conn) error { return err })
		for range 2 {
			err = wsrouter.NewError("bad token")
			wsroutertest.Connect(t, router, nil).ExpectClose(1008)
			err = errors.New("db")
			wsroutertest.Connect(t, router, nil).ExpectClose(1011)
		}
		require.Len(t, log.with("wsrouter: refused", "reason=guard", `err="bad token"`, "namespace=/"), 1)
		require.Len(t, log.with("wsrouter: refused"), 1)
		require.Len(t, log.with("level=ERROR", "OnConnect failed", "err=db"), 2)
		require.EqualValues(t, 4, router.Stats().Refused[wsrouter.RefusedGuard])
		require.EqualValues(t, 2, router.Stats().Errors)
	})
}

// TestDisconnectsHaveAReason: the line says why we ended the connection. Text from a
// stranger does not get there.
func TestDisconnectsHaveAReason(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := &lines{}
		router := wsrouter.New(&wsrouter.Options{Logger: log.logger()})
		router.On("e", func(c *wsrouter.Context) error { <-c.Context().Done(); return nil })
		raw := rawtest.Connect(router, nil, nil)
		raw.Send(`{"event":"e","id":1}`)
		raw.Send(`{"event":"e","id":1}`)
		raw.Read()
		raw.Wait()
		require.Len(t, log.with("wsrouter: disconnected", "cause=protocol", `reason="id in use"`), 1)
		raw = rawtest.Connect(router, nil, nil)
		raw.Close(4000, "made up")
		raw.Wait()
		require.Len(t, log.with("wsrouter: disconnected"), 2)
		require.Empty(t, log.with("made up"))
	})
}
