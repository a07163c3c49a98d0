package socketio_test

import (
	"bufio"
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wsrouter/wsrouter"
	"github.com/wsrouter/wsrouter/internal/memnet"
	"github.com/wsrouter/wsrouter/socketio"
)

// TestPayloads: several packets in one body, in both directions, bytes in base64,
// UTF-8.
func TestPayloads(t *testing.T) {
	s := serve(t, newRouter(nil), nil)
	p := s.open()
	p.join("40")
	p.post("42[\"echo\",\"é€😀\"]\x1e451-[\"echo\",{\"_placeholder\":true,\"num\":0}]\x1ebAQIDBA==\x1e3\x1e42[\"echo\",\"<&>\"]")
	var got []string
	for len(got) < 4 {
		got = append(got, strings.Split(p.get(), "\x1e")...)
	}
	require.Equal(t, []string{`42["echo","é€😀"]`, `451-["echo",{"_placeholder":true,"num":0}]`, "bAQIDBA==", `42["echo","<&>"]`}, got)
}

// TestPollingHeaders: statuses and content types within a session.
func TestPollingHeaders(t *testing.T) {
	s := serve(t, newRouter(nil), nil)
	p := s.open()
	a := s.do("POST", p.query(), "40", "Content-Type", "text/plain;charset=UTF-8")
	require.Equal(t, answer{200, a.header, "ok"}, a)
	require.Equal(t, "text/html", a.header.Get("Content-Type"))
	a = s.do("GET", p.query(), "")
	require.Equal(t, "text/plain; charset=UTF-8", a.header.Get("Content-Type"))
	require.Equal(t, "no-store", a.header.Get("Cache-Control"))
	for _, method := range []string{"PUT", "DELETE", "OPTIONS", "PATCH"} {
		a = s.do(method, p.query(), "")
		require.Equal(t, 500, a.status)
		require.Empty(t, a.body)
	}
	p.post("1")
}

// TestPostTooBig: 413 without a body, and the session stays. A post at the limit
// passes.
func TestPostTooBig(t *testing.T) {
	s := serve(t, newRouter(&wsrouter.Options{MaxMessage: 100}), nil)
	p := s.open()
	p.join("40")
	packet := `42["echo","` + strings.Repeat("x", 100-13) + `"]`
	a := s.do("POST", p.query(), packet+" ")
	require.Equal(t, 413, a.status)
	require.Empty(t, a.body)
	p.post(packet)
	require.Equal(t, packet, p.get())
}

// TestOctetStream: bodies of older protocol versions end the session.
func TestOctetStream(t *testing.T) {
	s := serve(t, newRouter(nil), nil)
	p := s.open()
	poll := p.waiting()
	a := s.do("POST", p.query(), "x", "Content-Type", "application/octet-stream")
	require.Equal(t, 400, a.status)
	require.Empty(t, a.body)
	require.NotEqual(t, "6", <-poll)
	p.gone()
}

// TestTwoPolls: a second poll while one waits ends the session, and both polls.
func TestTwoPolls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serveInBubble(t, newRouter(nil), nil)
		p := s.open()
		first := p.waiting()
		synctest.Wait()
		second := s.do("GET", p.query(), "")
		require.Equal(t, 400, second.status)
		require.Empty(t, second.body)
		require.Equal(t, "1", <-first)
		p.gone()
	})
}

// TestTwoPosts: likewise for posts.
func TestTwoPosts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serveInBubble(t, newRouter(nil), nil)
		p := s.open()
		body, feed := io.Pipe()
		first := make(chan answer, 1)
		go func() {
			req, _ := http.NewRequestWithContext(t.Context(), "POST", s.url+"?"+p.query(), body)
			resp, err := s.client.Do(req)
			if err == nil {
				resp.Body.Close()
			}
			first <- answer{}
		}()
		io.WriteString(feed, "4")
		synctest.Wait()
		second := s.do("POST", p.query(), "40")
		require.Equal(t, 400, second.status)
		require.Empty(t, second.body)
		p.gone()
		feed.Close()
		<-first
	})
}

// TestGetBesidePost: one of each is what clients do.
func TestGetBesidePost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serveInBubble(t, newRouter(nil), nil)
		p := s.open()
		p.join("40")
		for i := range 20 {
			poll := p.waiting()
			synctest.Wait()
			p.post(fmt.Sprintf(`42["echo",%d]`, i))
			require.Equal(t, fmt.Sprintf(`42["echo",%d]`, i), <-poll)
		}
	})
}

// TestAbortedPoll: a client that gives up its poll is gone.
func TestAbortedPoll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		router := newRouter(nil)
		gone := make(chan error, 1)
		router.OnDisconnect(func(_ context.Context, _ *wsrouter.Conn, err *wsrouter.CloseError) { gone <- err })
		s := serveInBubble(t, router, nil)
		p := s.open()
		p.join("40")
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			req, _ := http.NewRequestWithContext(ctx, "GET", s.url+"?"+p.query(), nil)
			s.client.Do(req)
		}()
		synctest.Wait()
		cancel()
		var ce *wsrouter.CloseError
		require.ErrorAs(t, <-gone, &ce)
		require.Equal(t, wsrouter.CausePeer, ce.Cause)
		p.gone()
	})
}

// TestAbortedPost: so is one that does not finish a post.
func TestAbortedPost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serveInBubble(t, newRouter(nil), nil)
		p := s.open()
		conn, _ := s.client.Transport.(*http.Transport).DialContext(t.Context(), "", "")
		fmt.Fprintf(conn, "POST /socket.io/?%s HTTP/1.1\r\nHost: memory\r\nContent-Length: 100\r\n\r\n42", p.query())
		synctest.Wait()
		conn.Close()
		synctest.Wait()
		p.gone()
		require.Zero(t, socketio.Sessions(s.handler))
	})
}

// TestPostTrickles: a body has MessageTimeout; until then its bytes are signs of life.
func TestPostTrickles(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serveInBubble(t, newRouter(nil), nil)
		p := s.open()
		p.join("40")
		trickle := func(n int, packet string) *http.Response {
			conn, _ := s.client.Transport.(*http.Transport).DialContext(t.Context(), "", "")
			defer conn.Close()
			fmt.Fprintf(conn, "POST /socket.io/?%s HTTP/1.1\r\nHost: memory\r\nContent-Length: %d\r\n\r\n", p.query(), n)
			for i := range packet {
				time.Sleep(5 * time.Second)
				if _, err := conn.Write([]byte(packet[i : i+1])); err != nil {
					break
				}
			}
			resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil {
				return nil
			}
			return resp
		}
		require.Equal(t, 200, trickle(11, `42["echo"]`+"\n").StatusCode)
		require.Contains(t, p.get(), "2")
		begin := time.Now()
		trickle(100, strings.Repeat(" ", 100))
		require.LessOrEqual(t, time.Since(begin), 80*time.Second) // and its answer has WriteTimeout
		p.gone()
	})
}

// TestBadPacketInPayload: what comes before it has been taken. The answer is still ok,
// then the session is closed.
func TestBadPacketInPayload(t *testing.T) {
	for _, bad := range []string{"9", "x", "", "b!!", "bAQI", "2", "4abc", "bAQID", "42[", "\x1e"} {
		router := newRouter(nil)
		s := serve(t, router, nil)
		p := s.open()
		p.join("40")
		p.post("42[\"echo\",\"before\"]\x1e" + bad + "\x1e42[\"echo\",\"after\"]")
		p.gone()
		require.NoError(t, router.Shutdown(t.Context()))
		require.EqualValues(t, 1, router.Stats().EventsIn, "%q", bad)
	}
}

// TestManyPackets: 100,000 packets in one payload are all handled, in order, while the
// inbox holds only a few.
func TestManyPackets(t *testing.T) {
	const n = 100_000
	router := wsrouter.New(&wsrouter.Options{MaxMessage: 10 << 20, InboxBytes: 10_000})
	next := 0
	done := make(chan struct{})
	router.On("n", func(c *wsrouter.Context) error {
		var i int
		if err := c.Bind(&i); err != nil || i != next {
			t.Errorf("got %d with %v, want %d", i, err, next)
		}
		if next++; next == n {
			close(done)
		}
		return nil
	})
	s := serve(t, router, nil)
	p := s.open()
	p.join("40")
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "\x1e42[\"n\",%d]", i)
	}
	p.post(b.String()[1:])
	<-done
}

// TestManyBinaries: 1 MB of b packets, empty or not, ends with the first.
func TestManyBinaries(t *testing.T) {
	s := serve(t, newRouter(nil), nil)
	for _, payload := range []string{
		strings.Repeat("b\x1e", 499_999) + "b",
		"b" + base64.StdEncoding.EncodeToString(make([]byte, 700_000)),
	} {
		p := s.open()
		p.join("40")
		p.post(payload)
		p.gone()
	}
	require.Zero(t, socketio.Sessions(s.handler))
}

// TestClientCloses: a close packet is answered ok, and releases the poll.
func TestClientCloses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		router := newRouter(nil)
		gone := make(chan error, 1)
		router.OnDisconnect(func(_ context.Context, _ *wsrouter.Conn, err *wsrouter.CloseError) { gone <- err })
		s := serveInBubble(t, router, nil)
		p := s.open()
		p.join("40")
		poll := p.waiting()
		synctest.Wait()
		p.post("1")
		require.Equal(t, "6", <-poll)
		require.Equal(t, &wsrouter.CloseError{Code: wsrouter.CloseNormal, Cause: wsrouter.CausePeer}, <-gone)
		p.gone()
	})
}

// TestShutdownPolling: existing sessions get their last packets and the close, new ones
// are refused.
func TestShutdownPolling(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		router := newRouter(nil)
		release := make(chan struct{})
		router.On("late", func(c *wsrouter.Context) error {
			<-release
			return c.Reply("served")
		})
		s := serveInBubble(t, router, nil)
		waits, comes, busy := s.open(), s.open(), s.open()
		waits.join("40")
		comes.join("40")
		busy.join("40")
		poll := waits.waiting()
		busy.post(`421["late"]`)
		synctest.Wait()
		done := make(chan error, 1)
		go func() { done <- router.Shutdown(t.Context()) }()
		synctest.Wait()
		require.Equal(t, "1", <-poll)
		waits.gone()
		a := s.do("GET", polling, "")
		require.Equal(t, 503, a.status)
		require.Equal(t, `{"code":3,"message":"shutting down"}`, a.body)
		require.Equal(t, "5", a.header.Get("Retry-After"))
		require.Equal(t, "6\x1e1", comes.get())
		synctest.Wait() // until it is gone, a poll gets its own goodbye
		comes.gone()
		close(release)
		require.Equal(t, `431["served"]`, busy.get())
		require.Contains(t, []string{"1", "6\x1e1"}, busy.get())
		require.NoError(t, <-done)
		require.Zero(t, socketio.Sessions(s.handler))
	})
}

// TestServerTimeouts: a server's own ReadTimeout and WriteTimeout, much shorter than a
// poll waits, change nothing.
func TestServerTimeouts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		router := newRouter(nil)
		conns := make(chan *wsrouter.Conn, 2)
		router.OnConnect(func(c *wsrouter.Conn) error { conns <- c; return nil })
		server := &http.Server{ReadTimeout: 300 * time.Millisecond, WriteTimeout: 300 * time.Millisecond}
		s := serveWith(t, server, router, nil)
		p := s.open()
		p.join("40")
		ws := s.connected()
		for range 3 {
			poll := p.waiting()
			time.Sleep(5 * time.Second)
			for _, c := range []*wsrouter.Conn{<-conns, <-conns} {
				require.NoError(t, c.Emit("late"))
				conns <- c
			}
			require.Equal(t, `42["late"]`, <-poll)
			ws.reads(`42["late"]`)
			ws.write(`42["echo",1]`)
			ws.reads(`42["echo",1]`)
		}
	})
}

// TestDeadlinesEnd: the next request on the same connection, whatever its handler, does
// not inherit the write deadline of a poll.
func TestDeadlinesEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serveInBubble(t, newRouter(nil), nil)
		slow := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/slow" {
				s.handler.ServeHTTP(w, r)
				return
			}
			time.Sleep(time.Minute)
			io.WriteString(w, "slow")
		})
		conn, err := memnet.Serve(t, slow).Dial(t.Context(), "", "")
		require.NoError(t, err)
		defer conn.Close()
		r := bufio.NewReader(conn)
		for _, target := range []string{"/?" + polling, "/slow"} {
			fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: memory\r\n\r\n", target)
			resp, err := http.ReadResponse(r, nil)
			require.NoError(t, err)
			_, err = io.ReadAll(resp.Body)
			require.NoError(t, err)
		}
	})
}

// TestShutdownVanished: it does not wait for a client that has not polled for long,
// waits pollAgain for one that has just been answered, and tells one that comes.
func TestShutdownVanished(t *testing.T) {
	for _, test := range []struct {
		away, want time.Duration
	}{
		{0, 5 * time.Second}, {3 * time.Second, 2 * time.Second}, {5 * time.Second, 0}, {20 * time.Second, 0},
	} {
		synctest.Test(t, func(t *testing.T) {
			s := serveInBubble(t, newRouter(nil), nil)
			p := s.open()
			p.join("40")
			time.Sleep(test.away)
			begin := time.Now()
			require.NoError(t, s.router.Shutdown(t.Context()))
			require.Equal(t, test.want, time.Since(begin))
			p.gone()
			require.Zero(t, socketio.Sessions(s.handler))
		})
	}
	synctest.Test(t, func(t *testing.T) {
		s := serveInBubble(t, newRouter(nil), nil)
		p := s.open()
		p.join("40")
		poll := p.waiting() // for longer than pollAgain
		time.Sleep(20 * time.Second)
		late := s.open()
		go func() {
			time.Sleep(4 * time.Second)
			require.Equal(t, "6\x1e1", late.get())
		}()
		begin := time.Now()
		require.NoError(t, s.router.Shutdown(t.Context()))
		require.Equal(t, 4*time.Second, time.Since(begin))
		require.Equal(t, "1", <-poll)
		synctest.Wait()
	})
}

// TestShutdownVanishedWithFrames: what is queued waits for WriteTimeout from when it
// could first be taken, as over WebSocket.
func TestShutdownVanishedWithFrames(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		router, gone := watched(nil)
		s := serveInBubble(t, router, nil)
		s.open().join("40")
		time.Sleep(20 * time.Second)
		require.NoError(t, router.Emit("late"))
		time.Sleep(3 * time.Second)
		begin := time.Now()
		require.NoError(t, router.Shutdown(t.Context()))
		require.Equal(t, 7*time.Second, time.Since(begin))
		requireCause(t, wsrouter.CauseShutdown, <-gone)
	})
}

// TestManyPosts: a flood of posts, one after another, is a flood of packets, each
// answered. Beyond FrameRate it ends the session.
func TestManyPosts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		router, gone := watched(&wsrouter.Options{FrameRate: 1000})
		s := serveInBubble(t, router, nil)
		p := s.open()
		p.join("40")
		for i := range 900 {
			p.post(fmt.Sprintf(`42%d["echo",1]`, i))
		}
		got := strings.Split(p.get(), "\x1e")
		for len(got) < 900 {
			got = append(got, strings.Split(p.get(), "\x1e")...)
		}
		for i, packet := range got {
			require.Equal(t, fmt.Sprintf("43%d[1]", i), packet)
		}
		for range 1000 {
			p.post(`42["none"]`)
		}
		requireCause(t, wsrouter.CauseProtocol, <-gone)
		p.gone()
		require.Zero(t, socketio.Sessions(s.handler))
	})
}
