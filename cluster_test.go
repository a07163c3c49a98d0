package wsrouter_test

import (
	"context"
	"errors"
	"log/slog"
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

// brokerFunc is a Broker that subscribes as a test says.
type brokerFunc func(ctx context.Context, n broker.Node) (broker.Subscription, error)

func (f brokerFunc) Subscribe(ctx context.Context, n broker.Node) (broker.Subscription, error) {
	return f(ctx, n)
}

// lonely is a subscription that reaches nobody and cannot ask others.
type lonely struct {
	mu        sync.Mutex // guards published
	published []broker.OpKind
	closed    chan struct{}
}

func newLonely() *lonely { return &lonely{closed: make(chan struct{})} }

func (l *lonely) Publish(op *broker.Operation) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.published = append(l.published, op.Kind)
	return wsrouter.ErrUnreached
}

func (l *lonely) Close() error { close(l.closed); return nil }

func inCluster(b broker.Broker) *wsrouter.Router {
	return wsrouter.New(&wsrouter.Options{Broker: b, Logger: slog.New(slog.DiscardHandler)})
}

func TestTheMemoryBrokerJoinsSeveralRouters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var cluster broker.Memory
		a, b, c := inCluster(&cluster), inCluster(&cluster), inCluster(&cluster)
		for _, r := range []*wsrouter.Router{a, b, c} {
			r.OnConnect(func(c *wsrouter.Conn) error { return c.Join("room") })
		}
		clients := []*wsroutertest.Client{
			wsroutertest.Connect(t, a, nil), wsroutertest.Connect(t, b, nil), wsroutertest.Connect(t, c, nil),
		}
		require.NoError(t, b.To("room").Emit("hello", "all", 1))
		for _, client := range clients {
			client.Expect("hello", []any{"all", 1})
		}
		require.NoError(t, b.To().Emit("hello", "nobody"))
		for _, client := range clients {
			client.ExpectNothing()
		}
	})
}

func TestAnEmitBeforeServingReachesOtherNodes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var cluster broker.Memory
		a, b := inCluster(&cluster), inCluster(&cluster)
		client := wsroutertest.Connect(t, b, nil)
		require.NoError(t, a.Emit("early"))
		a.On("late", func(c *wsrouter.Context) error { return nil }) // it is not too late
		client.Expect("early", nil)
	})
}

func TestANodeLeavesWithItsRouter(t *testing.T) {
	for name, end := range map[string]func(r *wsrouter.Router) error{
		"Shutdown": func(r *wsrouter.Router) error { return r.Shutdown(context.Background()) },
		"Close":    (*wsrouter.Router).Close,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				sub := newLonely()
				r := inCluster(brokerFunc(func(_ context.Context, n broker.Node) (broker.Subscription, error) { return sub, nil }))
				wsroutertest.Connect(t, r, nil)
				require.NoError(t, end(r))
				<-sub.closed
				assert.NoError(t, r.Emit("late"))
				assert.ErrorIs(t, r.To("room").Leave("room"), wsrouter.ErrUnreached)
				assert.NoError(t, end(r))
			})
		})
	}
}

// What OnDisconnect tells the others during a shutdown still reaches them.
func TestShutdownLeavesTheClusterLast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var cluster broker.Memory
		a, b := inCluster(&cluster), inCluster(&cluster)
		a.OnDisconnect(func(ctx context.Context, c *wsrouter.Conn, err *wsrouter.CloseError) { a.Emit("left") })
		wsroutertest.Connect(t, a, nil)
		client := wsroutertest.Connect(t, b, nil)
		require.NoError(t, a.Shutdown(t.Context()))
		client.Expect("left", nil)
	})
}

func TestEachNamespaceSubscribesOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var names []string
		r := inCluster(brokerFunc(func(_ context.Context, n broker.Node) (broker.Subscription, error) {
			time.Sleep(time.Second) // the network is slow
			mu.Lock()
			defer mu.Unlock()
			names = append(names, n.Name())
			return newLonely(), nil
		}))
		chat := r.Namespace("/chat")
		begin := time.Now()
		var wg sync.WaitGroup
		for range 3 {
			wg.Go(func() { wsroutertest.Connect(t, chat, nil) })
			wg.Go(func() { chat.Emit("e") })
		}
		wg.Wait()
		assert.Equal(t, time.Second, time.Since(begin), "side by side")
		slices.Sort(names)
		assert.Equal(t, []string{"/", "/chat"}, names)
	})
}

func TestWhatIsLocalStaysOnItsNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var cluster broker.Memory
		a, b := inCluster(&cluster), inCluster(&cluster)
		for _, r := range []*wsrouter.Router{a, b} {
			r.OnConnect(func(c *wsrouter.Conn) error { return c.Join("room") })
		}
		here, there := wsroutertest.Connect(t, a, nil), wsroutertest.Connect(t, b, nil)
		local := a.To("room").Local()
		require.NoError(t, local.Emit("hello"))
		require.NoError(t, local.Join("joined"))
		require.NoError(t, local.Leave("room"))
		here.Expect("hello", nil)
		members, err := a.Except().Local().Find(t.Context())
		require.NoError(t, err)
		require.Len(t, members, 1)
		assert.Equal(t, []string{"joined"}, members[0].Rooms)
		require.NoError(t, a.Except().Local().Disconnect(3000, "bye"))
		here.ExpectClose(3000)
		there.ExpectNothing()
		for c := range b.Conns() {
			assert.Equal(t, []string{"room"}, c.Rooms())
		}
	})
}

// Whatever a Broker does, the connections of this process are served.
func TestLocalDeliveryGoesOnWithoutABroker(t *testing.T) {
	for name, broker := range map[string]broker.Broker{
		"that fails": brokerFunc(func(context.Context, broker.Node) (broker.Subscription, error) { return nil, errors.New("no") }),
		"that is away": brokerFunc(func(context.Context, broker.Node) (broker.Subscription, error) {
			return newLonely(), nil
		}),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := inCluster(broker)
				r.OnConnect(func(c *wsrouter.Conn) error { return c.Join("here") })
				client := wsroutertest.Connect(t, r, nil)
				here := r.To("here")
				require.NoError(t, here.Emit("hello"))
				client.Expect("hello", nil)
				assert.ErrorIs(t, here.Join("there"), wsrouter.ErrUnreached)
				assert.True(t, wsrouter.NodeOf(r).HasRoom("there"))
				assert.ErrorIs(t, here.Leave("there"), wsrouter.ErrUnreached)
				assert.NoError(t, here.Local().Join("there"))
				members, err := here.Find(t.Context())
				assert.ErrorIs(t, err, wsrouter.ErrUnreached)
				assert.Len(t, members, 1)
				assert.ErrorIs(t, here.Disconnect(3000, "bye"), wsrouter.ErrUnreached)
				client.ExpectClose(3000)
			})
		})
	}
}

func TestApplyRefusesWhatIsNoOperation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := wsrouter.New(nil)
		client := wsroutertest.Connect(t, r, nil)
		for _, op := range []broker.Operation{
			{},
			{Kind: 99},
			{Kind: broker.OpEmit},
			{Kind: broker.OpEmit, Event: "disconnect"},
			{Kind: broker.OpJoin, Rooms: []string{""}},
			{Kind: broker.OpDisconnect, Code: 1},
		} {
			assert.Error(t, wsrouter.NodeOf(r).Apply(&op), "%+v", op)
		}
		client.ExpectNothing()
		require.NoError(t, wsrouter.NodeOf(r).Apply(&broker.Operation{Kind: broker.OpDisconnect}))
		client.ExpectClose(wsrouter.CloseNormal)
	})
}
