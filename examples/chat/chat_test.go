package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wsrouter/wsrouter"
	"github.com/wsrouter/wsrouter/examples/chat/page"
	"github.com/wsrouter/wsrouter/wsroutertest"
)

func TestMain(m *testing.M) {
	slog.SetDefault(slog.New(slog.DiscardHandler))
	os.Exit(m.Run())
}

// person is a client that has entered a name.
type person struct {
	*wsroutertest.Client
	t    *testing.T
	name string
}

// people and joined are two events that pages receive. These people have no tags.
type people struct {
	Room  string
	Names []string
}

func (p people) MarshalJSON() ([]byte, error) {
	in := page.People{Room: p.Room}
	for _, name := range p.Names {
		in.People = append(in.People, page.Person{Name: name})
	}
	return json.Marshal(in)
}

type joined struct {
	Room     string    `json:"room"`
	Seq      int64     `json:"seq"`
	Messages []message `json:"messages"`
}

// texts returns what was said, in order.
func (j joined) texts() (texts []string) {
	for _, m := range j.Messages {
		texts = append(texts, m.Text)
	}
	return texts
}

func open(t *testing.T, router *wsrouter.Router, name string) *person {
	t.Helper()
	return openTagged(t, router, name, "")
}

func openTagged(t *testing.T, router *wsrouter.Router, name, tag string) *person {
	t.Helper()
	client := wsroutertest.Connect(t, router, &wsrouter.DialOptions{
		Auth: func(context.Context) (any, error) { return page.Person{Name: name, Tag: tag}, nil },
	})
	return &person{client, t, name}
}

func (p *person) call(event string, in any) error {
	p.t.Helper()
	return p.Call(p.t.Context(), event, in, nil)
}

// join joins a room, and takes the two events that follow.
func (p *person) join(room string, last int64, names ...string) joined {
	p.t.Helper()
	require.NoError(p.t, p.call("join", message{Room: room, Seq: last}))
	p.Expect("people", people{room, names})
	return next[joined](p, "joined")
}

func (p *person) say(room, text string) {
	p.t.Helper()
	require.NoError(p.t, p.call("say", message{Room: room, Text: text}))
}

// next takes the next event, which has that name.
func next[T any](p *person, name string) (v T) {
	p.t.Helper()
	require.Equal(p.t, name, p.Next(&v))
	return v
}

// refused requires the call to fail with a text meant for people.
func (p *person) refused(text, event string, in any) {
	p.t.Helper()
	var ws *wsrouter.WsError
	require.ErrorAs(p.t, p.call(event, in), &ws)
	require.Equal(p.t, text, ws.Message)
}

func inBubble(t *testing.T, fn func(t *testing.T, router *wsrouter.Router)) {
	synctest.Test(t, func(t *testing.T) { fn(t, newChat()) })
}

func TestTalk(t *testing.T) {
	inBubble(t, func(t *testing.T, router *wsrouter.Router) {
		ada, bob := open(t, router, "Ada"), open(t, router, "Bob")
		first := ada.join("Lobby", 0, "Ada")
		require.Empty(t, first.Messages)
		bob.join("Lobby", 0, "Ada", "Bob")
		ada.Expect("people", people{"Lobby", []string{"Ada", "Bob"}})

		ada.say("Lobby", "hi")
		bob.say("Lobby", "<b>hello</b>\nAda")
		for _, p := range []*person{ada, bob} {
			hi, hello := next[message](p, "said"), next[message](p, "said")
			require.Equal(t, []any{"Ada", "hi", first.Seq + 1}, []any{hi.Name, hi.Text, hi.Seq})
			require.Equal(t, []any{"Bob", "<b>hello</b>\nAda", first.Seq + 2}, []any{hello.Name, hello.Text, hello.Seq})
			require.Equal(t, time.Now().UnixMilli(), hi.Time)
			p.ExpectNothing()
		}
	})
}

func TestHistory(t *testing.T) {
	inBubble(t, func(t *testing.T, router *wsrouter.Router) {
		ada := open(t, router, "Ada")
		begin := ada.join("Lobby", 0, "Ada").Seq
		for i := range maxHistory + 10 {
			ada.say("Lobby", fmt.Sprint(i))
			next[message](ada, "said")
		}
		got := open(t, router, "Bob").join("Lobby", 0, "Ada", "Bob")
		require.Len(t, got.Messages, maxHistory)
		require.Equal(t, "10", got.Messages[0].Text)
		for i, m := range got.Messages {
			require.Equal(t, begin+11+int64(i), m.Seq)
		}
		require.Equal(t, got.Messages[maxHistory-1].Seq, got.Seq)
	})
}

// TestReconnect checks that somebody who comes back gets what they missed, and
// nothing else.
func TestReconnect(t *testing.T) {
	inBubble(t, func(t *testing.T, router *wsrouter.Router) {
		ada, bob := open(t, router, "Ada"), open(t, router, "Bob")
		ada.join("Lobby", 0, "Ada")
		bob.join("Lobby", 0, "Ada", "Bob")
		ada.say("Lobby", "one")
		last := next[message](bob, "said").Seq
		require.NoError(t, bob.Close())
		ada.say("Lobby", "two")
		ada.say("Lobby", "three")

		bob = open(t, router, "Bob")
		require.Equal(t, []string{"two", "three"}, bob.join("Lobby", last, "Ada", "Bob").texts())
		again := bob.join("Lobby", last+2, "Ada", "Bob")
		require.Empty(t, again.Messages, "joining again is asking again")
		ada.say("Lobby", "four")
		require.Equal(t, again.Seq+1, next[message](bob, "said").Seq)
		bob.ExpectNothing()
	})
}

// TestRestart checks that a room which starts anew has higher numbers than before.
func TestRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ada := open(t, newChat(), "Ada")
		ada.join("Lobby", 0, "Ada")
		ada.say("Lobby", "before")
		last := next[message](ada, "said").Seq
		time.Sleep(time.Second)

		router := newChat()
		ada, bob := open(t, router, "Ada"), open(t, router, "Bob")
		bob.join("Lobby", 0, "Bob")
		bob.say("Lobby", "after")
		require.Equal(t, []string{"after"}, ada.join("Lobby", last, "Ada", "Bob").texts())
	})
}

// TestSaidAgain checks a page that lost its connection before the answer came, and
// says the same again with the same key.
func TestSaidAgain(t *testing.T) {
	inBubble(t, func(t *testing.T, router *wsrouter.Router) {
		ada := open(t, router, "Ada")
		ada.join("Lobby", 0, "Ada")
		for range 3 {
			require.NoError(t, ada.call("say", message{Room: "Lobby", Text: "once", Key: "k"}))
		}
		require.Equal(t, "k", next[message](ada, "said").Key)
		ada.ExpectNothing()
	})
}

func TestTyping(t *testing.T) {
	inBubble(t, func(t *testing.T, router *wsrouter.Router) {
		ada, bob, eve := open(t, router, "Ada"), open(t, router, "Bob"), open(t, router, "Eve")
		ada.join("Lobby", 0, "Ada")
		bob.join("Lobby", 0, "Ada", "Bob")
		eve.join("Kitchen", 0, "Eve")
		ada.Expect("people", people{"Lobby", []string{"Ada", "Bob"}})
		require.NoError(t, ada.Emit("typing", message{Room: "Lobby", Name: "Eve", Text: "?"}))
		bob.Expect("typing", message{Room: "Lobby", Name: "Ada"})
		for _, p := range []*person{ada, bob, eve} {
			p.ExpectNothing()
		}
	})
}

// TestTwoOfOneName checks that tags tell two people apart, and that two tabs of one
// person count once.
func TestTwoOfOneName(t *testing.T) {
	inBubble(t, func(t *testing.T, router *wsrouter.Router) {
		ada, bob := open(t, router, "Ada"), openTagged(t, router, "Bob", "1b")
		ada.join("Lobby", 0, "Ada")
		require.NoError(t, bob.call("join", message{Room: "Lobby", Tag: "mine?"}))
		for _, tag := range []string{"1b", "a2"} {
			twin := openTagged(t, router, "Bob", tag)
			require.NoError(t, twin.call("join", message{Room: "Lobby"}))
			require.NoError(t, twin.call("typing", message{Room: "Lobby", Tag: "1b"}))
			require.NoError(t, twin.call("say", message{Room: "Lobby", Text: "hi", Tag: "1b"}))
		}
		one, other := page.Person{Name: "Bob", Tag: "1b"}, page.Person{Name: "Bob", Tag: "a2"}
		just := page.People{Room: "Lobby", People: []page.Person{{Name: "Ada"}, one}}
		both := page.People{Room: "Lobby", People: []page.Person{{Name: "Ada"}, one, other}}
		ada.Expect("people", just)
		for _, twin := range []struct {
			page.Person
			sees page.People
		}{{one, just}, {other, both}} {
			ada.Expect("people", twin.sees)
			ada.Expect("typing", message{Room: "Lobby", Name: "Bob", Tag: twin.Tag})
			said := next[message](ada, "said")
			require.Equal(t, twin.Person, page.Person{Name: said.Name, Tag: said.Tag})
		}
	})
}

// TestLeave checks that a room learns of everybody who leaves it, on purpose or
// not.
func TestLeave(t *testing.T) {
	inBubble(t, func(t *testing.T, router *wsrouter.Router) {
		ada, bob, twin := open(t, router, "Ada"), open(t, router, "Bob"), open(t, router, "Bob")
		ada.join("Lobby", 0, "Ada")
		bob.join("Lobby", 0, "Ada", "Bob")
		ada.Expect("people", people{"Lobby", []string{"Ada", "Bob"}})
		twin.join("Lobby", 0, "Ada", "Bob")
		ada.Expect("people", people{"Lobby", []string{"Ada", "Bob"}})

		require.NoError(t, twin.call("leave", message{Room: "Lobby"}))
		ada.Expect("people", people{"Lobby", []string{"Ada", "Bob"}})
		require.NoError(t, bob.Close())
		ada.Expect("people", people{"Lobby", []string{"Ada"}})
		ada.say("Lobby", "gone?")
		twin.ExpectNothing()
		twin.refused("You are not in this room.", "say", message{Room: "Lobby", Text: "still here"})
	})
}

// TestLeaveWhileGoing checks a page that leaves a room and closes right after that,
// so that its leave is handled when the router has already taken it out of its
// rooms.
func TestLeaveWhileGoing(t *testing.T) {
	inBubble(t, func(t *testing.T, router *wsrouter.Router) {
		ada, bob := open(t, router, "Ada"), open(t, router, "Bob")
		ada.join("Lobby", 0, "Ada")
		bob.join("Lobby", 0, "Ada", "Bob")
		ada.Expect("people", people{"Lobby", []string{"Ada", "Bob"}})
		require.NoError(t, bob.Emit("leave", message{Room: "Lobby"}))
		require.NoError(t, bob.Close())
		ada.Expect("people", people{"Lobby", []string{"Ada"}})
		synctest.Wait()
		require.Zero(t, router.Stats().Panics)
	})
}

func TestBot(t *testing.T) {
	inBubble(t, func(t *testing.T, router *wsrouter.Router) {
		ada := open(t, router, "Ada")
		for _, test := range []struct{ question, begins string }{
			{"How do I STOP you?", "Press the stop button"},
			{"Tell me a joke", "Two WebSockets meet."},
			{"42", "I understand a few words only."},
		} {
			var words []string
			begin := time.Now()
			for word, err := range wsrouter.Pull[string](t.Context(), ada.Client, "ask", test.question) {
				require.NoError(t, err)
				words = append(words, word)
			}
			require.Contains(t, strings.Join(words, " "), test.begins)
			require.Equal(t, time.Duration(len(words))*100*time.Millisecond, time.Since(begin))
		}
		require.Error(t, ada.call("ask", []int{1}))
	})
}

// TestBotStops checks that one of several answers can be stopped while the others
// and the chat continue.
func TestBotStops(t *testing.T) {
	inBubble(t, func(t *testing.T, router *wsrouter.Router) {
		ada := open(t, router, "Ada")
		var wg sync.WaitGroup
		counts := make([]int, 3)
		for i := range counts {
			wg.Go(func() {
				for _, err := range wsrouter.Pull[string](t.Context(), ada.Client, "ask", "joke") {
					if counts[i]++; err != nil || i == 1 && counts[i] == 3 {
						break
					}
				}
			})
		}
		time.Sleep(time.Second)
		require.Equal(t, 2, router.Stats().Streams)
		ada.join("Lobby", 0, "Ada")
		wg.Wait()
		require.Equal(t, 3, counts[1])
		require.Equal(t, counts[0], counts[2])
		require.Greater(t, counts[0], 15)
		synctest.Wait()
		require.Zero(t, router.Stats().Streams)
	})
}

func TestGuard(t *testing.T) {
	inBubble(t, func(t *testing.T, router *wsrouter.Router) {
		long := strings.Repeat("é", page.MaxName)
		open(t, router, long).join("Lobby", 0, long)
		for _, name := range []string{"", " ", "Ada ", "\nAda", long + "x"} {
			ce := open(t, router, name).ExpectClose(wsrouter.ClosePolicy)
			require.Equal(t, "A name has 1 to 24 characters.", ce.Reason)
		}
		for _, tag := range []string{"123456789", "A", "é", " ", "a b"} {
			ce := openTagged(t, router, "Ada", tag).ExpectClose(wsrouter.ClosePolicy)
			require.Equal(t, "A tag has at most 8 letters and digits.", ce.Reason)
		}
	})
}

func TestLimits(t *testing.T) {
	inBubble(t, func(t *testing.T, router *wsrouter.Router) {
		ada := open(t, router, "Ada")
		ada.join("Lobby", 0, "Ada")
		ada.say("Lobby", strings.Repeat("🙂", page.MaxText))
		next[message](ada, "said")
		for _, text := range []string{"", " \n ", strings.Repeat("x", page.MaxText+1)} {
			ada.refused("A message has 1 to 2000 characters, its key at most 64.", "say", message{Room: "Lobby", Text: text})
		}
		ada.refused("A message has 1 to 2000 characters, its key at most 64.", "say",
			message{Room: "Lobby", Text: "x", Key: strings.Repeat("k", 65)})
		for _, room := range []string{"", " ", "a ", strings.Repeat("x", page.MaxName+1)} {
			ada.refused("A room's name has 1 to 24 characters.", "join", message{Room: room})
		}
		for _, event := range []string{"say", "typing", "leave"} {
			ada.refused("You are not in this room.", event, message{Room: "Kitchen", Text: "x"})
		}
		ada.refused("room: expected a string, got a number", "say", map[string]int{"room": 1})
		ada.ExpectNothing()
	})
}

// TestRooms checks that the number of rooms is limited, and that a room nobody is
// in gives way to a new one.
func TestRooms(t *testing.T) {
	inBubble(t, func(t *testing.T, router *wsrouter.Router) {
		var ada *person
		for i := range maxRooms {
			if i%20 == 0 { // a page can be in 20 rooms
				ada = open(t, router, "Ada")
			}
			ada.join(fmt.Sprint(i), 0, "Ada")
		}
		ada.refused("There are too many rooms.", "join", message{Room: "one more"})
		bob := open(t, router, "Bob")
		bob.refused("There are too many rooms.", "join", message{Room: "one more"})
		require.NoError(t, ada.Close())
		synctest.Wait() // until the server has noticed
		bob.join("one more", 0, "Bob")
		bob.join("0", 0, "Ada", "Bob")
	})
}

// TestRace checks that if others join while two people talk, each gets every
// message once and in order: earlier ones in the history, later ones live.
func TestRace(t *testing.T) {
	inBubble(t, func(t *testing.T, router *wsrouter.Router) {
		const each = 20
		ada, bob := open(t, router, "Ada"), open(t, router, "Bob")
		pages := []*person{ada, bob}
		for i := range 20 {
			pages = append(pages, open(t, router, fmt.Sprint("Listener ", i)))
		}
		var wg sync.WaitGroup
		for _, p := range pages {
			wg.Go(func() {
				calls := p.call("join", message{Room: "Lobby"})
				for i := 0; i < each && (p == ada || p == bob); i++ {
					calls = errors.Join(calls, p.call("say", message{Room: "Lobby", Text: fmt.Sprint(i)}))
				}
				if calls != nil {
					t.Error(calls)
				}
			})
		}
		wg.Wait()
		ada.say("Lobby", "end")
		for _, p := range pages {
			requireInOrder(t, p, 2*each+1)
		}
	})
}

// requireInOrder requires n messages, the last of which is "end".
func requireInOrder(t *testing.T, p *person, n int) {
	t.Helper()
	var all []message
	for len(all) == 0 || all[len(all)-1].Text != "end" {
		var e struct {
			message
			Messages []message `json:"messages"`
		}
		switch p.Next(&e) {
		case "joined":
			require.Empty(t, all)
			all = e.Messages
		case "said":
			all = append(all, e.message)
		}
	}
	require.Len(t, all, n)
	for i, m := range all {
		require.Equal(t, all[0].Seq+int64(i), m.Seq)
	}
}

// TestShutdown checks that a robot is interrupted, and that everybody is told to
// come back later.
func TestShutdown(t *testing.T) {
	inBubble(t, func(t *testing.T, router *wsrouter.Router) {
		ada := open(t, router, "Ada")
		ada.join("Lobby", 0, "Ada")
		answered := make(chan error)
		go func() {
			var err error
			for _, err = range wsrouter.Pull[string](t.Context(), ada.Client, "ask", "joke") {
			}
			answered <- err
		}()
		time.Sleep(time.Second)
		require.NoError(t, router.Shutdown(t.Context()))
		var ws *wsrouter.WsError
		require.ErrorAs(t, <-answered, &ws)
		require.Equal(t, wsrouter.CodeShutdown, ws.Code)
		ada.ExpectClose(wsrouter.CloseGoingAway)
	})
}
