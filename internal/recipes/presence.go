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
		err := errors.Join(c.Conn().SetData(user), c.Join("room:"+room, "user:"+user),
			c.To("room:"+room).Emit("presence", room, user, true))
		if err != nil {
			return nil, err
		}
		return members(c.Context(), router.To("room:"+room))
	})
	router.OnDisconnect(func(ctx context.Context, c *wsrouter.Conn, _ *wsrouter.CloseError) {
		user, _ := userKey.Get(c)
		for _, name := range c.Rooms() {
			room, ok := strings.CutPrefix(name, "room:")
			if !ok {
				continue
			}
			// What was told last is true, whoever comes and goes between the look and the word.
			for told := true; isIn(ctx, router, name, user) != told; {
				told = !told
				router.To(name).Emit("presence", room, user, told)
			}
		}
	})
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
