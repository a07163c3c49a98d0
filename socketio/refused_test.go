package socketio_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wsrouter/wsrouter"
	"github.com/wsrouter/wsrouter/socketio"
)

// refused lists clients that are not let in, with the reason that is counted and what
// the log says.
var refused = []struct {
	name   string
	reason wsrouter.Refusal
	logged string
	client func(*site)
}{
	{"no transport", socketio.RefusedTransport, "Engine.IO code 0", func(s *site) { s.do("GET", "EIO=4", "") }},
	{"an unknown sid", socketio.RefusedSession, "Engine.IO code 1", func(s *site) { s.do("GET", polling+"&sid=x", "") }},
	{"a POST", socketio.RefusedMethod, "Engine.IO code 2", func(s *site) { s.do("POST", polling, "") }},
	{"no upgrade", socketio.RefusedRequest, "Engine.IO code 3", func(s *site) { s.do("GET", "EIO=4&transport=websocket", "") }},
	{"a foreign page", wsrouter.RefusedOrigin, "origin=https://evil.example", func(s *site) { s.do("GET", polling, "", "Origin", "https://evil.example") }},
	{"EIO=3", socketio.RefusedVersion, "Engine.IO code 5", func(s *site) { s.do("GET", "EIO=3&transport=polling", "") }},
	{"another parser", wsrouter.RefusedProtocol, "msgpack", func(s *site) {
		ws := s.direct()
		ws.write("\x00\x84\xa4type\x00")
		ws.closed()
	}},
	{"an event before CONNECT", wsrouter.RefusedProtocol, "namespace not joined", func(s *site) {
		ws := s.direct()
		ws.write(`42["echo"]`)
		ws.closed()
	}},
	{"no CONNECT", wsrouter.RefusedTimeout, "no namespace joined", func(s *site) {
		begin := time.Now()
		s.direct().closed()
		require.Equal(s.t, 10*time.Second, time.Since(begin))
	}},
	{"nowhere", socketio.RefusedNamespace, "no such namespace", joins("/nowhere", "Invalid namespace")},
	{"a namespace that has gone", wsrouter.RefusedShutdown, "shutting down", joins("/gone", "shutting down")},
	{"a namespace that is broken", wsrouter.RefusedInit, "not available", joins("/broken", "not available")},
}

// joins is a client that asks for a namespace, is told that, and leaves.
func joins(namespace, told string) func(*site) {
	return func(s *site) {
		ws := s.direct()
		ws.write("40" + namespace + ",")
		ws.reads("44" + namespace + `,{"message":"` + told + `"}`)
		ws.write("1")
		ws.closed()
	}
}

// TestRefusalsAreSeen: each refused client is counted once, logged once, and reported
// to Trace once.
func TestRefusalsAreSeen(t *testing.T) {
	for _, test := range refused {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var log bytes.Buffer
				var traced []wsrouter.Refusal
				router := newRouter(&wsrouter.Options{
					Logger: slog.New(slog.NewTextHandler(&log, nil)),
					Trace: &wsrouter.Trace{Refuse: func(r *http.Request, reason wsrouter.Refusal, _ error) {
						require.Equal(t, "memory", r.Host)
						traced = append(traced, reason)
					}},
				})
				router.Namespace("/broken").OnInit(func(*wsrouter.Router) error { return http.ErrAbortHandler })
				require.NoError(t, router.Namespace("/gone").Shutdown(t.Context()))
				test.client(serveInBubble(t, router, nil))
				synctest.Wait()
				require.Equal(t, map[wsrouter.Refusal]int64{test.reason: 1}, router.Stats().Refused)
				require.Equal(t, []wsrouter.Refusal{test.reason}, traced)
				require.Equal(t, 1, strings.Count(log.String(), "wsrouter: refused"))
				require.Contains(t, log.String(), "reason="+string(test.reason))
				require.Contains(t, log.String(), "host=memory")
				require.Contains(t, log.String(), test.logged)
			})
		})
	}
}

// TestUpgradesThatFailAreSeen: a wrapper that hides Hijack keeps clients on polling,
// and the log says so.
func TestUpgradesThatFailAreSeen(t *testing.T) {
	var log bytes.Buffer
	router := newRouter(&wsrouter.Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	s := serve(t, router, nil)
	p := s.open()
	w := httptest.NewRecorder()
	r := httptest.NewRequest("GET", "/socket.io/?EIO=4&transport=websocket&sid="+p.sid, nil)
	for name, value := range map[string]string{
		"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
	} {
		r.Header.Set(name, value)
	}
	s.handler.ServeHTTP(w, r)
	require.Equal(t, 501, w.Code)
	require.Equal(t, map[wsrouter.Refusal]int64{wsrouter.RefusedUpgrade: 1}, router.Stats().Refused)
	require.Contains(t, log.String(), "*httptest.ResponseRecorder hides Hijack")
	p.join("40")
}

// attachments returns an event with n of them, of one byte each.
func attachments(n int) (packets []string) {
	places := make([]string, n)
	packets = []string{""}
	for i := range places {
		places[i] = fmt.Sprintf(`{"_placeholder":true,"num":%d}`, i)
		packets = append(packets, "\x00b")
	}
	packets[0] = fmt.Sprintf(`45%d-["echo",[%s]]`, n, strings.Join(places, ","))
	return packets
}

// TestMaxAttachments: the limit applies in both directions and can be changed, and the
// log names it. Without one MaxMessage limits what they cost.
func TestMaxAttachments(t *testing.T) {
	for _, test := range []struct {
		option, allowed int
		refused         []string
		logged          string
	}{
		{0, 10, attachments(11)[:1], "more than 10 attachments"},
		{20, 20, attachments(21)[:1], "more than 20 attachments"},
		{2, 2, attachments(3)[:1], "more than 2 attachments"},
		{-1, 12, attachments(40)[:23], "message too big"},
	} {
		synctest.Test(t, func(t *testing.T) {
			var log bytes.Buffer
			router, gone := watched(&wsrouter.Options{Logger: slog.New(slog.NewTextHandler(&log, nil)), MaxMessage: 2000})
			ws := serveInBubble(t, router, &socketio.Options{MaxAttachments: test.option}).connected()
			packets := attachments(test.allowed)
			ws.write(packets...)
			ws.reads(packets...)
			ws.write(test.refused...)
			ws.closed()
			requireCause(t, wsrouter.CauseProtocol, <-gone)
			synctest.Wait()
			require.Contains(t, log.String(), `reason="`+test.logged+`"`)
		})
	}
}
