package socketio_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/coder/websocket"
	"github.com/stretchr/testify/require"

	"github.com/wsrouter/wsrouter"
	"github.com/wsrouter/wsrouter/socketio"
)

// TestErrors: the bodies, statuses and content types of the errors 0 to 5, and which of
// two mistakes is reported.
func TestErrors(t *testing.T) {
	s := serve(t, newRouter(nil), nil)
	p := s.open()
	const (
		unknownTransport = `{"code":0,"message":"Transport unknown"}`
		unknownSession   = `{"code":1,"message":"Session ID unknown"}`
		badMethod        = `{"code":2,"message":"Bad handshake method"}`
		badRequest       = `{"code":3,"message":"Bad request"}`
		forbidden        = `{"code":4,"message":"Forbidden"}`
		badVersion       = `{"code":5,"message":"Unsupported protocol version"}`
	)
	tests := []struct {
		method, query, origin string
		status                int
		body                  string
	}{
		{"GET", "", "", 400, unknownTransport},
		{"GET", "EIO=4", "", 400, unknownTransport},
		{"GET", "EIO=4&transport=webtransport", "", 400, unknownTransport},
		{"POST", "EIO=4&transport=tobi&sid=x", "", 400, unknownTransport},
		{"GET", polling + "&sid=x", "", 400, unknownSession},
		{"POST", polling + "&sid=x", "", 400, unknownSession},
		{"GET", "EIO=3&transport=polling&sid=x", "", 400, unknownSession},
		{"GET", polling + "&sid=" + strings.Repeat("x", 4000), "", 400, unknownSession},
		{"GET", "EIO=4&transport=websocket&sid=x", "", 400, unknownSession},
		{"POST", polling, "", 400, badMethod},
		{"PUT", polling, "", 400, badMethod},
		{"DELETE", polling, "", 400, badMethod},
		{"OPTIONS", polling, "", 400, badMethod},
		{"POST", "EIO=3&transport=polling", "http://evil.example", 400, badMethod},
		{"GET", "EIO=4&transport=websocket", "", 400, badRequest},
		{"GET", "EIO=4&transport=websocket&sid=" + p.sid, "", 400, badRequest},
		{"GET", "EIO=3&transport=polling&sid=" + p.sid, "", 400, badRequest},
		{"GET", polling, "http://evil.example", 403, forbidden},
		{"GET", "EIO=3&transport=polling", "http://evil.example", 403, forbidden},
		{"GET", "EIO=3&transport=polling", "", 400, badVersion},
		{"GET", "EIO=abc&transport=polling", "", 400, badVersion},
		{"GET", "transport=polling", "", 400, badVersion},
	}
	for _, test := range tests {
		var header []string
		if test.origin != "" {
			header = []string{"Origin", test.origin}
		}
		a := s.do(test.method, test.query, "", header...)
		require.Equal(t, test.body, a.body, "%v", test)
		require.Equal(t, test.status, a.status, "%v", test)
		require.Equal(t, "application/json", a.header.Get("Content-Type"))
		require.Empty(t, a.header.Values("Access-Control-Allow-Origin"))
	}
	head := s.do("HEAD", polling, "")
	require.Equal(t, 400, head.status)
	p.post("1")
}

// TestScript: a page that looks for the client here is told where it is.
func TestScript(t *testing.T) {
	s := serve(t, newRouter(nil), nil)
	mount := s.url
	for _, name := range []string{"socket.io.js", "socket.io.min.js", "socket.io.msgpack.min.js", "socket.io.esm.min.js", "socket.io.js.map"} {
		s.url = mount + name
		for _, query := range []string{"", "v=4"} {
			a := s.do("GET", query, "")
			require.Equal(t, 404, a.status)
			require.Equal(t, "text/plain; charset=utf-8", a.header.Get("Content-Type"))
			require.Contains(t, a.body, "npm package socket.io-client")
		}
		require.Equal(t, 200, s.do("GET", polling, "").status, "a handshake is one at any path")
	}
	for _, name := range []string{"", "x.js", "socket.io", "socket.io.json", "socketXio.js"} {
		s.url = mount + name
		require.Equal(t, `{"code":0,"message":"Transport unknown"}`, s.do("GET", "", "").body)
	}
}

// TestRefusedUpgrades: a refused upgrade gets the bare text and 400, even if a poll
// would get another status.
func TestRefusedUpgrades(t *testing.T) {
	s := serve(t, newRouter(nil), nil)
	p := s.open()
	for query, want := range map[string]string{
		"EIO=4":                                  "Transport unknown",
		"EIO=4&transport=websocket&sid=none":     "Session ID unknown",
		polling:                                  "Bad request",
		p.query():                                "Bad request",
		"EIO=3&transport=websocket&sid=" + p.sid: "Bad request",
		"EIO=3&transport=websocket":              "Unsupported protocol version",
		"EIO=4&transport=websocket&evil":         "Forbidden",
	} {
		origin := ""
		if strings.HasSuffix(query, "evil") {
			origin = "Origin: http://evil.example\r\n"
		}
		resp, _ := s.raw("GET /socket.io/?" + query + " HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\n" + origin +
			"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
		body := make([]byte, 100)
		n, _ := resp.Body.Read(body)
		require.Equal(t, want, string(body[:n]), query)
		require.Equal(t, 400, resp.StatusCode)
		require.Equal(t, "text/html", resp.Header.Get("Content-Type"))
		require.True(t, resp.Close)
	}
	p.post("1")
}

// TestHandshake: exactly five keys, over both transports, and the headers.
func TestHandshake(t *testing.T) {
	s := serve(t, newRouter(&wsrouter.Options{MaxMessage: 500}), nil)
	a := s.do("GET", polling+"&t=abc&b64=1&mine=1", "")
	require.Regexp(t, `^0\{"sid":"[A-Za-z0-9_-]{20}","upgrades":\["websocket"\],"pingInterval":25000,"pingTimeout":20000,"maxPayload":500\}$`, a.body)
	require.Equal(t, "text/plain; charset=UTF-8", a.header.Get("Content-Type"))
	require.Equal(t, "no-store", a.header.Get("Cache-Control"))
	require.Empty(t, a.header.Values("Set-Cookie"))
	require.Empty(t, a.header.Values("Vary"))
	ws := s.dial("")
	require.Regexp(t, `^0\{"sid":"[A-Za-z0-9_-]{20}","upgrades":\[\],"pingInterval":25000,"pingTimeout":20000,"maxPayload":500\}$`, ws.read())
	require.Equal(t, 2, socketio.Sessions(s.handler))
}

// TestHandshakeForever: a heartbeat that is switched off stays within what a JavaScript
// timer supports.
func TestHandshakeForever(t *testing.T) {
	s := serve(t, newRouter(&wsrouter.Options{PingInterval: -1, PongTimeout: -1}), nil)
	require.Contains(t, s.do("GET", polling, "").body, `"pingInterval":1073741823,"pingTimeout":1073741823,`)
}

// TestPaths: the mount decides about the path, with and without a slash.
func TestPaths(t *testing.T) {
	h := socketio.New(newRouter(nil), nil)
	mux := http.NewServeMux()
	mux.Handle("/socket.io/", h)
	mux.Handle("/socket.io", h)
	mux.Handle("/other/path/", h)
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	for path, status := range map[string]int{"/socket.io/": 200, "/socket.io": 200, "/other/path/": 200, "/other": 404} {
		s := &site{t: t, url: server.URL + path, client: server.Client()}
		a := s.do("GET", polling, "")
		require.Equal(t, status, a.status, path)
		if status == 200 {
			ws := s.dial("")
			require.Regexp(t, "^0", ws.read())
		}
	}
}

// TestCORS: an origin named by the router may read everything, including errors and the
// 101. Another origin gets no header and no session.
func TestCORS(t *testing.T) {
	router := newRouter(&wsrouter.Options{Origins: []string{"http://good.example"}})
	s := serve(t, router, &socketio.Options{Credentials: true})
	for _, query := range []string{polling, "EIO=4", polling + "&sid=x"} {
		a := s.do("GET", query, "", "Origin", "http://good.example")
		require.Equal(t, "http://good.example", a.header.Get("Access-Control-Allow-Origin"))
		require.Equal(t, "true", a.header.Get("Access-Control-Allow-Credentials"))
		require.Equal(t, "Origin", a.header.Get("Vary"))
	}
	a := s.do("GET", polling, "", "Origin", "http://evil.example")
	require.Equal(t, 403, a.status)
	require.Empty(t, a.header.Values("Access-Control-Allow-Origin"))
	require.Empty(t, a.header.Values("Access-Control-Allow-Credentials"))

	_, resp, err := websocket.Dial(t.Context(), "ws"+s.url[4:]+"?EIO=4&transport=websocket",
		&websocket.DialOptions{HTTPHeader: http.Header{"Origin": {"http://good.example"}}, Subprotocols: []string{"a", "b"}})
	require.NoError(t, err)
	require.Equal(t, "http://good.example", resp.Header.Get("Access-Control-Allow-Origin"))
	require.Equal(t, "a", resp.Header.Get("Sec-WebSocket-Protocol"))
	require.Empty(t, resp.Header.Get("Sec-WebSocket-Extensions"))
}

// TestPreflight: OPTIONS is answered if CORS is on, and otherwise is a bad handshake.
func TestPreflight(t *testing.T) {
	on := serve(t, newRouter(&wsrouter.Options{Origins: []string{"*"}}), nil)
	ask := []string{"Origin", "http://any.example", "Access-Control-Request-Method", "POST", "Access-Control-Request-Headers", "x-mine"}
	a := on.do("OPTIONS", polling, "", ask...)
	require.Equal(t, 204, a.status)
	require.Empty(t, a.body)
	require.Equal(t, "http://any.example", a.header.Get("Access-Control-Allow-Origin"))
	require.Empty(t, a.header.Values("Access-Control-Allow-Credentials"))
	require.Equal(t, "GET,POST", a.header.Get("Access-Control-Allow-Methods"))
	require.Equal(t, "x-mine", a.header.Get("Access-Control-Allow-Headers"))
	require.Equal(t, []string{"Origin", "Access-Control-Request-Headers"}, a.header.Values("Vary"))

	for _, query := range []string{polling, polling + "&sid=" + on.open().sid, ""} { // what some proxies have removed
		a = on.do("OPTIONS", query, "", "Origin", "http://any.example")
		require.Equal(t, 204, a.status)
		require.Empty(t, a.body)
		require.Equal(t, "http://any.example", a.header.Get("Access-Control-Allow-Origin"))
		require.Equal(t, "GET,POST", a.header.Get("Access-Control-Allow-Methods"))
		require.Equal(t, 204, on.do("OPTIONS", query, "").status)
	}

	off := serve(t, newRouter(nil), nil)
	a = off.do("OPTIONS", polling, "", ask...)
	require.Equal(t, `{"code":2,"message":"Bad handshake method"}`, a.body)
	require.Empty(t, a.header.Values("Access-Control-Allow-Methods"))
}

// TestCredentials: cookies for every origin are a mistake for which New panics.
func TestCredentials(t *testing.T) {
	router := newRouter(&wsrouter.Options{Origins: []string{"http://good.example", "*"}})
	require.PanicsWithValue(t, "socketio: Options.Credentials needs Origins that name their hosts",
		func() { socketio.New(router, &socketio.Options{Credentials: true}) })
	for _, pattern := range []string{"*", "*://*", "http*://*", "?*", "https://*:*", "*.*", "null", "file://", "10.*"} {
		router := newRouter(&wsrouter.Options{Origins: []string{"http://good.example", pattern}})
		require.PanicsWithValue(t, "socketio: Options.Credentials needs Origins that name their hosts",
			func() { socketio.New(router, &socketio.Options{Credentials: true}) }, pattern)
	}
	router = newRouter(&wsrouter.Options{Origins: []string{"https://*.example.com:*", "localhost:*"}})
	s := serve(t, router, &socketio.Options{Credentials: true})
	require.Equal(t, "true", s.do("GET", polling, "", "Origin", "https://a.example.com").header.Get("Access-Control-Allow-Credentials"))
	require.Empty(t, s.do("GET", polling, "", "Origin", "https://evil.example").header.Get("Access-Control-Allow-Credentials"))
}

// TestAllowOriginCORS: pages that AllowOrigin accepts can read the answers.
func TestAllowOriginCORS(t *testing.T) {
	s := serve(t, newRouter(&wsrouter.Options{AllowOrigin: func(r *http.Request) bool {
		return r.Header.Get("Origin") == "http://good.example"
	}}), nil)
	a := s.do("GET", polling, "", "Origin", "http://good.example")
	require.Equal(t, 200, a.status)
	require.Equal(t, "http://good.example", a.header.Get("Access-Control-Allow-Origin"))
	a = s.do("OPTIONS", polling, "", "Origin", "http://good.example", "Access-Control-Request-Method", "POST")
	require.Equal(t, "GET,POST", a.header.Get("Access-Control-Allow-Methods"))
	a = s.do("GET", polling, "", "Origin", "http://evil.example")
	require.Equal(t, 403, a.status)
	require.Empty(t, a.header.Values("Access-Control-Allow-Origin"))
}

// TestImagesOpenNoSessions: for a foreign page's <img> the browser sends a request
// without an Origin. It does not use up anybody's MaxConnsPerClient.
func TestImagesOpenNoSessions(t *testing.T) {
	router := newRouter(&wsrouter.Options{MaxConnsPerClient: 1})
	s := serve(t, router, nil)
	for range 3 {
		a := s.do("GET", polling, "", "Sec-Fetch-Mode", "no-cors", "Sec-Fetch-Site", "cross-site", "Sec-Fetch-Dest", "image")
		require.Equal(t, 403, a.status)
		require.Equal(t, `{"code":4,"message":"Forbidden"}`, a.body)
	}
	require.Zero(t, socketio.Sessions(s.handler))
	require.EqualValues(t, 3, router.Stats().Refused[wsrouter.RefusedOrigin])
	require.Equal(t, 200, s.do("GET", polling, "", "Sec-Fetch-Mode", "cors", "Sec-Fetch-Site", "same-origin").status)
}

// TestFullWhileInit: clients without room are told so while the others wait, over both
// transports, and a failed handshake gives its place back.
func TestFullWhileInit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		router := newRouter(&wsrouter.Options{MaxConns: 1})
		init := make(chan struct{})
		router.OnInit(func(*wsrouter.Router) error { <-init; return nil })
		s := serveInBubble(t, router, nil)
		old := make(chan answer)
		go func() {
			a, _ := s.try("GET", "EIO=3&transport=polling", "")
			old <- a
		}()
		synctest.Wait()
		require.Equal(t, 503, s.do("GET", polling, "").status)
		_, resp, err := websocket.Dial(t.Context(), "ws"+s.url[4:]+"?EIO=4&transport=websocket", &websocket.DialOptions{HTTPClient: s.client})
		require.Error(t, err)
		require.Equal(t, 503, resp.StatusCode)
		close(init)
		require.Equal(t, `{"code":5,"message":"Unsupported protocol version"}`, (<-old).body)
		synctest.Wait()
		s.open()
		require.Equal(t, 503, s.do("GET", polling, "").status)
	})
}

// TestCookie: only the polling handshake sets it, to the session's id.
func TestCookie(t *testing.T) {
	opts := &socketio.Options{Cookie: &http.Cookie{Name: "io", Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode}}
	s := serve(t, newRouter(nil), opts)
	a := s.do("GET", polling, "")
	sid := a.body[len(`0{"sid":"`):][:20]
	require.Equal(t, []string{"io=" + sid + "; Path=/; HttpOnly; SameSite=Lax"}, a.header.Values("Set-Cookie"))
	require.Empty(t, opts.Cookie.Value)
	p := &poller{s, sid}
	p.post("40")
	require.Empty(t, s.do("GET", p.query(), "").header.Values("Set-Cookie"))
	_, resp, err := websocket.Dial(t.Context(), "ws"+s.url[4:]+"?EIO=4&transport=websocket", nil)
	require.NoError(t, err)
	require.Empty(t, resp.Header.Values("Set-Cookie"))
}

// TestCrowded: a mount without room says so, and when to retry.
func TestCrowded(t *testing.T) {
	s := serve(t, newRouter(&wsrouter.Options{MaxConns: 1}), nil)
	p := s.open()
	a := s.do("GET", polling, "")
	require.Equal(t, 503, a.status)
	require.Equal(t, `{"code":3,"message":"too many connections"}`, a.body)
	require.Equal(t, "5", a.header.Get("Retry-After"))
	_, resp, err := websocket.Dial(t.Context(), "ws"+s.url[4:]+"?EIO=4&transport=websocket", nil)
	require.Error(t, err)
	require.Equal(t, 503, resp.StatusCode)
	p.post("1")
	require.Eventually(t, func() bool { return s.do("GET", polling, "").status == 200 }, waitLong, waitStep)
}

// TestCrowdedMeanwhile: if the last place is taken after a client has been admitted,
// the client is told so over either transport.
func TestCrowdedMeanwhile(t *testing.T) {
	for _, transport := range []string{"polling", "websocket"} {
		var router *wsrouter.Router
		calls := 0
		router = newRouter(&wsrouter.Options{MaxConnsPerClient: 10, ClientKey: func(*http.Request) string {
			if calls++; calls == 2 { // the first call is Admit's, the second NewLink's
				router.Close()
			}
			return ""
		}})
		s := serve(t, router, nil)
		if transport == "polling" {
			require.Equal(t, 503, s.do("GET", polling, "").status)
		} else {
			s.dial("").closed()
		}
		require.Zero(t, socketio.Sessions(s.handler))
	}
}
