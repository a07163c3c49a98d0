package soak

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/wsrouter/wsrouter"
)

// state is what a server knows about a connection. It has no lock: its events are
// handled one at a time, which the race detector verifies.
type state struct {
	notes sequence
}

var stateKey = wsrouter.NewKey[*state]("state")

// item is an item of a stream. The client's token says of which, because items over
// Socket.IO are just events.
type item struct {
	Token, N int
}

// count asks for a stream of n items; negative means without end.
type count struct {
	Token, N int
}

// news is sent to everybody, and to rooms, with numbers that show what is lost, doubled
// or out of order.
type news struct {
	From string // the room; empty means everybody
	N    int
	Blob []byte `json:",omitempty"`
}

// register registers the handlers in a namespace.
func (srv *server) register(r *wsrouter.Router) {
	if r == srv.router {
		r.Use(srv.counting)
	}
	r.OnConnect(func(c *wsrouter.Conn) error {
		stateKey.Set(c, &state{notes: sequence{known: true}})
		return c.Join("everyone")
	})
	r.On("echo", func(c *wsrouter.Context) error { return c.Reply(c.Value()) })
	r.On("note", srv.note)
	r.On("burst", burst)
	r.On("count", stream)
	r.On("ask", srv.ask)
	r.On("join", func(c *wsrouter.Context) error {
		return withList(c, func(rooms []string) error { return c.Join(rooms...) })
	})
	r.On("leave", func(c *wsrouter.Context) error {
		return withList(c, func(rooms []string) error { c.Leave(rooms...); return nil })
	})
	r.On("say", func(c *wsrouter.Context) error {
		return withList(c, func(rooms []string) error { return c.To(rooms...).Emit("said", c.Conn().ID()) })
	})
	r.On("avoid", func(c *wsrouter.Context) error {
		return withList(c, func(rooms []string) error { return c.Others().Except(rooms...).Emit("said", c.Conn().ID()) })
	})
	r.On("fail", func(*wsrouter.Context) error { return wsrouter.NewError("not today") })
	r.On("break", func(*wsrouter.Context) error { return errors.New("for the log only") })
	r.On("panic", func(*wsrouter.Context) error { srv.panics.Add(1); panic("for the log only") })
	r.On("slow", slow, wsrouter.Concurrent)
	r.On("data", func(c *wsrouter.Context) error { return c.Conn().SetData(c.Raw()) })
	r.On("big", func(c *wsrouter.Context) error { return c.Reply(strings.Repeat("x", 50_000)) })
	r.On("linger", srv.linger)
	r.On("bye", func(c *wsrouter.Context) error { return c.Conn().Close(wsrouter.CloseNormal, "asked for") })
}

// counting surrounds all handlers.
func (srv *server) counting(next wsrouter.HandlerFunc) wsrouter.HandlerFunc {
	return func(c *wsrouter.Context) error {
		srv.begun.Add(1)
		defer srv.ended.Add(1)
		return next(c)
	}
}

// note is numbered by the client, from 1.
func (srv *server) note(c *wsrouter.Context) error {
	var n int
	if err := c.Bind(&n); err != nil {
		return err
	}
	s, _ := stateKey.Get(c.Conn())
	if err := s.notes.next(n); err != nil {
		srv.fault("notes of a client: %v", err)
	}
	return nil
}

// burst emits numbers up to the client's before it replies.
func burst(c *wsrouter.Context) error {
	var n int
	if err := c.Bind(&n); err != nil {
		return err
	}
	for i := range min(n, 100) {
		if err := c.Emit("tick", i+1); err != nil {
			return err
		}
	}
	return c.Reply(n)
}

// linger continues in its own goroutine, beyond the end of its connection.
func (srv *server) linger(c *wsrouter.Context) error {
	conn := c.Conn()
	go func() {
		<-conn.Context().Done()
		for range 20 {
			if err := conn.Join("topic"); err != nil {
				srv.check(err)
				return
			}
			conn.Leave("topic")
			time.Sleep(50 * time.Microsecond)
		}
	}()
	return nil
}

// stream answers with a stream from a sequence or a channel.
func stream(c *wsrouter.Context) error {
	var q count
	if err := c.Bind(&q); err != nil {
		return err
	}
	if q.Token%2 == 0 {
		return wsrouter.StreamSeq(c, func(yield func(item, error) bool) {
			for i := 0; i != q.N && q.pause(c, i) && yield(item{q.Token, i}, nil); i++ {
			}
		})
	}
	items := make(chan item)
	go func() {
		defer close(items)
		for i := 0; i != q.N && q.pause(c, i); i++ {
			select {
			case items <- item{q.Token, i}:
			case <-c.Context().Done():
				return
			}
		}
	}()
	return wsrouter.Stream(c, items)
}

// pause keeps streams from using the whole machine. It returns false at the stream's
// end.
func (q count) pause(c *wsrouter.Context, i int) bool {
	if i%10 != 9 {
		return true
	}
	select {
	case <-time.After(pace / 4):
		return true
	case <-c.Context().Done():
		return false
	}
}

// ask asks the client before it answers.
func (srv *server) ask(c *wsrouter.Context) error {
	var n, doubled int
	if err := c.Bind(&n); err != nil {
		return err
	}
	if err := c.Conn().Call(c.Context(), "double", n, &doubled); err != nil {
		return fmt.Errorf("double: %w", err)
	}
	if doubled != 2*n {
		srv.fault("a client doubled %d to %d", n, doubled)
	}
	srv.soak.deeds.add(asked)
	return c.Reply(doubled)
}

func slow(c *wsrouter.Context) error {
	select {
	case <-time.After(3 * time.Millisecond):
	case <-c.Context().Done():
	}
	return c.Reply(c.Value())
}

func withList(c *wsrouter.Context, do func([]string) error) error {
	var list []string
	if err := c.Bind(&list); err != nil {
		return err
	}
	return do(list)
}
