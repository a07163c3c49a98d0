package recipes

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"

	"github.com/wsrouter/wsrouter"
)

// Presence lets users enter rooms, whose members are told who comes and goes.
func Presence(router *wsrouter.Router) {
	wsrouter.Handle(router, "enter", func(c *wsrouter.Context, room string) ([]string, error) {
		user, _ := userKey.Get(c.Conn())
		if err := errors.Join(c.Conn().SetData(user), c.Join("room:"+room, "user:"+user)); err != nil {
			return nil, err
		}
		if err := c.To("room:"+room).Emit("presence", room, user, true); err != nil {
			return nil, err
		}
		return members(c.Context(), router.To("room:"+room))
	})
	wsrouter.Handle(router, "leave", func(c *wsrouter.Context, room string) (any, error) {
		c.Leave("room:" + room)
		tellGone(c.Context(), c.Conn(), "room:"+room)
		return nil, nil
	})
	router.OnDisconnect(func(ctx context.Context, c *wsrouter.Conn, _ *wsrouter.CloseError) {
		for _, name := range c.Rooms() {
			if strings.HasPrefix(name, "room:") {
				tellGone(ctx, c, name)
			}
		}
	})
}

// tellGone tells a room that a user has left, unless they are there by another connection.
func tellGone(ctx context.Context, c *wsrouter.Conn, name string) {
	user, _ := userKey.Get(c)
	// A user may come back after the look and before the event: go on until what was told last is true.
	for told := true; isIn(ctx, c.Router(), name, user) != told; {
		told = !told
		c.To(name).Emit("presence", strings.TrimPrefix(name, "room:"), user, told)
	}
}

// members returns users, each once however many connections they have.
func members(ctx context.Context, of wsrouter.Target) ([]string, error) {
	found, err := of.Find(ctx)
	users := []string{}
	for _, member := range found {
		var user string
		if json.Unmarshal(member.Data, &user) == nil {
			users = append(users, user)
		}
	}
	slices.Sort(users)
	return slices.Compact(users), err
}

// isIn reports whether any connection of a user is in a room.
func isIn(ctx context.Context, router *wsrouter.Router, room, user string) bool {
	found, _ := router.To("user:" + user).Find(ctx)
	return slices.ContainsFunc(found, func(m wsrouter.Member) bool { return slices.Contains(m.Rooms, room) })
}
