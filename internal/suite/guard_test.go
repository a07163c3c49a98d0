package suite_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wsrouter/wsrouter"
	"github.com/wsrouter/wsrouter/broker"
	"github.com/wsrouter/wsrouter/wsroutertest"
)

// TestRoomsInOnConnect: join, read the history, emit it. Nothing that is sent to the
// room meanwhile is lost, and it comes after what the guard emits.
func TestRoomsInOnConnect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		router := newRouter()
		let := make(chan struct{})
		conns := make(chan *wsrouter.Conn, 1)
		router.OnConnect(func(c *wsrouter.Conn) error {
			require.NoError(t, c.Join("room:a", "room:b", "room:left"))
			c.Leave("room:left")
			conns <- c
			<-let
			return c.Emit("history", "of a")
		})
		client := wsroutertest.Connect(t, router, nil)
		conn := <-conns
		client.Emit("events", "early")
		require.NoError(t, router.To("room:a").Emit("news", 1))
		require.NoError(t, router.To("room:a", "room:b").Volatile().Emit("news", 2))
		require.NoError(t, router.To(conn.ID()).Emit("news", 3))
		require.NoError(t, router.To("room:left").Emit("news", "none"))
		require.NoError(t, router.To("room:a").Except("room:b").Emit("news", "none"))
		require.NoError(t, router.Emit("news", "none"))
		require.NoError(t, router.Except("room:none").Emit("news", "none"))
		client.ExpectNothing()
		close(let)
		client.Expect("history", "of a")
		for n := range 3 {
			client.Expect("news", n+1)
		}
		client.Expect("events", "early")
		require.NoError(t, router.To("room:b").Emit("news", 4))
		client.Expect("news", 4)
		client.ExpectNothing()
	})
}

// TestNobodySeesTheUnadmitted: until the guard returns nil nobody finds, counts, calls
// or disconnects the client. But other nodes are told to send what is for its rooms.
func TestNobodySeesTheUnadmitted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		let, wait := make(chan struct{}), make(chan struct{})
		nodes := make(nodeOf, 2) // its own node, and that of "/"
		router := newRouterWith(&wsrouter.Options{Broker: nodes})
		guarded := router.Namespace("/guarded")
		var id string
		guarded.OnConnect(func(c *wsrouter.Conn) error {
			id = c.ID()
			require.NoError(t, c.Join("room:a"))
			close(wait)
			<-let
			return nil
		})
		client := wsroutertest.Connect(t, guarded, nil)
		<-wait
		for _, target := range []wsrouter.Target{guarded.All(), guarded.To("room:a"), guarded.To(id)} {
			require.Zero(t, target.Count())
			members, err := target.Find(t.Context())
			require.NoError(t, err)
			require.Empty(t, members)
			for range target.Conns() {
				t.Error("a Conn that was not let in")
			}
			answers, err := target.Call(t.Context(), "q", nil)
			require.NoError(t, err)
			require.Empty(t, answers)
			require.NoError(t, target.Disconnect(4001, "no"))
			require.NoError(t, target.Join("room:b"))
		}
		require.Zero(t, guarded.Stats().Connections)
		require.Zero(t, guarded.Stats().Rooms)
		node := <-nodes
		require.True(t, node.HasRoom("room:a"))
		require.False(t, node.HasRoom("room:b"))
		for room := range node.Rooms() {
			require.Equal(t, "room:a", room)
		}
		require.NoError(t, node.Apply(&broker.Operation{Kind: broker.OpEmit, Event: "news", To: broker.Selection{Rooms: []string{"room:a"}}}))
		close(let)
		client.Expect("news", nil)
		client.ExpectNothing()
		require.Equal(t, 1, guarded.To("room:a").Count())
	})
}

// TestLateGuard: a guard that returns nil after ConnectTimeout has refused the client,
// once.
func TestLateGuard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		router := newRouter()
		router.OnConnect(func(c *wsrouter.Conn) error {
			require.NoError(t, c.Join("room:a"))
			require.NoError(t, c.Emit("welcome"))
			time.Sleep(20 * time.Second)
			return nil
		})
		router.OnDisconnect(func(context.Context, *wsrouter.Conn, *wsrouter.CloseError) { t.Error("was never connected") })
		client := wsroutertest.Connect(t, router, nil)
		require.Equal(t, "connect timeout", client.ExpectClose(1013).Reason)
		time.Sleep(time.Minute)
		s := router.Stats()
		require.Zero(t, s.Connects)
		require.Zero(t, s.Connections)
		require.Equal(t, map[wsrouter.Refusal]int64{wsrouter.RefusedTimeout: 1}, s.Refused)
		client.ExpectNothing()
	})
}

// TestTooMuchInOnConnect: a client for which more than OutboxBytes is held is refused,
// whoever emits, and gets nothing of it.
func TestTooMuchInOnConnect(t *testing.T) {
	large := strings.Repeat("x", 300_000)
	emits := map[string]func(*wsrouter.Conn) error{
		"by the guard": func(c *wsrouter.Conn) error { return c.Emit("history", large) },
		"by a room":    func(c *wsrouter.Conn) error { return c.Router().To("room:a").Emit("news", large) },
	}
	for name, emit := range emits {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				log := &lines{}
				router := wsrouter.New(&wsrouter.Options{Logger: log.logger()})
				router.OnConnect(func(c *wsrouter.Conn) error {
					require.NoError(t, c.Join("room:a"))
					var err error
					for range 10 {
						err = errors.Join(err, emit(c))
					}
					if name == "by the guard" {
						var ce *wsrouter.CloseError
						require.ErrorAs(t, err, &ce)
						require.Equal(t, 1013, ce.Code)
					}
					return nil
				})
				client := wsroutertest.Connect(t, router, nil)
				require.Equal(t, "too much emitted in OnConnect", client.ExpectClose(1013).Reason)
				client.ExpectNothing()
				synctest.Wait()
				s := router.Stats()
				require.Zero(t, s.Connects)
				require.Zero(t, s.Outbox)
				require.Equal(t, map[wsrouter.Refusal]int64{wsrouter.RefusedOverflow: 1}, s.Refused)
				require.Len(t, log.with("wsrouter: refused", "reason=overflow", "too much emitted"), 1)
			})
		})
	}
}

// TestVolatileInOnConnect: a volatile emit drops its frame if it does not fit.
func TestVolatileInOnConnect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		router := newRouter()
		router.OnConnect(func(c *wsrouter.Conn) error {
			err := c.Join("room:a")
			for n := range 10 {
				err = errors.Join(err, router.To("room:a").Volatile().Emit("news", fmt.Sprint(n, strings.Repeat("x", 300_000))))
			}
			return err
		})
		client := wsroutertest.Connect(t, router, nil)
		for n := range 3 {
			client.Expect("news", fmt.Sprint(n, strings.Repeat("x", 300_000)))
		}
		client.ExpectNothing()
		require.EqualValues(t, 7, router.Stats().Dropped)
	})
}

// TestForeignEndInOnConnect: the end of another connection or context is a failure of
// ours, and its code is not used for this client.
func TestForeignEndInOnConnect(t *testing.T) {
	for name, fail := range foreign {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				log := &lines{}
				router := wsrouter.New(&wsrouter.Options{Logger: log.logger()})
				router.OnConnect(func(*wsrouter.Conn) error { return fail(t) })
				client := wsroutertest.Connect(t, router, nil)
				require.Equal(t, "Internal server error", client.ExpectClose(1011).Reason)
				synctest.Wait()
				require.EqualValues(t, 1, router.Stats().Errors)
				require.Len(t, log.with("level=ERROR", "wsrouter: OnConnect failed"), 1)
			})
		})
	}
}

// nodeOf is a broker that hands the node of "/guarded" to the test.
type nodeOf chan broker.Node

func (c nodeOf) Subscribe(_ context.Context, n broker.Node) (broker.Subscription, error) {
	if n.Name() == "/guarded" {
		c <- n
	}
	return alone{}, nil
}

// alone is a subscription of a cluster of one.
type alone struct{}

func (alone) Publish(*broker.Operation) error                                 { return nil }
func (alone) Find(context.Context, broker.Selection) ([]broker.Member, error) { return nil, nil }
func (alone) Close() error                                                    { return nil }

// TestAuthWithoutAuthFrame: the log says once why a guard finds no token, also when it
// has refused the client before the token comes.
func TestAuthWithoutAuthFrame(t *testing.T) {
	for _, verdict := range []error{nil, wsrouter.NewError("no token")} {
		synctest.Test(t, func(t *testing.T) {
			var log bytes.Buffer
			router := wsrouter.New(&wsrouter.Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
			router.OnConnect(func(*wsrouter.Conn) error { return verdict })
			for range 2 {
				conn := upgrade(t, router)
				synctest.Wait()
				all := drainConn(conn)
				conn.Write(wsFrame(1, true, `{"auth":{"token":"good"}}`))
				conn.Write(wsFrame(8, true, "\x03\xe8"))
				<-all
			}
			synctest.Wait()
			require.Equal(t, 1, strings.Count(log.String(), "without AuthFrame"), log.String())
			require.NotContains(t, log.String(), "good")
		})
	}
}
