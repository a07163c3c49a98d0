package socketio_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wsrouter/wsrouter"
	"github.com/wsrouter/wsrouter/socketio"
)

// TestRecoveryOfAnyEvent: volatile events, strings as last argument, bytes, answers,
// and events without arguments have an offset, so that none of them harms the next
// recovery.
func TestRecoveryOfAnyEvent(t *testing.T) {
	eachWire(t, func(t *testing.T, open func(s *site) (wire, func())) {
		router := newRecovering(wsrouter.Options{})
		s := serveInBubble(t, router.Router, nil)
		w, cut := open(s)
		l := join(t, w, lost{}, "")
		c := router.only()
		events := []func() error{
			func() error { return c.Emit("text", "hello", `"]`) },
			func() error { return c.Emit("none") },
			func() error { return c.Emit("id", c.ID()) },
			func() error { return c.Emit("bytes", []byte{1}, "x", []byte{}) },
			func() error { return router.To(c.ID()).Emit("room", "hello") },
		}
		want := []string{
			`42["text","hello","\"]"]`, `42["none"]`, fmt.Sprintf(`42["id",%q]`, c.ID()),
			`452-["bytes",{"_placeholder":true,"num":0},"x",{"_placeholder":true,"num":1}]`, `42["room","hello"]`,
		}
		takeAll := func() {
			t.Helper()
			for i := range want {
				l.takes(t, w, want[i])
				if strings.HasPrefix(want[i], "45") {
					first, second := w.read(), w.read()
					require.Contains(t, []string{"\x00\x01", "bAQ=="}, first)
					require.Contains(t, []string{"\x00", "b"}, second)
				}
			}
		}
		for range 2 {
			for _, emit := range events {
				require.NoError(t, emit())
			}
			takeAll()
			require.NoError(t, router.To(c.ID()).Volatile().Emit("now", "or never"))
			l.takes(t, w, `42["now","or never"]`)
			cut()
			require.NoError(t, router.To(c.ID()).Volatile().Emit("now", "or never"))
			for _, emit := range events {
				require.NoError(t, emit())
			}
			w, cut = open(s)
			comesBack(t, w, l)
			takeAll()
		}
	})
}

// TestRecoveryAcks: packets with an ack id have no offset and are lost with the
// transport. A request from before a loss is still answered after it, and one made
// meanwhile waits for its context. A lost client forgets what it has asked.
func TestRecoveryAcks(t *testing.T) {
	eachWire(t, func(t *testing.T, open func(s *site) (wire, func())) {
		router := newRecovering(wsrouter.Options{})
		reply := make(chan struct{})
		router.On("slow", func(c *wsrouter.Context) error {
			<-reply
			c.Emit("replied")
			return c.Reply("late")
		}, wsrouter.Concurrent)
		router.On("done", func(c *wsrouter.Context) error { return c.Reply(wsrouter.Response{Event: "did", Data: "x"}) })
		s := serveInBubble(t, router.Router, nil)
		w, cut := open(s)
		l := join(t, w, lost{}, "")
		c := router.only()
		w.write(`420["done"]`)
		l.takes(t, w, `42["did","x"]`)
		require.Equal(t, `430[]`, w.read())
		w.write(`421["fail"]`)
		l.takes(t, w, `42["exception",{"status":"error","message":"no"}]`)
		require.Equal(t, `431[{"status":"error","message":"no"}]`, w.read())

		var answer string
		answers := make(chan error, 1)
		go func() { answers <- c.Call(t.Context(), "question", "before", &answer) }()
		require.Equal(t, `421["question","before"]`, w.read())
		w.write(`422["slow"]`)
		synctest.Wait()
		cut()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		require.ErrorIs(t, c.Call(ctx, "question", "away", nil), context.DeadlineExceeded)
		reply <- struct{}{}
		synctest.Wait()
		w, _ = open(s)
		comesBack(t, w, l)
		l.takes(t, w, `42["replied"]`)
		w.write(`431["yes"]`)
		require.NoError(t, <-answers)
		require.Equal(t, "yes", answer)
		w.write(`423["echo","next"]`)
		require.Equal(t, `433["next"]`, w.read())
		w.write("41")
		router.requireEmpty(t)
	})
}

// TestRecoveryOfNamespaces: each namespace of a transport recovers on its own, even if
// the client comes back to them over different transports.
func TestRecoveryOfNamespaces(t *testing.T) {
	eachWire(t, func(t *testing.T, open func(s *site) (wire, func())) {
		router := newRecovering(wsrouter.Options{})
		for _, name := range []string{"/back", "/left", "/new", "/apart", "/never"} {
			router.watch(router.Namespace(name))
		}
		s := serveInBubble(t, router.Router, nil)
		w, cut := open(s)
		at := make(map[string]lost)
		for _, name := range []string{"", "/back,", "/left,", "/new,", "/apart,", "/never,"} {
			at[name] = join(t, w, lost{namespace: name}, "")
		}
		w.write("41/left,")
		synctest.Wait()
		cut()
		require.NoError(t, router.Emit("news", "/"))
		for _, name := range []string{"/back", "/left", "/new", "/apart", "/never"} {
			require.NoError(t, router.Namespace(name).Emit("news", name))
		}
		w, _ = open(s)
		other, _ := open(s)
		for _, name := range []string{"/back,", "", "/apart,"} {
			l, by := at[name], w
			if name == "/apart," {
				by = other
			}
			comesBack(t, by, l)
			l.takes(t, by, fmt.Sprintf(`42%s["news","/%s"]`, name, strings.Trim(name, "/,")))
		}
		isNew(t, w, at["/left,"])
		wrong := at["/new,"]
		wrong.offset = "no"
		isNew(t, w, wrong)
		time.Sleep(2 * time.Minute) // no pongs: those that have resumed are lost and expire as well
		router.requireEmpty(t)
		require.EqualValues(t, 3, router.Stats().Resumed)
	})
}

// TestRecoveryUpgrade: a loss at any step of an upgrade, and afterwards.
func TestRecoveryUpgrade(t *testing.T) {
	steps := []string{"before", "probed", "upgraded", "pinged"}
	for i, step := range steps {
		t.Run(step, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				router := newRecovering(wsrouter.Options{})
				s := serveInBubble(t, router.Router, nil)
				p := &pollWire{poller: s.open()}
				l := join(t, p, lost{}, "")
				require.NoError(t, router.Emit("n", 0))
				l.takes(t, p, `42["n",0]`)
				var ws *socket
				if i > 0 {
					ws = p.probe()
				}
				require.NoError(t, router.Emit("n", 1)) // for a poll that does not come
				synctest.Wait()
				if i > 1 {
					ws.write("5")
					l.takes(t, ws, `42["n",1]`)
				}
				if i > 2 {
					ws.reads("2")
					ws.write("3")
					synctest.Wait()
				}
				require.NoError(t, router.Emit("n", 2))
				if ws != nil {
					ws.CloseNow()
				}
				if i < 2 {
					time.Sleep(11 * time.Second)
				}
				router.requireTold(t, "+ ?")
				require.NoError(t, router.Emit("n", 3))
				again := s.direct()
				comesBack(t, again, l)
				for n := min(i, 2); n < 4; n++ {
					if n > 0 && !(i > 1 && n == 1) {
						l.takes(t, again, fmt.Sprintf(`42["n",%d]`, n))
					}
				}
			})
		})
	}
}

// TestRecoveryOfMany: a broadcast reaches connected clients and those that are away,
// each with its own offsets.
func TestRecoveryOfMany(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		router := newRecovering(wsrouter.Options{})
		s := serveInBubble(t, router.Router, nil)
		const many = 20
		var clients [many]lost
		var sockets [many]*socket
		for i := range clients {
			sockets[i] = s.direct()
			clients[i] = join(t, sockets[i], lost{}, "")
			if i%2 == 0 { // so that numbers differ
				require.NoError(t, router.To(clients[i].sid).Emit("own", i))
				clients[i].takes(t, sockets[i], fmt.Sprintf(`42["own",%d]`, i))
			}
		}
		for n := range 3 {
			for i := range clients {
				if i%3 == n {
					sockets[i].CloseNow()
				}
			}
			synctest.Wait()
			require.Equal(t, (many+2-n)/3, router.Stats().Away)
			require.NoError(t, router.Emit("all", n, []byte{byte(n)}))
			for i := range clients {
				if i%3 == n {
					sockets[i] = s.direct()
					comesBack(t, sockets[i], clients[i])
				}
				clients[i].takes(t, sockets[i], fmt.Sprintf(`451-["all",%d,{"_placeholder":true,"num":0}]`, n))
				sockets[i].reads("\x00" + string(rune(n)))
			}
		}
		seen := make(map[string]bool)
		for i := range clients {
			require.False(t, seen[clients[i].offset])
			seen[clients[i].offset] = true
		}
	})
}

// TestRecoveryOfLongLives: a pong proves what has arrived before its ping, so that a
// client that is sent more than MaxBytes may still resume. Without pongs it may not.
func TestRecoveryOfLongLives(t *testing.T) {
	for _, answers := range []bool{true, false} {
		eachWire(t, func(t *testing.T, open func(s *site) (wire, func())) {
			router := newRecovering(wsrouter.Options{Recovery: &wsrouter.Recovery{Window: time.Minute, MaxBytes: 2000}, PongTimeout: time.Hour})
			s := serveInBubble(t, router.Router, nil)
			w, cut := open(s)
			l := join(t, w, lost{}, "")
			text := strings.Repeat("x", 500)
			for range 10 {
				require.NoError(t, router.Emit("news", text))
				l.takes(t, w, fmt.Sprintf(`42["news",%q]`, text))
				if answers {
					require.Equal(t, "2", w.read())
					w.write("3")
					synctest.Wait()
				}
			}
			cut()
			if !answers {
				router.requireTold(t, "+ -")
				return
			}
			require.NoError(t, router.Emit("news", "last"))
			w, _ = open(s)
			comesBack(t, w, l)
			l.takes(t, w, `42["news","last"]`)
		})
	}
}

// TestRecoveryPongOfAnother: what a pong proves about a connection that the client has
// left says nothing about the one it has joined since.
func TestRecoveryPongOfAnother(t *testing.T) {
	eachWire(t, func(t *testing.T, open func(s *site) (wire, func())) {
		router := newRecovering(wsrouter.Options{})
		s := serveInBubble(t, router.Router, nil)
		w, cut := open(s)
		l := join(t, w, lost{}, "")
		require.NoError(t, router.Emit("old", 1))
		l.takes(t, w, `42["old",1]`)
		require.Equal(t, "2", w.read())
		w.write("41")
		synctest.Wait()
		l = join(t, w, lost{}, "")
		require.NoError(t, router.Emit("new", 1))
		synctest.Wait()
		w.write("3")
		synctest.Wait()
		cut()
		w, _ = open(s)
		comesBack(t, w, l)
		l.takes(t, w, `42["new",1]`)
	})
}

// TestCloseResumeOverSocketIO: the transport ends, so that the client comes back on its
// own with new auth, and nothing is lost, in all its namespaces.
func TestCloseResumeOverSocketIO(t *testing.T) {
	eachWire(t, func(t *testing.T, open func(s *site) (wire, func())) {
		router := newRecovering(wsrouter.Options{})
		router.watch(router.Namespace("/chat"))
		s := serveInBubble(t, router.Router, nil)
		w, _ := open(s)
		l := join(t, w, lost{}, `"token":1`)
		chat := join(t, w, lost{namespace: "/chat,"}, "")
		c := router.only()
		require.NoError(t, c.Emit("last", 1))
		require.NoError(t, c.Close(wsrouter.CloseResume, "token expired"))
		require.True(t, c.Away())
		require.NoError(t, c.Emit("away", 2))
		l.takes(t, w, `42["last",1]`)
		if ws, ok := w.(*socket); ok {
			ws.closed()
		} else {
			synctest.Wait()
			require.Equal(t, "6\x1e1", w.(*pollWire).get())
		}
		router.requireTold(t, "+ chat+ ? chat?", "+ chat+ chat? ?")
		w, _ = open(s)
		require.Equal(t, l, join(t, w, l, `"token":2`))
		l.takes(t, w, `42["away",2]`)
		comesBack(t, w, chat)
		var auth struct{ Token int }
		require.NoError(t, c.Auth(&auth))
		require.Equal(t, 2, auth.Token)
	})
}

// TestRecoveryUndecided: until OnResume has decided nothing is taken from the client.
// If the client has left meanwhile its connection ends, and if it is refused it gets a
// new one.
func TestRecoveryUndecided(t *testing.T) {
	for name, verdict := range map[string]error{"let in": nil, "refused": wsrouter.NewError("no")} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				router := newRecovering(wsrouter.Options{})
				decide := make(chan error)
				chat := router.Namespace("/chat")
				chat.On("echo", func(c *wsrouter.Context) error { return c.Reply(c.Value()) })
				chat.OnResume(func(*wsrouter.Conn) error { return <-decide })
				s := serveInBubble(t, router.Router, nil)
				ws := s.direct()
				l := join(t, ws, lost{namespace: "/chat,"}, "")
				ws.CloseNow()
				synctest.Wait()

				ws = s.direct()
				ws.write(fmt.Sprintf(`40/chat,{"pid":%q}`, l.pid), `42/chat,1["echo","early"]`)
				synctest.Wait()
				decide <- verdict
				got := ws.read()
				require.Equal(t, verdict == nil, strings.Contains(got, l.pid), got)
				ws.write(`42/chat,2["echo","in"]`)
				ws.reads(`43/chat,2["in"]`)
				ws.CloseNow()
				synctest.Wait()

				l.pid = got[strings.Index(got, `"pid":"`)+7:][:20]
				ws = s.direct()
				ws.write(fmt.Sprintf(`40/chat,{"pid":%q}`, l.pid), "41/chat,")
				synctest.Wait()
				decide <- verdict
				ws.read() // the CONNECT
				router.requireEmpty(t)
				ws.write("40/chat,")
				require.Contains(t, ws.read(), `40/chat,{"sid":`)
				ws.write(`42/chat,3["echo","anew"]`)
				ws.reads(`43/chat,3["anew"]`)
			})
		})
	}
}

// TestRecoveryTwiceAtOnce: a client that asks for a connection which it has, or has
// already asked for, gets that, and goes on.
func TestRecoveryTwiceAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		router := newRecovering(wsrouter.Options{})
		s := serveInBubble(t, router.Router, nil)
		ws := s.direct()
		l := join(t, ws, lost{}, "")
		comesBack(t, ws, l)
		ws.write(`421["echo",1]`)
		ws.reads(`431[1]`)
		ws.CloseNow()
		synctest.Wait()
		ws = s.direct()
		packet := fmt.Sprintf(`40{"pid":%q}`, l.pid)
		ws.write(packet, packet)
		welcome := ws.read()
		require.Contains(t, welcome, l.pid)
		ws.write(`422["echo",2]`)
		answer := ws.read()
		if answer == welcome { // to the second one, if the first had been let in before
			answer = ws.read()
		}
		require.Equal(t, `432[2]`, answer)

		other := s.direct() // has one, and asks for another
		mine := join(t, other, lost{}, "")
		got := join(t, other, l, "")
		require.Equal(t, mine.sid, got.sid)
		other.write(`421["echo",3]`)
		other.reads(`431[3]`)
		ws.write("41")
		other.write("41")
		router.requireEmpty(t)
	})
}

// TestOffsetsCost: an event costs one copy per connection.
func TestOffsetsCost(t *testing.T) {
	for _, text := range []string{`2["news",1]`, `2/chat,["news",1]`, `51-["news",{"_placeholder":true,"num":0}]`} {
		require.InDelta(t, 1, testing.AllocsPerRun(100, socketio.Numberer(text)), 0, text)
	}
}
