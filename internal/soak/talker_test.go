package soak

import (
	"encoding/json"
	"fmt"
	"sync"
	"time"
)

// message is what goes over a wire, in the form of the plain protocol.
type message struct {
	Event  string          `json:"event,omitempty"`
	Data   json.RawMessage `json:"data,omitempty"`
	ID     int             `json:"id,omitempty"` // of the sender's request
	Re     int             `json:"re,omitempty"` // the receiver's request that is being answered
	More   bool            `json:"more,omitempty"`
	Cancel bool            `json:"cancel,omitempty"`
}

// wire is a connection in the hands of a client.
type wire interface {
	send(m message) error
	receive() (message, error)
	cancels() bool                 // reports whether a request can be canceled
	goodbye()                      // the server answers it
	cut()                          // without a goodbye
	isEnd(code int, e error) error // what is wrong if e is the end of the connection, by the server with that code or, if zero, by goodbye
}

// talker is a well-behaved client. It asks, listens, and checks that the server keeps
// its promises.
type talker struct {
	*member
	srv  *server
	wire wire
	dead chan struct{} // closed when nothing more can be read

	note    int  // sent last
	flooded bool // a stream that cannot be canceled goes on
	lastID  int  // of questions

	mu      sync.Mutex // guards everything below
	open    map[int]*question
	inOrder []int // those of open whose answers come in the order of the questions
	ticks   int
	news    map[string]*sequence // by room, for those that are watched
	left    map[string]int       // how often each room has been left
	leaving bool                 // the end, when it comes, is our doing
	changed chan struct{}        // closed when a question is answered
}

// question is a request that has not been answered.
type question struct {
	event   string
	want    string // the answer's data
	fails   bool   // with an exception
	room    string // that it joins
	left    int    // how often that had been left
	ordered bool
	items   sequence
	count   int  // of items; negative means without end
	cancel  bool // has been sent
}

// talk uses one connection.
func (m *member) talk(srv *server, w wire) {
	t := &talker{
		member: m, srv: srv, wire: w, dead: make(chan struct{}), open: make(map[int]*question),
		news: map[string]*sequence{"": {}}, left: make(map[string]int), changed: make(chan struct{}),
	}
	go t.listen()
	life := time.Now().Add(t.between(100*time.Millisecond, 3*time.Second))
	for !t.isDead() && t.ctx.Err() == nil && time.Now().Before(life) {
		srv.turn(t.name+": a turn", func() {
			t.turn()
			t.await("answers", func(q *question) bool { return q.count >= 0 || q.cancel })
		})
		t.dawdle(0, 40*time.Millisecond)
	}
	t.part()
}

func (t *talker) isDead() bool {
	select {
	case <-t.dead:
		return true
	default:
		return false
	}
}

// turn does a few things at once.
func (t *talker) turn() {
	for range 1 + t.IntN(6) {
		switch n := t.IntN(1000); t.IntN(16) {
		case 0, 1, 2, 3:
			t.ask(&question{event: "echo", want: fmt.Sprint(n), ordered: true}, n)
		case 4, 5:
			t.note++
			t.put(message{Event: "note", Data: encode(t.note)})
		case 6:
			t.ask(&question{event: "burst", want: fmt.Sprint(n % 100), ordered: true}, n%100)
		case 7:
			t.ask(&question{event: "count", count: n % 40}, nil)
		case 8:
			t.endless()
		case 9:
			t.ask(&question{event: "ask", want: fmt.Sprint(2 * n), ordered: true}, n)
		case 10:
			room := rooms[n%len(rooms)]
			t.ask(&question{event: "join", room: room, ordered: true}, []string{room, "friends"})
		case 11:
			t.leave(rooms[n%len(rooms)])
		case 12:
			t.ask(&question{event: []string{"say", "avoid"}[n%2], ordered: true}, []string{rooms[n%len(rooms)], "topic"})
		case 13:
			t.ask(&question{event: []string{"fail", "break", "panic", "nobody's"}[n%4], fails: true, ordered: true}, n)
		case 14:
			t.ask(&question{event: "slow", want: fmt.Sprint(n)}, n)
		case 15:
			t.ask(&question{event: "data", ordered: true}, map[string]int{"n": n})
		}
	}
}

func encode(v any) json.RawMessage {
	data, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return data
}

// put sends. If that fails the listener notices.
func (t *talker) put(m message) { t.srv.watch(t.name+": send", func() { t.wire.send(m) }) }

// ask sends a request. It makes the data of a stream's request.
func (t *talker) ask(q *question, data any) {
	t.lastID++
	id := t.lastID
	t.mu.Lock()
	q.items = sequence{last: -1, known: true}
	q.left = t.left[q.room]
	t.open[id] = q
	if q.ordered {
		t.inOrder = append(t.inOrder, id)
	}
	t.mu.Unlock()
	if q.event == "count" {
		data = count{id, q.count}
	}
	t.put(message{Event: q.event, Data: encode(data), ID: id})
}

// leave leaves a room, whose news no longer count.
func (t *talker) leave(room string) {
	t.mu.Lock()
	delete(t.news, room)
	t.left[room]++
	t.mu.Unlock()
	t.ask(&question{event: "leave", ordered: true}, []string{room})
}

// endless asks for a stream without end, and cancels it. If that is impossible there is
// one such stream until the end of the connection.
func (t *talker) endless() {
	q := &question{event: "count", count: -1}
	if t.wire.cancels() {
		t.ask(q, nil)
		t.dawdle(0, 20*time.Millisecond)
		t.mu.Lock()
		q.cancel = true
		t.mu.Unlock()
		t.put(message{ID: t.lastID, Cancel: true})
	} else if !t.flooded {
		t.flooded = true
		t.ask(q, nil)
	}
}

// await waits until all questions of a kind have been answered, or the server has gone.
func (t *talker) await(what string, counts func(*question) bool) {
	t.srv.watch(t.name+": "+what, func() {
		for {
			t.mu.Lock()
			waits := false
			for _, q := range t.open {
				waits = waits || counts(q)
			}
			changed := t.changed
			t.mu.Unlock()
			if !waits {
				return
			}
			select {
			case <-changed:
			case <-t.dead:
				return
			}
		}
	})
}

// part ends the connection, usually with a goodbye.
func (t *talker) part() {
	t.mu.Lock()
	t.leaving = true
	t.mu.Unlock()
	polite := t.IntN(4) > 0
	t.srv.watch(t.name+": goodbye", func() {
		if polite {
			t.wire.goodbye()
		} else {
			t.wire.cut()
		}
		<-t.dead
	})
	t.wire.cut()
}
