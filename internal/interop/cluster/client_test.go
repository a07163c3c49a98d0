package cluster

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wsrouter/wsrouter"
)

// client is a client of a node, with what the test knows about it.
type client struct {
	name      string // as in "redis/a"; the names of plain clients end in " plain"
	node      *node
	namespace string
	rooms     []string // sorted
	data      any
	id        string

	events chan event
	npm    *script          // for clients from npm
	plain  *wsrouter.Client // for our own clients
}

// mute reports whether the client answers no questions.
func (c *client) mute() bool { return slices.Contains(c.rooms, "mute") }

// event is what a client received, in words: equal events are equal texts.
type event string

// tell takes an event of one of npm's clients.
func (c *client) tell(name string, args json.RawMessage) {
	c.events <- event(name + " " + canonical(parse(args)))
}

// wants returns the event that the client should receive for arguments with tags.
func (c *client) wants(name string, args []any) event {
	v := inJSON(args, c.plain != nil).([]any)
	if c.plain != nil {
		return plainEvent(name, v)
	}
	return event(name + " " + canonical(v))
}

// plainEvent has a single argument as it is and several as an array.
func plainEvent(name string, args []any) event {
	switch len(args) {
	case 0:
		return event(name)
	case 1:
		return event(name + " " + canonical(args[0]))
	}
	return event(name + " " + canonical(args))
}

// connectPlain connects a client of our own.
func (c *client) connectPlain(t *testing.T) {
	t.Helper()
	handlers := wsrouter.New(nil)
	handlers.On("question", func(ctx *wsrouter.Context) error {
		if !c.mute() {
			return ctx.Reply(ctx.Value())
		}
		ctx.Yield()
		<-ctx.Context().Done()
		return nil
	})
	handlers.OnDisconnect(func(_ context.Context, _ *wsrouter.Conn, _ *wsrouter.CloseError) { c.events <- "(disconnect)" })
	handlers.NotFound(func(ctx *wsrouter.Context) error {
		text := ctx.Event()
		if raw := ctx.Raw(); raw != nil {
			text += " " + canonical(parse(raw))
		}
		c.events <- event(text)
		return nil
	})
	url := "ws://" + c.node.addr + "/ws" + strings.TrimSuffix(c.namespace, "/")
	var err error
	c.plain, err = wsrouter.Dial(t.Context(), url, &wsrouter.DialOptions{Router: handlers})
	require.NoError(t, err)
	t.Cleanup(func() { c.plain.Close() })
	c.id = c.ask(t, "whoami", nil).(string)
}

// ask sends an event with one argument and returns its ack.
func (c *client) ask(t *testing.T, name string, data any) any {
	t.Helper()
	var answer json.RawMessage
	if c.plain == nil {
		c.npm.do(t, "ask", order{"client": c.name, "event": name, "data": data}, &answer)
		return parse(answer)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	require.NoError(t, c.plain.Call(ctx, name, data, &answer), "%s of %s", name, c.name)
	return parse(answer)
}

// leave disconnects the client.
func (c *client) leave(t *testing.T) {
	t.Helper()
	if c.plain != nil {
		c.plain.Close()
	} else {
		c.npm.do(t, "leave", order{"client": c.name}, nil)
	}
}

// next waits for an event.
func (c *client) next() (event, error) {
	timeout := time.NewTimer(patience)
	defer timeout.Stop()
	select {
	case e := <-c.events:
		return e, nil
	case <-timeout.C:
		return "", fmt.Errorf("%s: no event for %v", c.name, patience)
	}
}

// until returns the events that come before one.
func (c *client) until(last event) (before []event, err error) {
	for {
		e, err := c.next()
		if err != nil {
			return before, fmt.Errorf("%w, want %s after %.500s", err, last, fmt.Sprint(before))
		}
		if e == last {
			return before, nil
		}
		before = append(before, e)
	}
}

// end returns the event of the connection's end; our own clients are not told a
// reason that another node gives.
func (c *client) end(reason string) event {
	if c.plain != nil {
		return "(disconnect)"
	}
	return event("(disconnect) " + canonical([]any{reason}))
}
