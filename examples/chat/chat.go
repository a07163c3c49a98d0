package main

import (
	"context"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/wsrouter/wsrouter"
	"github.com/wsrouter/wsrouter/examples/chat/page"
	"github.com/wsrouter/wsrouter/examples/chat/robot"
)

const maxHistory, maxRooms = 50, 100

type message = page.Message

type room struct {
	seq     int64     // of the last message
	history []message // the last maxHistory
	people  map[*wsrouter.Conn]page.Person
}

// chat has one lock, held while somebody joins, leaves or talks, so that a page
// neither misses a message between the history and what comes live, nor gets one
// twice. The lock blocks nobody for long, because Conn.Emit and Target.Emit never
// wait. (Reply may.)
type chat struct {
	router *wsrouter.Router
	mu     sync.Mutex       // guards rooms
	rooms  map[string]*room // by the router's names for them, such as "room:Lobby"
}

var whoIs = wsrouter.NewKey[page.Person]("who")

func newChat() *wsrouter.Router {
	opts := &wsrouter.Options{
		MaxMessage: 32 << 10, MaxRooms: 20, MaxOpen: 20, FrameRate: 20, FrameBurst: 200,
		Recovery: &wsrouter.Recovery{Window: 30 * time.Second}, // a page that comes back sooner has never left
	}
	ch := &chat{router: wsrouter.New(opts), rooms: make(map[string]*room)}
	ch.router.OnConnect(enter)
	ch.router.OnResume(enterAgain)
	ch.router.OnDisconnect(ch.gone)
	ch.on("join", ch.join)
	ch.on("leave", ch.leave)
	ch.on("typing", ch.typing)
	ch.on("say", ch.say)
	ch.router.On("ask", robot.Ask)
	return ch.router
}

// enter is the guard: it refuses clients without a name.
func enter(conn *wsrouter.Conn) error {
	who, err := page.Who(conn)
	whoIs.Set(conn, who)
	return err
}

// enterAgain lets nobody resume under another name; such a client starts anew.
func enterAgain(conn *wsrouter.Conn) error {
	who, err := page.Who(conn)
	if was, _ := whoIs.Get(conn); err == nil && who != was {
		return wsrouter.NewError("You were somebody else.")
	}
	return err
}

// on registers a handler that runs with the lock held. All but join are only for
// people in the room: you cannot talk where you cannot hear.
func (ch *chat) on(event string, h func(c *wsrouter.Context, id string, m message) error) {
	ch.router.On(event, func(c *wsrouter.Context) error {
		var m message
		if err := c.Bind(&m); err != nil {
			return err
		}
		who, _ := whoIs.Get(c.Conn())
		m.Name, m.Tag = who.Name, who.Tag
		id := "room:" + m.Room // so that it cannot be the name of anything else
		ch.mu.Lock()
		defer ch.mu.Unlock()
		if event != "join" && !ch.isIn(c.Conn(), id) {
			return wsrouter.NewError("You are not in this room.")
		}
		return h(c, id, m)
	})
}

func (ch *chat) isIn(conn *wsrouter.Conn, id string) bool {
	r := ch.rooms[id]
	if r == nil {
		return false
	}
	_, in := r.people[conn]
	return in
}

// join tells a page what was said after m.Seq, the last message that it has.
func (ch *chat) join(c *wsrouter.Context, id string, m message) error {
	if err := m.CheckRoom(); err != nil {
		return err
	}
	if len(ch.rooms) >= maxRooms { // rooms that nobody is in give way
		maps.DeleteFunc(ch.rooms, func(_ string, r *room) bool { return len(r.people) == 0 })
	}
	r := ch.rooms[id]
	if r == nil && len(ch.rooms) >= maxRooms || c.Join(id) != nil {
		return wsrouter.NewError("There are too many rooms.")
	}
	if r == nil { // numbers start at the clock, so that Seq increases even if the room is made anew
		r = &room{seq: time.Now().UnixMilli(), people: make(map[*wsrouter.Conn]page.Person)}
		ch.rooms[id] = r
	}
	r.people[c.Conn()] = page.Person{Name: m.Name, Tag: m.Tag}
	ch.tellPeople(id)
	missed := slices.DeleteFunc(slices.Clone(r.history), func(old message) bool { return old.Seq <= m.Seq })
	return c.Conn().Emit("joined", map[string]any{"room": m.Room, "seq": r.seq, "messages": missed})
}

// tellPeople tells a room who is in it. Pages derive from it who came and who left.
func (ch *chat) tellPeople(id string) {
	people := slices.Collect(maps.Values(ch.rooms[id].people))
	ch.router.To(id).Emit("people", page.In(strings.TrimPrefix(id, "room:"), people))
}

func (ch *chat) leave(c *wsrouter.Context, id string, _ message) error {
	c.Leave(id)
	delete(ch.rooms[id].people, c.Conn())
	ch.tellPeople(id)
	return nil
}

// gone runs when a page has gone, for whatever reason.
func (ch *chat) gone(_ context.Context, conn *wsrouter.Conn, _ *wsrouter.CloseError) {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	for _, id := range conn.Rooms() {
		if r := ch.rooms[id]; r != nil { // forgotten if it was left while the page went
			delete(r.people, conn)
			ch.tellPeople(id)
		}
	}
}

func (ch *chat) typing(c *wsrouter.Context, id string, m message) error {
	return c.To(id).Volatile().Emit("typing", message{Room: m.Room, Name: m.Name, Tag: m.Tag})
}

func (ch *chat) say(_ *wsrouter.Context, id string, m message) error {
	if err := m.CheckText(); err != nil {
		return err
	}
	r := ch.rooms[id]
	if m.Key != "" && slices.ContainsFunc(r.history, func(old message) bool { return old.Key == m.Key }) {
		return nil // it was said before, but the connection was lost before the answer
	}
	r.seq++
	m.Seq, m.Time = r.seq, time.Now().UnixMilli()
	r.history = append(r.history[max(0, len(r.history)+1-maxHistory):], m)
	return ch.router.To(id).Emit("said", m)
}
