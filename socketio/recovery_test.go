package socketio_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"
	"github.com/stretchr/testify/require"

	"github.com/wsrouter/wsrouter"
)

// recovering is a router whose clients may come back within a minute, and what its
// hooks were called for.
type recovering struct {
	*wsrouter.Router
	mu   sync.Mutex
	told []string
}

func newRecovering(o wsrouter.Options) *recovering {
	if o.Recovery == nil {
		o.Recovery = &wsrouter.Recovery{Window: time.Minute}
	}
	o.Logger = slog.New(slog.DiscardHandler)
	r := &recovering{Router: newRouter(&o)}
	r.watch(r.Router)
	return r
}

func (r *recovering) watch(ns *wsrouter.Router) {
	tell := func(what string, c *wsrouter.Conn) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.told = append(r.told, strings.TrimPrefix(c.Router().Name(), "/")+what)
	}
	ns.OnConnect(func(c *wsrouter.Conn) error { tell("+", c); return nil })
	ns.OnAway(func(c *wsrouter.Conn, _ *wsrouter.CloseError) { tell("?", c) })
	ns.OnResume(func(c *wsrouter.Conn) error { tell("!", c); return nil })
	ns.OnDisconnect(func(_ context.Context, c *wsrouter.Conn, _ *wsrouter.CloseError) { tell("-", c) })
}

// requireTold compares what has happened with one of several: + is OnConnect, ? away, !
// back, - OnDisconnect.
func (r *recovering) requireTold(t *testing.T, want ...string) {
	t.Helper()
	synctest.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	require.Contains(t, want, strings.Join(r.told, " "))
}

// requireEmpty requires that nothing is held for connections that have ended.
func (r *recovering) requireEmpty(t *testing.T) {
	t.Helper()
	synctest.Wait()
	st := r.Stats()
	require.Zero(t, st.Connections+st.Rooms+st.Inbox+st.Outbox+st.Handlers+st.Away, "%+v", st)
}

func (r *recovering) only() *wsrouter.Conn {
	synctest.Wait()
	return slices.Collect(r.Conns())[0]
}

// wire is either of the transports.
type wire interface {
	write(packets ...string)
	read() string
}

// pollWire uses polling as if it were a socket.
type pollWire struct {
	*poller
	left []string
}

func (p *pollWire) write(packets ...string) {
	p.t.Helper()
	p.post(strings.Join(packets, "\x1e"))
}

func (p *pollWire) read() string {
	p.t.Helper()
	if len(p.left) == 0 {
		p.left = strings.Split(p.get(), "\x1e")
	}
	first := p.left[0]
	p.left = p.left[1:]
	return first
}

// lost is what a client remembers about a namespace, like socket.io-client.
type lost struct {
	namespace string // "/chat,", or empty
	sid, pid  string
	offset    string
}

var wires = map[string]func(s *site) (w wire, cut func()){
	"websocket": func(s *site) (wire, func()) {
		ws := s.direct()
		return ws, func() { ws.CloseNow(); synctest.Wait() }
	},
	"polling": func(s *site) (wire, func()) {
		p := &pollWire{poller: s.open()}
		return p, func() {
			ctx, cancel := context.WithCancel(p.t.Context())
			gone := make(chan struct{})
			go func() {
				defer close(gone)
				p.tryUntil(ctx)
			}()
			synctest.Wait()
			cancel()
			<-gone
			synctest.Wait()
		}
	},
}

// eachWire runs a test over both transports.
func eachWire(t *testing.T, run func(t *testing.T, open func(s *site) (wire, func()))) {
	for name, open := range wires {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { run(t, open) })
		})
	}
}

// join asks for a namespace, with what the client has lost there, and the user's
// fields.
func join(t *testing.T, w wire, l lost, users string) lost {
	t.Helper()
	var fields []string
	if l.pid != "" {
		fields = append(fields, fmt.Sprintf(`"pid":%q`, l.pid))
		if l.offset != "" {
			fields = append(fields, fmt.Sprintf(`"offset":%q`, l.offset))
		}
	}
	if users != "" {
		fields = append(fields, users)
	}
	packet := "40" + l.namespace
	if fields != nil {
		packet += "{" + strings.Join(fields, ",") + "}"
	}
	w.write(packet)
	got := w.read()
	data, ok := strings.CutPrefix(got, "40"+l.namespace)
	require.True(t, ok, got)
	require.Regexp(t, `^\{"sid":"~[A-Za-z0-9_-]{19}","pid":"[A-Za-z0-9_-]{20}"\}$`, data)
	var welcome struct{ SID, PID string }
	require.NoError(t, json.Unmarshal([]byte(data), &welcome))
	l.sid, l.pid = welcome.SID, welcome.PID
	return l
}

// takes reads an event with those values, and keeps its offset like a client.
func (l *lost) takes(t *testing.T, w wire, want string) {
	t.Helper()
	got := w.read()
	require.Regexp(t, `,"~[0-9a-z]+\.[0-9a-z]+"\]$`, got)
	at := strings.LastIndexByte(got, ',')
	require.Equal(t, want, got[:at]+"]")
	l.offset = got[at+2 : len(got)-2]
}

// comesBack requires that the client gets its connection back.
func comesBack(t *testing.T, w wire, l lost) {
	t.Helper()
	require.Equal(t, l, join(t, w, l, ""))
}

// isNew requires that it gets another one.
func isNew(t *testing.T, w wire, l lost) lost {
	t.Helper()
	fresh := join(t, w, l, "")
	require.NotEqual(t, l.sid, fresh.sid)
	require.NotEqual(t, l.pid, fresh.pid)
	return fresh
}

func (p *poller) tryUntil(ctx context.Context) {
	req, err := newGet(ctx, p.url+"?"+p.query())
	if err != nil {
		return
	}
	if resp, err := p.client.Do(req); err == nil {
		resp.Body.Close()
	}
}

// TestRecovery: a lost client gets what it has missed, in order and once, also the
// second time, with the same ids. The hooks are those of one connection.
func TestRecovery(t *testing.T) {
	eachWire(t, func(t *testing.T, open func(s *site) (wire, func())) {
		router := newRecovering(wsrouter.Options{})
		s := serveInBubble(t, router.Router, nil)
		w, cut := open(s)
		l := join(t, w, lost{}, "")
		require.NoError(t, router.only().Join("lobby"))
		n := 0
		for round := range 3 {
			require.NoError(t, router.To("lobby").Emit("news", n))
			l.takes(t, w, fmt.Sprintf(`42["news",%d]`, n))
			n++
			cut()
			require.True(t, router.only().Away())
			for range round * 2 { // none the first time
				require.NoError(t, router.To("lobby").Emit("news", n))
				n++
			}
			w, cut = open(s)
			comesBack(t, w, l)
			for i := range round * 2 {
				l.takes(t, w, fmt.Sprintf(`42["news",%d]`, n-round*2+i))
			}
			w.write(`427["echo","alive"]`)
			require.Equal(t, `437["alive"]`, w.read())
		}
		router.requireTold(t, "+ ? ! ? ! ? !")
		require.EqualValues(t, 3, router.Stats().Resumed)
		w.write("41")
		router.requireTold(t, "+ ? ! ? ! ? ! -")
		router.requireEmpty(t)
		isNew(t, w, l)
	})
}

// TestRecoveryBeforeTheFirstEvent: a client that has received no event comes back, even
// if it still shows the offset of an earlier connection, as socket.io-client does.
func TestRecoveryBeforeTheFirstEvent(t *testing.T) {
	eachWire(t, func(t *testing.T, open func(s *site) (wire, func())) {
		router := newRecovering(wsrouter.Options{})
		s := serveInBubble(t, router.Router, nil)
		w, cut := open(s)
		l := join(t, w, lost{}, "")
		cut()
		require.NoError(t, router.Emit("missed", 1))
		w, cut = open(s)
		comesBack(t, w, l)
		l.takes(t, w, `42["missed",1]`)
		cut()
		time.Sleep(2 * time.Minute)
		w, cut = open(s)
		l = isNew(t, w, l)
		cut()
		require.NoError(t, router.Emit("missed", 2))
		w, _ = open(s)
		comesBack(t, w, l)
		l.takes(t, w, `42["missed",2]`)
		router.requireTold(t, "+ ? ! ? - + ? !")
	})
}

// TestRecoveryOffsets: a client must show an offset of the connection, not more than
// was sent, and not less than it is known to have received. Otherwise it gets a new
// connection, and the old one ends.
func TestRecoveryOffsets(t *testing.T) {
	shown := map[string]func(good string) string{
		"an application's":  func(string) string { return "hello" },
		"like one":          func(string) string { return "~1.2" }, // of another connection, so nothing of this one was received
		"beyond":            func(good string) string { return good[:len(good)-1] + "z" },
		"far beyond":        func(good string) string { return good + "zzzzzzzzzzz" },
		"acknowledged past": func(good string) string { return good[:len(good)-1] + "1" },
		"none":              func(string) string { return "" },
	}
	for name, show := range shown {
		t.Run(name, func(t *testing.T) {
			eachWire(t, func(t *testing.T, open func(s *site) (wire, func())) {
				router := newRecovering(wsrouter.Options{})
				s := serveInBubble(t, router.Router, nil)
				w, cut := open(s)
				l := join(t, w, lost{}, "")
				for n := range 2 {
					require.NoError(t, router.Emit("news", n))
					l.takes(t, w, fmt.Sprintf(`42["news",%d]`, n))
				}
				require.Equal(t, "2", w.read())
				w.write("3")
				synctest.Wait()
				cut()
				w, _ = open(s)
				isNew(t, w, lost{pid: l.pid, sid: l.sid, offset: show(l.offset)})
				router.requireTold(t, "+ ? ! - +", "+ ? ! + -")
			})
		})
	}
	t.Run("no string", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			router := newRecovering(wsrouter.Options{})
			s := serveInBubble(t, router.Router, nil)
			ws := s.direct()
			l := join(t, ws, lost{}, "")
			ws.CloseNow()
			synctest.Wait()
			ws = s.direct()
			require.NotEqual(t, l.sid, join(t, ws, l, `"offset":7`).sid)
			router.requireTold(t, "+ ? ! - +", "+ ? ! + -")
		})
	})
}

// TestRecoveryOfOthers: a pid that is unknown, has expired, or belongs to another
// namespace gets a new connection, and affects nobody.
func TestRecoveryOfOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		router := newRecovering(wsrouter.Options{})
		router.watch(router.Namespace("/chat"))
		s := serveInBubble(t, router.Router, nil)
		a := s.direct()
		mine := join(t, a, lost{}, "")
		require.NoError(t, router.Emit("news"))
		mine.takes(t, a, `42["news"]`)
		b := s.direct()
		isNew(t, b, lost{pid: "AAAAAAAAAAAAAAAAAAAA", offset: mine.offset})
		join(t, b, lost{namespace: "/chat,", pid: mine.pid, offset: mine.offset}, "")
		router.requireTold(t, "+ + chat+")
		a.write(`421["echo",1]`)
		a.reads(`431[1]`)
	})
}

// TestRecoveryAuth: what the client adds is not the user's, who sees what was sent with
// the last CONNECT. Without a pid, or if it is not a string, everything is the user's.
func TestRecoveryAuth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		router := newRecovering(wsrouter.Options{})
		s := serveInBubble(t, router.Router, nil)
		auth := func() string {
			var raw json.RawMessage
			require.NoError(t, router.only().Auth(&raw))
			return string(raw)
		}
		ws := s.direct()
		l := join(t, ws, lost{}, `"offset":"5","token":"a"`)
		require.Equal(t, `{"offset":"5","token":"a"}`, auth())
		for _, users := range [][2]string{
			{`"token": {"pid": "x", "offset":[1]} , "n" :1`, `{"token": {"pid": "x", "offset":[1]},"n" :1}`},
			{``, ``},
			{` "pid\u0031":1 `, `{"pid\u0031":1}`},
		} {
			ws.CloseNow()
			synctest.Wait()
			ws = s.direct()
			require.Equal(t, l, join(t, ws, l, users[0]))
			require.Equal(t, users[1], auth())
		}
		ws.CloseNow()
		synctest.Wait()
		ws = s.direct()
		join(t, ws, lost{}, `"pid":7,"offset":"x"`)
		for c := range router.Conns() {
			if !c.Away() {
				var raw json.RawMessage
				require.NoError(t, c.Auth(&raw))
				require.JSONEq(t, `{"pid":7,"offset":"x"}`, string(raw))
			}
		}
	})
}

// TestRecoveryTooFast: a client that comes back before the server has noticed the loss
// gets its connection, and the old transport ends.
func TestRecoveryTooFast(t *testing.T) {
	eachWire(t, func(t *testing.T, open func(s *site) (wire, func())) {
		router := newRecovering(wsrouter.Options{})
		s := serveInBubble(t, router.Router, nil)
		old := s.direct()
		l := join(t, old, lost{}, "")
		require.NoError(t, router.Emit("news", 1))
		require.NoError(t, router.Emit("news", 2))
		l.takes(t, old, `42["news",1]`)
		w, _ := open(s)
		comesBack(t, w, l)
		l.takes(t, w, `42["news",2]`)
		old.read() // under way already
		old.closed()
		require.NoError(t, router.Emit("news", 3))
		l.takes(t, w, `42["news",3]`)
		router.requireTold(t, "+ !")
	})
}

// TestRecoveryGoodbyes: nobody waits for a client that leaves. A client whose transport
// ends may come back, even if it has ended the transport itself because it had heard
// nothing.
func TestRecoveryGoodbyes(t *testing.T) {
	ends := map[string]struct {
		end  func(ws *socket)
		told string
	}{
		"leaves":     {func(ws *socket) { ws.write("41") }, "+ -"},
		"page":       {func(ws *socket) { ws.Close(websocket.StatusGoingAway, "") }, "+ -"},
		"breaks":     {func(ws *socket) { ws.write("4x") }, "+ -"},
		"disconnect": {func(ws *socket) { ws.write("41", "1") }, "+ -"},
		"engine":     {func(ws *socket) { ws.write("1") }, "+ ?"},
		"no status":  {func(ws *socket) { ws.Close(websocket.StatusNoStatusRcvd, "") }, "+ ?"},
		"normal":     {func(ws *socket) { ws.Close(websocket.StatusNormalClosure, "") }, "+ ?"},
		"network":    {func(ws *socket) { ws.CloseNow() }, "+ ?"},
		"silence":    {func(*socket) { time.Sleep(46 * time.Second) }, "+ ?"},
	}
	for name, e := range ends {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				router := newRecovering(wsrouter.Options{})
				s := serveInBubble(t, router.Router, nil)
				ws := s.direct()
				l := join(t, ws, lost{}, "")
				e.end(ws)
				router.requireTold(t, e.told)
				if e.told == "+ ?" {
					comesBack(t, s.direct(), l)
				}
			})
		})
	}
}

// TestRecoveryOfPollers: a client that no longer polls is lost, whether there is
// something to send or not, and one that closes its Engine.IO session may come back.
func TestRecoveryOfPollers(t *testing.T) {
	for name, end := range map[string]func(r *recovering, p *pollWire){
		"silence":  func(*recovering, *pollWire) { time.Sleep(46 * time.Second) },
		"no poll":  func(r *recovering, _ *pollWire) { r.Emit("news", 1); time.Sleep(11 * time.Second) },
		"engine":   func(_ *recovering, p *pollWire) { p.post("1") },
		"too late": func(_ *recovering, p *pollWire) { p.post("1"); time.Sleep(59 * time.Second) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				router := newRecovering(wsrouter.Options{})
				s := serveInBubble(t, router.Router, nil)
				p := &pollWire{poller: s.open()}
				l := join(t, p, lost{}, "")
				end(router, p)
				router.requireTold(t, "+ ?")
				again := s.direct()
				comesBack(t, again, l)
				if name == "no poll" {
					l.takes(t, again, `42["news",1]`)
				}
			})
		})
	}
}
