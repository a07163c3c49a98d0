package socketio_test

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wsrouter/wsrouter"
	"github.com/wsrouter/wsrouter/broker"
	"github.com/wsrouter/wsrouter/socketio"
)

// Clients connect and leave as fast as they can, over both wires, while everything that
// looks at connections and rooms is called. Nothing waits forever, and nobody is left
// in a room.
func TestConnectingAndLeavingAgainstAllOperations(t *testing.T) {
	for name, nodes := range map[string]int{"one node": 1, "through a broker": 2} {
		t.Run(name, func(t *testing.T) { newChurn(t, nodes).run() })
	}
}

// churn is a namespace on some nodes whose clients come and go.
type churn struct {
	t     *testing.T
	nodes []*wsrouter.Router
	sites []*site
	conns [64]atomic.Pointer[wsrouter.Conn] // some that have come, most of which have gone
}

func newChurn(t *testing.T, nodes int) *churn {
	c := &churn{t: t}
	opts := wsrouter.Options{Logger: slog.New(slog.DiscardHandler), PingInterval: -1, FrameRate: -1}
	if nodes > 1 {
		opts.Broker = new(broker.Memory)
	}
	for range nodes {
		router := newRouter(&opts)
		router.OnConnect(func(conn *wsrouter.Conn) error {
			c.conns[rand.IntN(len(c.conns))].Store(conn)
			return conn.Join("all", "own:"+conn.ID())
		})
		c.nodes = append(c.nodes, router)
		c.sites = append(c.sites, serveWith(t, &http.Server{}, router, nil))
	}
	return c
}

func (c *churn) run() {
	late := time.AfterFunc(8*time.Minute, func() { // only a deadlock takes that long
		debug.SetTraceback("all")
		panic("churn hangs")
	})
	defer late.Stop()
	var clients, operators sync.WaitGroup
	for _, s := range c.sites {
		for range 4 {
			clients.Go(func() { c.socketIO(s) })
		}
		clients.Go(func() { c.memory(s.router) })
	}
	stop := make(chan struct{})
	for _, router := range c.nodes {
		for range 3 {
			operators.Go(func() { c.operate(router, stop) })
		}
	}
	clients.Wait()
	close(stop)
	operators.Wait()
	for i, router := range c.nodes {
		require.NoError(c.t, router.Shutdown(c.t.Context()))
		require.Zero(c.t, router.Stats().Rooms)
		require.Zero(c.t, router.Stats().Connections)
		require.Zero(c.t, socketio.Sessions(c.sites[i].handler))
	}
}

// socketIO joins and leaves the namespace on one link.
func (c *churn) socketIO(s *site) {
	ws := s.direct()
	go func() {
		for p := range ws.received {
			if p.err != nil {
				return
			}
		}
	}()
	for range 500 {
		if ws.Conn.Write(c.t.Context(), 1, []byte("40")) != nil || ws.Conn.Write(c.t.Context(), 1, []byte("41")) != nil {
			return // an operation has cut it
		}
	}
	ws.CloseNow()
}

// memory connects and leaves with a new link each time.
func (c *churn) memory(router *wsrouter.Router) {
	for range 200 {
		handlers := wsrouter.New(&wsrouter.Options{Logger: slog.New(slog.DiscardHandler)})
		handlers.NotFound(func(*wsrouter.Context) error { return nil })
		if client, err := router.Connect(c.t.Context(), &wsrouter.DialOptions{Router: handlers}); err == nil {
			client.Close()
		}
	}
}

// operate does everything that can be done with connections and rooms.
func (c *churn) operate(router *wsrouter.Router, stop <-chan struct{}) {
	for {
		conn := c.conns[rand.IntN(len(c.conns))].Load()
		select {
		case <-stop:
			return
		default:
		}
		target := router.Except("x")
		if conn != nil {
			conn.Join("topic", "more")
			conn.SetData("data")
			conn.Emit("e", conn.Rooms())
			conn.Leave("topic")
			target = [...]wsrouter.Target{target, router.To("topic", "all"), conn.Others(), router.To(conn.ID())}[rand.IntN(4)]
		}
		c.aim(target)
	}
}

// aim does everything that a Target can do.
func (c *churn) aim(target wsrouter.Target) {
	ctx, cancel := context.WithTimeout(c.t.Context(), time.Millisecond)
	defer cancel()
	target.Join("topic", "theme")
	target.Find(ctx)
	target.Emit("e", 1)
	target.Call(ctx, "e", 1)
	target.Leave("theme")
	for conn := range target.Conns() {
		conn.Join("each")
		conn.Leave("each")
	}
	if rand.IntN(50) == 0 {
		target.Local().Disconnect(wsrouter.CloseNormal, "")
	}
}
