package suite_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wsrouter/wsrouter"
	"github.com/wsrouter/wsrouter/internal/rawtest"
	"github.com/wsrouter/wsrouter/wsroutertest"
)

func TestRooms(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		router := newRouter()
		_, conns := crowd(t, router, 2)
		a, b := conns[0], conns[1]
		require.Empty(t, a.Rooms())
		require.NoError(t, a.Join("z", "a", "z"))
		require.NoError(t, b.Join("a"))
		require.Equal(t, []string{"a", "z"}, a.Rooms())
		require.Equal(t, 2, router.Stats().Rooms)
		a.Leave("a", "never joined")
		require.Equal(t, 2, router.Stats().Rooms)
		b.Leave("a")
		require.Equal(t, 1, router.Stats().Rooms, "empty rooms vanish")

		require.NoError(t, a.Join(a.ID()), "it is in there already")
		a.Leave(a.ID())
		require.Equal(t, []string{"z"}, a.Rooms())
		require.ErrorContains(t, a.Join(b.ID()), "another connection's id")
		require.Equal(t, 1, router.Stats().Rooms)
	})
}

// TestRoomLimits: at the limit, and one beyond it.
func TestRoomLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		router := newRouter()
		_, conns := crowd(t, router, 1)
		c := conns[0]
		require.Error(t, c.Join(""))
		require.NoError(t, c.Join(strings.Repeat("r", 256)))
		require.Error(t, c.Join(strings.Repeat("r", 257)))
		require.Error(t, c.Join(strings.Repeat("r", 1<<20)))
		joined := 1
		for i := range 10_000 {
			if c.Join(fmt.Sprint(i)) == nil {
				joined++
			}
		}
		require.Equal(t, 1000, joined)
		require.Equal(t, 1000, router.Stats().Rooms)
		c.Leave("0")
		require.NoError(t, c.Join("instead"))
		require.Error(t, c.Join("one more"))
	})
}

// TestTargets: who gets what, each once.
func TestTargets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		router := newRouter()
		clients, conns := crowd(t, router, 4)
		require.NoError(t, conns[0].Join("x", "y"))
		require.NoError(t, conns[1].Join("x"))
		require.NoError(t, conns[2].Join("y"))
		id := func(i int) string { return conns[i].ID() }
		tests := []struct {
			name   string
			target wsrouter.Target
			want   []int
		}{
			{"room", router.To("x"), []int{0, 1}},
			{"union", router.To("x", "y"), []int{0, 1, 2}},
			{"union by steps", router.To("x").To("y"), []int{0, 1, 2}},
			{"no rooms", router.To(), nil},
			{"no rooms, but except", router.To().Except("x"), nil},
			{"empty room", router.To("nobody"), nil},
			{"except", router.Except("x"), []int{2, 3}},
			{"except nobody", router.Except(), []int{0, 1, 2, 3}},
			{"room except room", router.To("x").Except("y"), []int{1}},
			{"own room", router.To(id(3)), []int{3}},
			{"own room and another", router.To(id(0), "x"), []int{0, 1}},
			{"except an id", router.To("x").Except(id(0)), []int{1}},
			{"from a connection", conns[0].To("x", "y"), []int{1, 2}},
			{"others", conns[0].Others(), []int{1, 2, 3}},
			{"local", router.To("x").Local(), []int{0, 1}},
		}
		for _, test := range tests {
			require.NoError(t, test.target.Emit("hit", test.name))
			members, err := test.target.Find(t.Context())
			require.NoError(t, err)
			require.Len(t, members, len(test.want), test.name)
			for i, client := range clients {
				if slices.Contains(test.want, i) {
					client.Expect("hit", test.name)
				}
				client.ExpectNothing()
			}
		}
	})
}

// TestTargetIsAValue: one Target can be used several times, even concurrently.
func TestTargetIsAValue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		router := newRouter()
		clients, conns := crowd(t, router, 3)
		for i, room := range []string{"a", "b", "c"} {
			require.NoError(t, conns[i].Join(room))
		}
		base := router.To("none", "of", "these")
		var wg sync.WaitGroup
		for _, room := range []string{"a", "b", "c"} {
			wg.Go(func() { base.To(room).Except("x"+room).Emit("hit", room) })
		}
		wg.Wait()
		for i, room := range []string{"a", "b", "c"} {
			clients[i].Expect("hit", room)
			clients[i].ExpectNothing()
		}
	})
}

// counted counts how often it is encoded.
type counted struct{ n *atomic.Int64 }

func (c counted) MarshalJSON() ([]byte, error) {
	c.n.Add(1)
	return []byte(`"x"`), nil
}

// TestBroadcastEncodesOnce: for each wire format, however many connections there are.
func TestBroadcastEncodesOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		router := newRouter()
		clients, _ := crowd(t, router, 10)
		nest := rawtest.Connect(router, &wsrouter.WSOptions{Codec: wsrouter.NestJSON}, nil)
		synctest.Wait()
		var n atomic.Int64
		require.NoError(t, router.Emit("x", counted{&n}))
		require.EqualValues(t, 2, n.Load())
		frame, _ := nest.Read()
		require.Equal(t, `{"event":"x","data":"x"}`, frame)
		for _, client := range clients {
			client.Expect("x", "x")
		}
		n.Store(0)
		answers, err := router.Except().Call(t.Context(), "x", counted{&n})
		require.NoError(t, err)
		require.Len(t, answers, 11)
		require.EqualValues(t, 1, n.Load())
		nest.Close(1000, "")
		nest.Wait()
	})
}

// TestEmitErrors: an argument that cannot be encoded and a reserved name are errors
// even if nobody listens.
func TestEmitErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		router := newRouter()
		for range 2 {
			require.ErrorContains(t, router.Emit("x", make(chan int)), `wsrouter: encode "x"`)
			require.ErrorContains(t, router.Emit("connect"), "reserved")
			require.ErrorContains(t, router.Emit(""), "reserved")
			require.Error(t, router.Emit("x", json.RawMessage("{")))
			_, err := router.To("x").Call(t.Context(), "x", make(chan int))
			require.Error(t, err)
			_, err = router.To("x").Call(t.Context(), "disconnect", nil)
			require.Error(t, err)
			require.Error(t, router.To("x").Disconnect(1005, ""))
			crowd(t, router, 1)
		}
	})
}

// TestTargetCall: each client's answer; at the deadline those that have come, with its
// error; and nothing is left of the others.
func TestTargetCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		router := newRouter()
		connect := func(h wsrouter.HandlerFunc) *wsroutertest.Client {
			handlers := wsrouter.New(nil)
			handlers.On("q", h)
			return wsroutertest.Connect(t, router, &wsrouter.DialOptions{Router: handlers})
		}
		connect(func(c *wsrouter.Context) error { return c.Reply(c.Value()) })
		connect(func(c *wsrouter.Context) error { return wsrouter.NewError("no").WithCode("E_NO") })
		connect(func(c *wsrouter.Context) error { return c.Conn().Close(4000, "gone") })
		answers, err := router.Except().Call(t.Context(), "q", 7)
		require.NoError(t, err)
		require.Len(t, answers, 3)
		kinds := map[string]int{}
		for _, a := range answers {
			var ws *wsrouter.WsError
			var ce *wsrouter.CloseError
			var n int
			switch err := a.Bind(&n); {
			case errors.As(err, &ws):
				require.Equal(t, "E_NO", ws.Code)
				kinds["failed"]++
			case errors.As(err, &ce):
				require.Equal(t, 4000, ce.Code)
				kinds["gone"]++
			default:
				require.NoError(t, err)
				require.Equal(t, 7, n)
				require.Len(t, a.ID, 20)
				kinds["answered"]++
			}
		}
		require.Equal(t, map[string]int{"failed": 1, "gone": 1, "answered": 1}, kinds)

		canceled := make(chan error, 1)
		connect(func(c *wsrouter.Context) error {
			<-c.Context().Done()
			canceled <- context.Cause(c.Context())
			return nil
		})
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		answers, err = router.Except().Call(ctx, "q", nil)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Len(t, answers, 2)
		require.ErrorIs(t, <-canceled, context.Canceled)

		answers, err = router.To("nobody").Call(t.Context(), "q", nil)
		require.NoError(t, err)
		require.Empty(t, answers)
	})
}

func TestTargetOperations(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		router := newRouter()
		clients, conns := crowd(t, router, 3)
		require.NoError(t, router.To(conns[0].ID(), conns[1].ID()).Join("x"))
		require.NoError(t, conns[0].SetData(map[string]string{"name": "ann"}))
		require.Error(t, conns[0].SetData(make(chan int)))
		members, err := router.To("x").Find(t.Context())
		require.NoError(t, err)
		require.Len(t, members, 2)
		for _, m := range members {
			require.Equal(t, []string{"x"}, m.Rooms)
			if m.ID == conns[0].ID() {
				require.JSONEq(t, `{"name":"ann"}`, string(m.Data))
			} else {
				require.Nil(t, m.Data)
			}
		}
		all, err := router.Find(t.Context())
		require.NoError(t, err)
		require.Len(t, all, 3)
		require.Error(t, router.To("x").Join(strings.Repeat("r", 300)))
		require.NoError(t, router.To("x").Except(conns[0].ID()).Leave("x"))
		require.Empty(t, conns[1].Rooms())
		require.NoError(t, router.To("x").Disconnect(4005, "kicked"))
		require.Equal(t, "kicked", clients[0].ExpectClose(4005).Reason)
		synctest.Wait()
		require.Equal(t, 2, router.Stats().Connections)
	})
}

// TestMembershipUnderChurn: 1,000 connections move through 100 rooms during broadcasts.
// A connection that stays in a room gets every message once and in order; one that was
// never in it gets none.
func TestMembershipUnderChurn(t *testing.T) {
	const rooms, movers, messages = 100, 1000, 50
	patient := func() *wsrouter.Router { // time does not matter, however busy the machine is
		return wsrouter.New(&wsrouter.Options{Logger: slog.New(slog.DiscardHandler), WriteTimeout: -1, PingInterval: -1})
	}
	router := patient()
	sink := make(chan *wsrouter.Conn, movers+rooms)
	router.OnConnect(func(c *wsrouter.Conn) error { sink <- c; return nil })
	room := func(i int) string { return fmt.Sprint("room:", i%rooms) }

	stayers := make([]*wsroutertest.Client, rooms)
	var ends sync.WaitGroup
	for i := range stayers {
		stayer := patient()
		stayer.On("end", func(*wsrouter.Context) error { ends.Done(); return nil })
		ends.Add(1)
		stayers[i] = wsroutertest.Connect(t, router, &wsrouter.DialOptions{Router: stayer})
		require.NoError(t, (<-sink).Join(room(i), "stayers"))
	}
	conns := make([]*wsrouter.Conn, movers)
	for i := range conns {
		quiet := patient()
		quiet.NotFound(noop)
		client, err := router.Connect(t.Context(), &wsrouter.DialOptions{Router: quiet})
		require.NoError(t, err)
		t.Cleanup(func() { client.Close() })
		conns[i] = <-sink
	}
	var wg, churn sync.WaitGroup
	stop := make(chan struct{})
	for _, part := range slices.Collect(slices.Chunk(conns, movers/4)) {
		churn.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				c := part[rand.IntN(len(part))]
				c.Leave(room(rand.IntN(rooms)))
				if err := c.Join(room(rand.IntN(rooms))); err != nil {
					t.Error(err)
				}
				if i%10 == 0 {
					c.Leave(c.Rooms()...)
				}
			}
		})
	}
	for i := range rooms {
		wg.Go(func() {
			for n := range messages {
				if err := router.To(room(i)).Emit("n", i, n); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	close(stop)
	churn.Wait()
	require.NoError(t, router.To("stayers").Emit("over"))
	require.NoError(t, router.To("stayers").Emit("end"))
	ends.Wait() // after everything else
	for i, client := range stayers {
		for n := range messages {
			client.Expect("n", []int{i, n})
		}
		client.Expect("over", nil)
	}
	for _, c := range conns {
		c.Leave(c.Rooms()...)
	}
	require.Equal(t, rooms+1, router.Stats().Rooms)
}

// TestHooksThatBroadcast: OnConnect and OnDisconnect may send and close.
func TestHooksThatBroadcast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		router := newRouter()
		router.OnConnect(func(c *wsrouter.Conn) error {
			if c.Request().URL.Query().Has("leave") {
				require.NoError(t, c.Emit("last", "words"))
				require.NoError(t, c.Close(4009, "not today"))
			}
			return router.Emit("here", c.Request().URL.RawQuery)
		})
		router.OnDisconnect(func(_ context.Context, c *wsrouter.Conn, _ *wsrouter.CloseError) {
			router.Emit("left", c.Request().URL.RawQuery)
			router.To(c.Rooms()...).Disconnect(4000, "")
		})
		first := wsroutertest.Connect(t, router, nil)
		leaver := wsroutertest.Connect(t, router, &wsrouter.DialOptions{Request: request("http://h/?leave")})
		leaver.ExpectClose(4009)
		first.Expect("here", "leave")
		first.Expect("left", "leave")
		first.ExpectNothing()
	})
}

// TestReloadLoop: a page that reloads over and over leaves nothing behind.
func TestReloadLoop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		router := newRouter()
		router.OnConnect(func(c *wsrouter.Conn) error { return c.Join("room:a", "room:"+c.ID()) })
		for i := range 500 {
			raw := rawtest.Connect(router, nil, nil)
			if i%3 == 0 {
				raw.Send(`{"event":"events","data":"x"}`)
			}
			if i%2 == 0 {
				raw.Abort()
			} else {
				raw.Close(1001, "")
			}
			raw.Wait()
		}
		synctest.Wait()
		stats := router.Stats()
		require.Zero(t, stats.Connections)
		require.Zero(t, stats.Rooms)
		require.Zero(t, stats.Inbox)
		require.Zero(t, stats.Outbox)
		require.Zero(t, stats.Handlers)
	})
}
