package recipes

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wsrouter/wsrouter"
	"github.com/wsrouter/wsrouter/broker"
	"github.com/wsrouter/wsrouter/wsroutertest"
)

func TestPresence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		router := wsrouter.New(nil)
		router.OnConnect(byName)
		Presence(router)
		enter := func(client *wsroutertest.Client) []string {
			users, err := wsrouter.Call[[]string](t.Context(), client, "enter", "lobby")
			require.NoError(t, err)
			return users
		}
		bob := connectAs(t, router, "bob")
		require.Equal(t, []string{"bob"}, enter(bob))
		ann, tab := connectAs(t, router, "ann"), connectAs(t, router, "ann")
		require.Equal(t, []string{"ann", "bob"}, enter(ann))
		bob.Expect("presence", []any{"lobby", "ann", true})
		require.Equal(t, []string{"ann", "bob"}, enter(tab))
		bob.Expect("presence", []any{"lobby", "ann", true})

		require.NoError(t, ann.Close())
		bob.ExpectNothing()
		require.NoError(t, tab.Call(t.Context(), "leave", "lobby", nil))
		bob.Expect("presence", []any{"lobby", "ann", false})
		require.Equal(t, []string{"ann", "bob"}, enter(tab))
		bob.Expect("presence", []any{"lobby", "ann", true})
		tab.Abort()
		bob.Expect("presence", []any{"lobby", "ann", false})
		cid := connectAs(t, router, "cid")
		require.Equal(t, []string{"bob", "cid"}, enter(cid))
		bob.Expect("presence", []any{"lobby", "cid", true})
		bob.ExpectNothing()
	})
}

// watched is what a client knows about a room: the list it got, and the changes
// that have arrived since it asked.
type watched struct {
	client  *wsrouter.Client
	list    []string
	changes []change
}

type change struct {
	room, user string
	in         bool
}

func watch(t *testing.T, router *wsrouter.Router, user string) *watched {
	t.Helper()
	w := &watched{}
	handlers := wsrouter.New(nil)
	handlers.On("presence", func(c *wsrouter.Context) error {
		var ch change
		err := c.Args(&ch.room, &ch.user, &ch.in)
		w.changes = append(w.changes, ch)
		return err
	})
	opts := auth(user)
	opts.Router = handlers
	client, err := router.Connect(t.Context(), opts)
	require.NoError(t, err)
	t.Cleanup(func() { client.Close() })
	w.client = client
	require.NoError(t, client.Call(t.Context(), "enter", "lobby", &w.list))
	return w
}

// members applies the changes to the list.
func (w *watched) members() []string {
	there := map[string]bool{}
	for _, user := range w.list {
		there[user] = true
	}
	for _, ch := range w.changes {
		there[ch.user] = ch.in
	}
	maps.DeleteFunc(there, func(_ string, in bool) bool { return !in })
	return slices.Sorted(maps.Keys(there))
}

// TestPresenceUnderChurn: when everything has settled everybody knows who is there,
// although users connected, reloaded their pages and left at once.
func TestPresenceUnderChurn(t *testing.T) {
	for range 20 {
		synctest.Test(t, func(t *testing.T) {
			router := wsrouter.New(nil)
			router.OnConnect(byName)
			Presence(router)
			early := watch(t, router, "early")
			var churn sync.WaitGroup
			for _, user := range []string{"a", "b", "c", "d"} {
				churn.Go(func() {
					for range 4 { // a reload: the new connection begins before the old one ends
						old := watch(t, router, user)
						churn.Go(func() { old.client.Close() })
					}
					if user < "c" {
						watch(t, router, user)
					}
				})
			}
			late := watch(t, router, "late")
			churn.Wait()
			synctest.Wait()
			require.Equal(t, []string{"a", "b", "early", "late"}, early.members())
			require.Equal(t, early.members(), late.members())
		})
	}
}

// slowBroker takes a second to find the members on other servers. They may have
// come or gone by the time it returns them.
type slowBroker struct{ broker.Memory }

func (b *slowBroker) Subscribe(ctx context.Context, node broker.Node) (broker.Subscription, error) {
	sub, err := b.Memory.Subscribe(ctx, node)
	return slowSubscription{sub}, err
}

type slowSubscription struct{ broker.Subscription }

// Find implements [broker.Finder].
func (s slowSubscription) Find(ctx context.Context, of broker.Selection) ([]broker.Member, error) {
	members, err := s.Subscription.(broker.Finder).Find(ctx, of)
	time.Sleep(time.Second)
	return members, err
}

// TestPresenceAcrossServers: a user who leaves one server, and enters on another
// while the first is still checking, is present.
func TestPresenceAcrossServers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var servers []*wsrouter.Router
		shared := new(slowBroker)
		for range 2 {
			router := wsrouter.New(&wsrouter.Options{Broker: shared})
			router.OnConnect(byName)
			Presence(router)
			servers = append(servers, router)
			t.Cleanup(func() { router.Shutdown(context.Background()) }) // waits until the last one has checked
		}
		bob := watch(t, servers[0], "bob")
		cid := watch(t, servers[1], "cid")
		ann := watch(t, servers[0], "ann")
		require.Equal(t, []string{"ann", "bob", "cid"}, ann.members())

		require.NoError(t, ann.client.Close())
		time.Sleep(time.Second / 2)
		ann = watch(t, servers[1], "ann")
		time.Sleep(time.Minute)
		synctest.Wait()
		for _, w := range []*watched{ann, bob, cid} {
			require.Equal(t, []string{"ann", "bob", "cid"}, w.members())
		}
		require.NoError(t, ann.client.Close())
		time.Sleep(time.Minute)
		synctest.Wait()
		for _, w := range []*watched{bob, cid} {
			require.Equal(t, []string{"bob", "cid"}, w.members())
		}
	})
}

// listener has the messages that it received in a room, in order.
type listener struct {
	heard     []string
	histories int
}

func (l *listener) handlers() *wsrouter.Router {
	handlers := wsrouter.New(nil)
	handlers.On("history", func(c *wsrouter.Context) error {
		l.histories++
		return c.Bind(&l.heard)
	})
	handlers.On("said", func(c *wsrouter.Context) error {
		var text string
		err := c.Bind(&text)
		l.heard = append(l.heard, text)
		return err
	})
	return handlers
}

// newRoomRouter lets clients enter when they connect, or later when they ask to,
// and say something.
func newRoomRouter(room *Room) *wsrouter.Router {
	router := wsrouter.New(nil)
	router.OnConnect(func(c *wsrouter.Conn) error {
		if c.Request().Header.Get("Later") != "" {
			return nil
		}
		return room.Enter(c)
	})
	router.On("enter", func(c *wsrouter.Context) error { return room.Enter(c.Conn()) })
	router.On("say", func(c *wsrouter.Context) error { return room.Say(router, string(c.Raw())) })
	return router
}

// TestHistory: a client that enters while others talk receives every message once,
// and in the same order as everybody else.
func TestHistory(t *testing.T) {
	const talkers, listeners, each = 4, 16, 20
	synctest.Test(t, func(t *testing.T) {
		router := newRoomRouter(&Room{name: "room:lobby"})
		connect := func(handlers *wsrouter.Router, header http.Header) *wsrouter.Client {
			client, err := router.Connect(t.Context(), &wsrouter.DialOptions{Router: handlers, Header: header})
			assert.NoError(t, err)
			t.Cleanup(func() { client.Close() })
			return client
		}
		for i := range talkers {
			go func() {
				client := connect(nil, nil)
				for n := range each {
					assert.NoError(t, client.Call(t.Context(), "say", fmt.Sprint(i, " ", n), nil))
				}
			}()
		}
		all := make([]listener, listeners)
		for i := range all {
			go func() {
				if i%2 == 0 {
					connect(all[i].handlers(), nil)
					return
				}
				client := connect(all[i].handlers(), http.Header{"Later": {"yes"}})
				assert.NoError(t, client.Call(t.Context(), "enter", nil, nil))
			}()
		}
		synctest.Wait()
		for _, l := range all {
			require.Equal(t, 1, l.histories)
			require.Len(t, l.heard, talkers*each)
			require.Equal(t, all[0].heard, l.heard)
		}
	})
}

// TestHistoryBound: a room keeps its last 100 messages.
func TestHistoryBound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		room := &Room{name: "room:lobby"}
		router := wsrouter.New(nil)
		router.OnConnect(room.Enter)
		for n := range 250 {
			require.NoError(t, room.Say(router, fmt.Sprint(n)))
		}
		var all []string
		require.Equal(t, "history", wsroutertest.Connect(t, router, nil).Next(&all))
		require.Len(t, all, 100)
		require.Equal(t, []string{"150", "249"}, []string{all[0], all[99]})
	})
}
