package suite_test

import (
	"context"
	"crypto/tls"
	"net/http"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/wsrouter/wsrouter"
	"github.com/wsrouter/wsrouter/internal/memnet"
	"github.com/wsrouter/wsrouter/wsroutertest"
)

// asking returns options for a request to host, made by a page of origin.
func asking(host, origin string) *wsrouter.DialOptions {
	req := request("http://" + host + "/")
	req.Header.Set("Origin", origin)
	return &wsrouter.DialOptions{Request: req}
}

// TestSameOrigin: scheme, host and port are compared, with their defaults. Behind a
// proxy that terminates TLS, the page's scheme is believed.
func TestSameOrigin(t *testing.T) {
	tests := []struct {
		host, origin string
		tls, ok      bool
	}{
		{"api.example.com", "https://api.example.com", true, true},
		{"api.example.com:443", "https://api.example.com", true, true},
		{"api.example.com:443", "https://api.example.com", false, true},
		{"api.example.com", "http://api.example.com", true, false},
		{"api.example.com", "http://api.example.com", false, true},
		{"api.example.com:443", "http://api.example.com", false, false},
		{"api.example.com", "https://api.example.com:8443", true, false},
		{"[::1]:5173", "http://[::1]:5173", false, true},
		{"[::1]:5173", "http://[::1]:5174", false, false},
	}
	for _, test := range tests {
		synctest.Test(t, func(t *testing.T) {
			router := wsrouter.New(nil)
			opts := asking(test.host, test.origin)
			if test.tls {
				opts.Request.TLS = new(tls.ConnectionState)
			}
			if !test.ok {
				refused(t, router, opts, http.StatusForbidden)
				require.EqualValues(t, 1, router.Stats().Refused[wsrouter.RefusedOrigin])
				return
			}
			client, err := router.Connect(t.Context(), opts)
			require.NoError(t, err, "%+v", test)
			require.NoError(t, client.Close())
		})
	}
}

// TestOriginPatterns: patterns are normalized if they can mean only one thing. New
// panics if they cannot mean anything.
func TestOriginPatterns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		router := wsrouter.New(&wsrouter.Options{Origins: []string{" https://a.example.com:443/", "wss://b.example.com", "http://[::1]:5173", "file://"}})
		for _, origin := range []string{"https://a.example.com", "https://b.example.com", "http://[::1]:5173", "file://"} {
			client, err := router.Connect(t.Context(), asking("h", origin))
			require.NoError(t, err, origin)
			require.NoError(t, client.Close())
		}
		refused(t, router, asking("h", "null"), http.StatusForbidden)
	})
	for _, pattern := range []string{"", "https://example.com/app", "https://bücher.example", "https://example.com:https"} {
		func() {
			defer func() {
				require.Contains(t, recover(), `in Options.Origins: `, pattern)
			}()
			wsrouter.New(&wsrouter.Options{Origins: []string{pattern}})
		}()
	}
}

// TestAllowOrigin: it decides in place of the comparison with the request, and in
// addition to the named origins. It is not asked about clients that send no Origin.
func TestAllowOrigin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked := 0
		router := wsrouter.New(&wsrouter.Options{
			Origins: []string{"https://other.example.com"},
			AllowOrigin: func(r *http.Request) bool {
				asked++
				return r.Header.Get("Origin") == r.Header.Get("X-Forwarded-Proto")+"://"+r.Host
			},
		})
		connects := func(origin, proto string) bool {
			opts := asking("app.example.com", origin)
			opts.Request.Header.Set("X-Forwarded-Proto", proto)
			client, err := router.Connect(t.Context(), opts)
			if err != nil {
				return false
			}
			return client.Close() == nil
		}
		require.True(t, connects("https://app.example.com", "https"))
		require.False(t, connects("http://app.example.com", "https"), "a page that anybody on the way may have written")
		require.True(t, connects("http://app.example.com", "http"))
		require.Equal(t, 3, asked)
		require.True(t, connects("https://other.example.com", "https"))
		require.True(t, connects("", "https"))
		require.Equal(t, 3, asked)
	})
}

// TestMaxConnsWhileInit: clients that wait for OnInit count, so that those without room
// are told at once, and not after their upgrade.
func TestMaxConnsWhileInit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		router := wsrouter.New(&wsrouter.Options{MaxConns: 3, MaxConnsPerClient: 2})
		init := make(chan struct{})
		router.OnInit(func(*wsrouter.Router) error { <-init; return nil })
		results := make(chan error, 10)
		connect := func(ctx context.Context, addr string) {
			client, err := router.Connect(ctx, from(addr))
			if err == nil {
				t.Cleanup(func() { client.Close() })
			}
			results <- err
		}
		status := func() int {
			var se *wsrouter.StatusError
			require.ErrorAs(t, <-results, &se)
			return se.StatusCode
		}
		ctx, leave := context.WithCancel(t.Context())
		go connect(ctx, "10.0.0.1:1")
		go connect(t.Context(), "10.0.0.1:2")
		synctest.Wait()
		go connect(t.Context(), "10.0.0.1:3")
		require.Equal(t, http.StatusTooManyRequests, status())
		go connect(t.Context(), "10.0.0.2:1")
		synctest.Wait()
		go connect(t.Context(), "10.0.0.3:1")
		require.Equal(t, http.StatusServiceUnavailable, status())
		leave()
		require.Equal(t, http.StatusServiceUnavailable, status())
		go connect(t.Context(), "10.0.0.1:4") // in the place of a client that has left
		synctest.Wait()
		close(init)
		for range 3 {
			require.NoError(t, <-results)
		}
		synctest.Wait()
		require.Equal(t, 3, router.Stats().Connections)
		require.Equal(t, map[wsrouter.Refusal]int64{wsrouter.RefusedClient: 1, wsrouter.RefusedMaxConns: 1, wsrouter.RefusedInit: 1}, router.Stats().Refused)
	})
}

// TestFullBeforeUpgrade: over the network, too, a client without room gets 503 and no
// 101, however many come while OnInit runs. A place is free again if its request was
// not for a WebSocket.
func TestFullBeforeUpgrade(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		router := wsrouter.New(&wsrouter.Options{MaxConns: 2})
		init := make(chan struct{})
		router.OnInit(func(*wsrouter.Router) error { <-init; return nil })
		client := inMemory(t, router)
		results := make(chan error, 10)
		dial := func() {
			c, err := wsrouter.Dial(t.Context(), "ws://memory/", &wsrouter.DialOptions{HTTPClient: client})
			if err == nil {
				t.Cleanup(func() { c.Close() })
			}
			results <- err
		}
		go func() {
			resp, err := client.Get("http://memory/")
			require.NoError(t, err)
			resp.Body.Close()
			require.Equal(t, http.StatusUpgradeRequired, resp.StatusCode)
			results <- nil
		}()
		go dial()
		synctest.Wait()
		for range 3 {
			go dial()
		}
		for range 3 {
			var se *wsrouter.StatusError
			require.ErrorAs(t, <-results, &se)
			require.Equal(t, http.StatusServiceUnavailable, se.StatusCode)
		}
		close(init)
		require.NoError(t, <-results)
		require.NoError(t, <-results)
		synctest.Wait()
		dial()
		require.NoError(t, <-results)
		synctest.Wait()
		require.EqualValues(t, 2, router.Stats().Connects)
	})
}

// inMemory serves h in the bubble and returns a client for it.
func inMemory(t *testing.T, h http.Handler) *http.Client {
	transport := &http.Transport{DialContext: memnet.Serve(t, h).Dial}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

// TestIPv6Clients: all addresses of a /64 are one client, and an IPv4 address is the
// same client when mapped to IPv6.
func TestIPv6Clients(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		router := wsrouter.New(&wsrouter.Options{MaxConnsPerClient: 1})
		wsroutertest.Connect(t, router, from("[2001:db8:1:2::1]:1"))
		refused(t, router, from("[2001:db8:1:2:ffff::9]:1"), http.StatusTooManyRequests)
		wsroutertest.Connect(t, router, from("[2001:db8:1:3::1]:1"))
		wsroutertest.Connect(t, router, from("10.0.0.1:1"))
		refused(t, router, from("[::ffff:10.0.0.1]:1"), http.StatusTooManyRequests)
		wsroutertest.Connect(t, router, from("[::ffff:10.0.0.2]:1"))
		wsroutertest.Connect(t, router, from("[fe80::1%eth0]:1"))
		refused(t, router, from("[fe80::2%eth1]:1"), http.StatusTooManyRequests)
	})
}

// TestEmbedded: a browser that sends a request for a page's <img> or <iframe> sends no
// Origin, but says so otherwise.
func TestEmbedded(t *testing.T) {
	tests := []struct {
		mode, site string
		ok         bool
	}{
		{"", "", true},
		{"websocket", "same-origin", true},
		{"cors", "same-origin", true},
		{"navigate", "none", true},
		{"navigate", "same-origin", true},
		{"navigate", "cross-site", false},
		{"navigate", "same-site", false},
		{"nested-navigate", "cross-site", false},
		{"no-cors", "cross-site", false},
		{"no-cors", "same-origin", false},
	}
	for _, test := range tests {
		synctest.Test(t, func(t *testing.T) {
			router := wsrouter.New(&wsrouter.Options{Origins: []string{"*"}})
			opts := asking("h", "")
			opts.Request.Header.Set("Sec-Fetch-Mode", test.mode)
			opts.Request.Header.Set("Sec-Fetch-Site", test.site)
			if !test.ok {
				refused(t, router, opts, http.StatusForbidden)
				return
			}
			client, err := router.Connect(t.Context(), opts)
			require.NoError(t, err, "%+v", test)
			require.NoError(t, client.Close())
		})
	}
}

// TestOneSide: a router either serves clients or dials.
func TestOneSide(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		servers := map[string]func(*wsrouter.Router){
			"mounted":            func(r *wsrouter.Router) { r.Handler(nil) },
			"a child is mounted": func(r *wsrouter.Router) { r.Namespace("/child").Handler(nil) },
			"has served":         func(r *wsrouter.Router) { wsroutertest.Connect(t, r, nil) },
		}
		for name, serve := range servers {
			router := wsrouter.New(nil)
			serve(router)
			_, err := newRouter().Connect(t.Context(), &wsrouter.DialOptions{Router: router})
			require.EqualError(t, err, "wsrouter: dial: DialOptions.Router serves clients; use a router that does not", name)
		}
		handlers := wsrouter.New(nil)
		for range 2 {
			client, err := newRouter().Connect(t.Context(), &wsrouter.DialOptions{Router: handlers})
			require.NoError(t, err, "one for all clients")
			require.NoError(t, client.Close())
		}
		_, err := handlers.Connect(t.Context(), nil)
		require.ErrorContains(t, err, "503 Service Unavailable: this router dials and serves no clients")
	})
}
