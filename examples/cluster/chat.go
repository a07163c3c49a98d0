package main

import (
	"context"
	"encoding/json"
	"log"
	"slices"
	"strings"
	"time"

	"github.com/wsrouter/wsrouter"
	"github.com/wsrouter/wsrouter/broker"
	"github.com/wsrouter/wsrouter/examples/chat/page"
	"github.com/wsrouter/wsrouter/examples/chat/robot"
)

// chat keeps no state of its own: the history has what was said, and all servers
// are asked who is in a room. So any server can be replaced at any time. Messages
// of different servers may overtake each other; pages notice that by the numbers.
type chat struct {
	router  *wsrouter.Router
	history history
	changed chan string // rooms that somebody has entered or left
}

var whoIs = wsrouter.NewKey[page.Person]("who")

func newChat(broker broker.Broker, h history, trace *wsrouter.Trace) *chat {
	opts := &wsrouter.Options{
		Broker: broker, MaxMessage: 32 << 10, MaxRooms: 20, MaxOpen: 20, FrameRate: 20, FrameBurst: 200, Trace: trace,
	}
	ch := &chat{router: wsrouter.New(opts), history: h, changed: make(chan string, 1000)}
	ch.router.OnConnect(enter)
	ch.router.OnDisconnect(ch.gone)
	ch.on("join", ch.join)
	ch.on("leave", ch.leave)
	ch.on("typing", ch.typing)
	ch.on("say", ch.say)
	ch.router.On("ask", robot.Ask)
	return ch
}

// enter is the guard. It lets the other servers know who this is.
func enter(conn *wsrouter.Conn) error {
	who, err := page.Who(conn)
	if err != nil {
		return err
	}
	whoIs.Set(conn, who)
	return conn.SetData(who)
}

// on registers a handler. All but join are only for people in the room.
func (ch *chat) on(event string, h func(c *wsrouter.Context, id string, m page.Message) error) {
	ch.router.On(event, func(c *wsrouter.Context) error {
		var m page.Message
		if err := c.Bind(&m); err != nil {
			return err
		}
		who, _ := whoIs.Get(c.Conn())
		m.Name, m.Tag = who.Name, who.Tag
		id := "room:" + m.Room
		if event != "join" && !slices.Contains(c.Conn().Rooms(), id) {
			return wsrouter.NewError("You are not in this room.")
		}
		return h(c, id, m)
	})
}

// join joins before it reads the history: what is said meanwhile is in one, the
// other, or both.
func (ch *chat) join(c *wsrouter.Context, id string, m page.Message) error {
	if err := m.CheckRoom(); err != nil {
		return err
	}
	if err := c.Join(id); err != nil {
		return wsrouter.NewError("There are too many rooms.").WithCause(err)
	}
	ch.change(id)
	missed, last, err := ch.history.since(c.Context(), m.Room, m.Seq)
	if err != nil {
		return unreachable(err)
	}
	return c.Conn().Emit("joined", map[string]any{"room": m.Room, "seq": last, "messages": missed})
}

func unreachable(err error) error {
	return wsrouter.NewError("The room cannot be reached. Try again.").WithCause(err)
}

func (ch *chat) leave(c *wsrouter.Context, id string, _ page.Message) error {
	c.Leave(id)
	ch.change(id)
	return nil
}

func (ch *chat) gone(_ context.Context, conn *wsrouter.Conn, _ *wsrouter.CloseError) {
	for _, id := range conn.Rooms() {
		ch.change(id)
	}
}

func (ch *chat) typing(c *wsrouter.Context, id string, m page.Message) error {
	return c.To(id).Volatile().Emit("typing", page.Message{Room: m.Room, Name: m.Name, Tag: m.Tag})
}

func (ch *chat) say(c *wsrouter.Context, id string, m page.Message) error {
	if err := m.CheckText(); err != nil {
		return err
	}
	m, fresh, err := ch.history.add(c.Context(), m)
	if err != nil {
		return unreachable(err)
	}
	if !fresh {
		return nil // it was said before, but the connection was lost before the answer
	}
	return ch.router.To(id).Emit("said", m)
}

// change makes tellPeople look at a room soon. It does not wait: a room that is
// skipped now is looked at a little later.
func (ch *chat) change(id string) {
	select {
	case ch.changed <- id:
	default:
	}
}

// tellPeople tells rooms who is in them, until ctx ends. When somebody here comes
// or goes it tells the pages of all servers; every few seconds it tells those of
// this server, because a server that dies says nothing.
func (ch *chat) tellPeople(ctx context.Context) {
	again := time.NewTicker(5 * time.Second)
	defer again.Stop()
	for {
		select {
		case id := <-ch.changed:
			rooms := []string{id}
			for len(ch.changed) > 0 { // all in one request
				rooms = append(rooms, <-ch.changed)
			}
			slices.Sort(rooms)
			ch.tell(ctx, false, slices.Compact(rooms)...)
		case <-again.C:
			ch.tell(ctx, true, ch.rooms()...)
		case <-ctx.Done():
			return
		}
	}
}

// rooms returns the rooms that somebody on this server is in.
func (ch *chat) rooms() (ids []string) {
	for conn := range ch.router.Conns() {
		ids = append(ids, conn.Rooms()...)
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

// tell finds out who is in the rooms, on all servers, and tells everybody in them,
// or only those on this server if local. If some servers do not answer, the answers
// of the others are better than none.
func (ch *chat) tell(ctx context.Context, local bool, rooms ...string) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	members, err := ch.router.To(rooms...).Find(ctx)
	if err != nil {
		log.Print(err)
	}
	people := make(map[string][]page.Person)
	for _, m := range members {
		var who page.Person
		json.Unmarshal(m.Data, &who)
		for _, id := range m.Rooms {
			people[id] = append(people[id], who)
		}
	}
	for _, id := range rooms {
		room := ch.router.To(id)
		if local {
			room = room.Local()
		}
		room.Emit("people", page.In(strings.TrimPrefix(id, "room:"), people[id]))
	}
}
