package main

import (
	"context"
	_ "embed"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/wsrouter/wsrouter"
)

// The page, and the texts of the errors, know the first two as well: characters.
const maxName, maxText, maxHistory, maxRooms = 24, 2000, 50, 100

// message is what a page sends, and what a room gets to hear.
type message struct {
	Room string `json:"room"`
	Name string `json:"name"`
	Text string `json:"text,omitempty"`
	Key  string `json:"key,omitempty"`  // the sender's: the same when it is sent again
	Seq  int64  `json:"seq,omitempty"`  // grows by one in each room
	Time int64  `json:"time,omitempty"` // Unix milliseconds
}

type room struct {
	seq     int64                     // of the last message
	history []message                 // the last maxHistory
	people  map[*wsrouter.Conn]string // their names
}

// chat has one lock, held by whoever joins, leaves or talks, so that a page
// misses no message between the history and what comes live, nor gets one twice.
// It keeps nobody waiting, as Conn.Emit and Target.Emit never do. (Reply may.)
type chat struct {
	router *wsrouter.Router
	mu     sync.Mutex       // guards rooms
	rooms  map[string]*room // by the names that the router has for them, "room:Lobby"
}

var nameOf = wsrouter.NewKey[string]("name")

func newChat() *wsrouter.Router {
	opts := &wsrouter.Options{MaxMessage: 32 << 10, MaxRooms: 20, MaxOpen: 20, FrameRate: 20, FrameBurst: 200}
	ch := &chat{router: wsrouter.New(opts), rooms: make(map[string]*room)}
	ch.router.OnConnect(enter)
	ch.router.OnDisconnect(ch.gone)
	ch.on("join", ch.join)
	ch.on("leave", ch.leave)
	ch.on("typing", ch.typing)
	ch.on("say", ch.say)
	ch.router.On("ask", ask)
	return ch.router
}

// enter is the guard: who has no name is not let in.
func enter(conn *wsrouter.Conn) error {
	var in message
	if err := conn.Auth(&in); err != nil || !fits(in.Name, maxName) {
		return wsrouter.NewError("A name has 1 to 24 characters.")
	}
	nameOf.Set(conn, in.Name)
	return nil
}

// fits wants 1 to n characters, with no blanks around them.
func fits(s string, n int) bool {
	return s != "" && utf8.RuneCountInString(s) <= n && s == strings.TrimSpace(s)
}

// on registers a handler that has the lock. All but join are for those who are in
// the room: nobody talks where he cannot hear.
func (ch *chat) on(event string, h func(c *wsrouter.Context, id string, m message) error) {
	ch.router.On(event, func(c *wsrouter.Context) error {
		var m message
		if err := c.Bind(&m); err != nil {
			return err
		}
		m.Name, _ = nameOf.Get(c.Conn())
		id := "room:" + m.Room // so that it cannot be the name of anything else
		ch.mu.Lock()
		defer ch.mu.Unlock()
		if r := ch.rooms[id]; event != "join" && (r == nil || r.people[c.Conn()] == "") {
			return wsrouter.NewError("You are not in this room.")
		}
		return h(c, id, m)
	})
}

// join tells a page what was said after m.Seq, the last message that it has.
func (ch *chat) join(c *wsrouter.Context, id string, m message) error {
	if !fits(m.Room, maxName) {
		return wsrouter.NewError("A room's name has 1 to 24 characters.")
	}
	if len(ch.rooms) >= maxRooms { // those that nobody is in make place
		maps.DeleteFunc(ch.rooms, func(_ string, r *room) bool { return len(r.people) == 0 })
	}
	r := ch.rooms[id]
	if r == nil && len(ch.rooms) >= maxRooms || c.Join(id) != nil {
		return wsrouter.NewError("There are too many rooms.")
	}
	if r == nil { // it counts from the clock on, so Seq grows even if it is made anew
		r = &room{seq: time.Now().UnixMilli(), people: make(map[*wsrouter.Conn]string)}
		ch.rooms[id] = r
	}
	r.people[c.Conn()] = m.Name
	ch.tellPeople(id)
	missed := slices.DeleteFunc(slices.Clone(r.history), func(old message) bool { return old.Seq <= m.Seq })
	return c.Conn().Emit("joined", map[string]any{"room": m.Room, "seq": r.seq, "messages": missed})
}

// tellPeople tells a room who is there. Pages see by it who came and who left.
func (ch *chat) tellPeople(id string) {
	names := slices.Compact(slices.Sorted(maps.Values(ch.rooms[id].people)))
	ch.router.To(id).Emit("people", map[string]any{"room": strings.TrimPrefix(id, "room:"), "names": names})
}

func (ch *chat) leave(c *wsrouter.Context, id string, _ message) error {
	c.Leave(id)
	delete(ch.rooms[id].people, c.Conn())
	ch.tellPeople(id)
	return nil
}

// gone runs when a page has gone, however it went.
func (ch *chat) gone(_ context.Context, conn *wsrouter.Conn, _ error) {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	for _, id := range conn.Rooms() {
		if r := ch.rooms[id]; r != nil { // forgotten, if it was left while the page went
			delete(r.people, conn)
			ch.tellPeople(id)
		}
	}
}

func (ch *chat) typing(c *wsrouter.Context, id string, m message) error {
	return c.To(id).Volatile().Emit("typing", message{Room: m.Room, Name: m.Name})
}

func (ch *chat) say(_ *wsrouter.Context, id string, m message) error {
	if !fits(m.Text, maxText) || len(m.Key) > 64 {
		return wsrouter.NewError("A message has 1 to 2000 characters, its key at most 64.")
	}
	r := ch.rooms[id]
	if m.Key != "" && slices.ContainsFunc(r.history, func(old message) bool { return old.Key == m.Key }) {
		return nil // it came before, but its connection went before the answer
	}
	r.seq++
	m.Seq, m.Time = r.seq, time.Now().UnixMilli()
	r.history = append(r.history[max(0, len(r.history)+1-maxHistory):], m)
	return ch.router.To(id).Emit("said", m)
}

//go:embed bot.txt
var script string // "word: what the robot says of it", the last line for all else

// ask answers word by word. The stop button cancels the request: then yield
// reports false. Meanwhile other events of the page are handled.
func ask(c *wsrouter.Context) error {
	var question string
	if err := c.Bind(&question); err != nil {
		return err
	}
	return wsrouter.StreamSeq(c, func(yield func(string, error) bool) {
		for word := range strings.FieldsSeq(answer(strings.ToLower(question))) {
			time.Sleep(100 * time.Millisecond)
			if !yield(word, nil) {
				return
			}
		}
	})
}

func answer(question string) (text string) {
	for line := range strings.Lines(script) {
		var about string
		if about, text, _ = strings.Cut(line, ": "); strings.Contains(question, about) {
			break
		}
	}
	return text
}
