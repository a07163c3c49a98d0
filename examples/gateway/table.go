package main

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"time"

	"github.com/wsrouter/wsrouter"
	"github.com/wsrouter/wsrouter/payload"
)

var (
	errEmpty  = wsrouter.NewError("数据不能为空！")
	errNotNow = wsrouter.NewError("not today").WithCode("E_FAIL").WithData(map[string]bool{"retry": true})
)

// newRouter returns the gateways.
func newRouter(opts *wsrouter.Options) *wsrouter.Router {
	router := wsrouter.New(opts)
	register(router)
	register(router.Namespace("/events"))
	return router
}

// register registers the whole table in a namespace.
func register(router *wsrouter.Router) {
	router.OnConnect(letIn)
	router.OnResume(letIn) // clients that resume are checked again

	registerReplies(router)
	registerStreams(router)
	registerFailures(router)
	registerRooms(router)
	router.On("close", func(c *wsrouter.Context) error { return c.Conn().Close(4001, "bye") })
}

func letIn(c *wsrouter.Conn) error {
	if c.Request().URL.Query().Get("refuse") == "1" {
		return wsrouter.NewError("refused") // closes with 1008
	}
	return nil
}

func registerReplies(router *wsrouter.Router) {
	router.On("events", func(c *wsrouter.Context) error {
		if data := string(c.Raw()); data == "" || data == "null" || data == `""` {
			return errEmpty
		}
		return c.Reply(c.Value())
	})
	router.On("id", func(c *wsrouter.Context) error {
		var id payload.Value
		if err := c.Field("id", &id); err != nil {
			return err
		}
		return c.Reply(id)
	})
	router.On("custom", func(c *wsrouter.Context) error {
		if err := c.Emit("custom", "Hey there!"); err != nil {
			return err
		}
		return c.Reply(c.Value())
	})
	router.On("response", func(c *wsrouter.Context) error {
		return c.Reply(wsrouter.Response{Event: "events", Data: c.Value()})
	})
	router.On("whoami", func(c *wsrouter.Context) error { return c.Reply(c.Conn().ID()) })
	router.On("stats", func(c *wsrouter.Context) error {
		stats := c.Conn().Router().Stats()
		return c.Reply(map[string]int{
			"connections": stats.Connections,
			"goroutines":  runtime.NumGoroutine(),
			"streams":     stats.Streams,
		})
	})

	router.On("slow", slow)
	router.On("ask", func(c *wsrouter.Context) error {
		var answer payload.Value
		if err := c.Conn().Call(c.Context(), "question", c.Value(), &answer); err != nil {
			return err
		}
		return c.Reply(answer)
	})
}

func registerStreams(router *wsrouter.Router) {
	router.On("numbers", func(c *wsrouter.Context) error {
		return wsrouter.StreamSeq(c, func(yield func(wsrouter.Response, error) bool) {
			for i := 1; i <= 3 && yield(wsrouter.Response{Event: "events", Data: i}, nil); i++ {
			}
		})
	})
	router.On("count", count)
}

func registerFailures(router *wsrouter.Router) {
	router.On("fail", func(*wsrouter.Context) error { return errNotNow })
	router.On("boom", func(*wsrouter.Context) error { return errors.New("secret") })
	router.On("panic", func(*wsrouter.Context) error { panic("on purpose") })
}

// registerRooms uses rooms that clients name, which therefore get a prefix.
func registerRooms(router *wsrouter.Router) {
	router.On("join", func(c *wsrouter.Context) error {
		var name string
		if err := c.Bind(&name); err != nil {
			return err
		}
		if err := c.Join("room:" + name); err != nil {
			return err
		}
		return c.Reply(joined(c.Conn()))
	})
	router.On("leave", func(c *wsrouter.Context) error {
		var name string
		if err := c.Bind(&name); err != nil {
			return err
		}
		c.Leave("room:" + name)
		return c.Reply(joined(c.Conn()))
	})
	router.On("say", func(c *wsrouter.Context) error {
		var in struct{ Room, Text string }
		if err := c.Bind(&in); err != nil {
			return err
		}
		return c.To("room:"+in.Room).Emit("said", in.Text)
	})
	router.On("cast", func(c *wsrouter.Context) error {
		return c.Conn().Router().Emit("cast", c.Value())
	})
}

// count streams 1 to n from a goroutine that stops with the event's context.
func count(c *wsrouter.Context) error {
	var in struct {
		To      int
		EveryMS int `json:"every_ms"`
	}
	if err := c.Bind(&in); err != nil {
		return err
	}
	ch := make(chan int)
	go func() {
		defer close(ch)
		for i := 1; in.To == 0 || i <= in.To; i++ {
			if sleep(c.Context(), in.EveryMS) != nil {
				return
			}
			select {
			case ch <- i:
			case <-c.Context().Done():
				return
			}
		}
	}()
	return wsrouter.Stream(c, ch)
}

func slow(c *wsrouter.Context) error {
	var in struct{ MS int }
	if err := c.Bind(&in); err != nil {
		return err
	}
	if err := sleep(c.Context(), in.MS); err != nil {
		return err
	}
	return c.Reply("done")
}

func sleep(ctx context.Context, ms int) error {
	select {
	case <-time.After(time.Duration(ms) * time.Millisecond):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// joined lists the rooms that were named by clients.
func joined(c *wsrouter.Conn) []string {
	names := []string{}
	for _, room := range c.Rooms() {
		if name, ok := strings.CutPrefix(room, "room:"); ok {
			names = append(names, name)
		}
	}
	return names
}
