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
		if err := errors.Join(c.Conn().SetData(user), c.Join("room:"+room)); err != nil {
			return nil, err
		}
		if err := c.To("room:"+room).Emit("entered", room, user); err != nil {
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
			if there, _ := members(ctx, router.To(name)); !slices.Contains(there, user) {
				router.To(name).Emit("left", room, user)
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
