package redisbroker_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/rueidis"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wsrouter/wsrouter"
	"github.com/wsrouter/wsrouter/broker"
	"github.com/wsrouter/wsrouter/internal/redistest"
	"github.com/wsrouter/wsrouter/redisbroker"
	"github.com/wsrouter/wsrouter/wsroutertest"
)

func optionFor(addr string) rueidis.ClientOption {
	return rueidis.ClientOption{InitAddress: []string{addr}, DisableCache: true, ForceSingleClient: true}
}

// newBroker returns a broker that is closed after the test.
func newBroker(t *testing.T, addr string, opts *redisbroker.Options) *redisbroker.Broker {
	t.Helper()
	if opts == nil {
		opts = &redisbroker.Options{}
	}
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	if opts.RequestTimeout == 0 {
		opts.RequestTimeout = patient
	}
	b, err := redisbroker.New(optionFor(addr), opts)
	require.NoError(t, err)
	t.Cleanup(func() { b.Close() })
	return b
}

func newNode(t *testing.T, b broker.Broker) *wsrouter.Router {
	t.Helper()
	r := wsrouter.New(&wsrouter.Options{Broker: b, Logger: slog.New(slog.DiscardHandler)})
	t.Cleanup(func() { r.Close() })
	r.OnConnect(func(c *wsrouter.Conn) error { return c.Join("room") })
	return r
}

// connect returns a client that has been let in. It can double numbers, and stays
// silent when asked to.
func connect(t *testing.T, r *wsrouter.Router) *wsroutertest.Client {
	t.Helper()
	before := r.Stats().Connects
	handlers := wsrouter.New(nil)
	wsrouter.Handle(handlers, "double", func(c *wsrouter.Context, n int) (int, error) { return 2 * n, nil })
	handlers.On("silence", func(c *wsrouter.Context) error {
		c.Yield()
		<-c.Context().Done()
		return nil
	})
	client := wsroutertest.Connect(t, r, &wsrouter.DialOptions{Router: handlers})
	eventually(t, func() bool { return r.Stats().Connects > before })
	return client
}

// hasRoom reports whether any connection of the node is in a room.
func hasRoom(r *wsrouter.Router, room string) bool { return r.To(room).Count() > 0 }

// capture is a Broker that hands its node to the test and reaches nobody.
type capture chan broker.Node

func (c capture) Subscribe(_ context.Context, n broker.Node) (broker.Subscription, error) {
	c <- n
	return alone{}, nil
}

type alone struct{}

func (alone) Publish(*broker.Operation) error { return nil }
func (alone) Close() error                    { return nil }

// bystander returns a node outside any cluster.
func bystander(t *testing.T) broker.Node {
	t.Helper()
	nodes := make(capture, 1)
	require.NoError(t, newNode(t, nodes).Emit("wake")) // subscribes
	return <-nodes
}

func eventually(t *testing.T, condition func() bool) {
	t.Helper()
	require.Eventually(t, condition, 20*time.Second, time.Millisecond)
}

func newClient(t *testing.T, addr string) rueidis.Client {
	t.Helper()
	client, err := rueidis.NewClient(optionFor(addr))
	require.NoError(t, err)
	t.Cleanup(client.Close)
	return client
}

func TestTwoNodes(t *testing.T) {
	addr := redistest.Start(t).Addr
	a, b := newNode(t, newBroker(t, addr, nil)), newNode(t, newBroker(t, addr, nil))
	ca, cb := connect(t, a), connect(t, b)
	require.NoError(t, a.To("room").Emit("hello", "all", 1.5))
	ca.Expect("hello", []any{"all", 1.5})
	cb.Expect("hello", []any{"all", 1.5})

	for c := range b.Conns() {
		require.NoError(t, c.SetData(map[string]string{"name": "b"}))
	}
	members, err := a.Find(t.Context())
	require.NoError(t, err)
	require.Len(t, members, 2)
	assert.Equal(t, []string{"room"}, members[1].Rooms)
	assert.JSONEq(t, `{"name":"b"}`, string(members[1].Data))
	id := members[1].ID

	require.NoError(t, a.To(id).Join("other"))
	require.NoError(t, a.To("other").Emit("you"))
	cb.Expect("you", nil)
	require.NoError(t, a.To(id).Leave("other"))
	require.NoError(t, a.To("other", id).Except("other").Emit("still you"))
	cb.Expect("still you", nil)
	require.NoError(t, a.To(id).Disconnect(4000, "bye"))
	cb.ExpectClose(wsrouter.CloseNormal)
}

func TestEmitter(t *testing.T) {
	addr := redistest.Start(t).Addr
	r := newNode(t, newBroker(t, addr, nil))
	client := connect(t, r)
	emitter := redisbroker.NewEmitter(newClient(t, addr), nil)
	ctx := t.Context()
	require.NoError(t, emitter.Emit(ctx, "a", "to all"))
	client.Expect("a", "to all")
	require.NoError(t, emitter.To().Emit(ctx, "nobody"))
	require.NoError(t, emitter.To("room").Join(ctx, "more"))
	require.NoError(t, emitter.To("more").Emit(ctx, "b", []byte("bytes")))
	client.Expect("b", "Ynl0ZXM=")
	require.NoError(t, emitter.To("room").Leave(ctx, "more"))
	require.NoError(t, emitter.To("more").Emit(ctx, "nobody"))
	require.NoError(t, emitter.Of("/other").Emit(ctx, "nobody"))
	require.NoError(t, emitter.To("room").Except("x").Volatile().Emit(ctx, "c"))
	client.Expect("c", nil)
	require.NoError(t, emitter.Disconnect(ctx))
	client.ExpectClose(wsrouter.CloseNormal)
	assert.Error(t, emitter.Emit(ctx, "d", make(chan int)))
	assert.ErrorContains(t, emitter.Emit(ctx, "disconnect"), "reserved")
}

func TestANodeStartsWithoutRedis(t *testing.T) {
	server := redistest.Start(t)
	server.Stop()
	states := make(chan error, 10)
	broker := newBroker(t, server.Addr, &redisbroker.Options{OnState: func(err error) { states <- err }})
	r := newNode(t, broker)
	begin := time.Now()
	client := connect(t, r)
	assert.Less(t, time.Since(begin), 8*time.Second)
	require.Error(t, <-states)
	require.NoError(t, r.Emit("here"))
	client.Expect("here", nil)
	assert.ErrorIs(t, r.To("room").Join("other"), wsrouter.ErrUnreached)
	assert.Positive(t, r.Stats().Broker.Away)

	server.Restart()
	require.NoError(t, <-states)
	other := newNode(t, newBroker(t, server.Addr, nil))
	connect(t, other)
	eventually(t, func() bool { members, err := other.Find(t.Context()); return err == nil && len(members) == 2 })
	require.NoError(t, other.Emit("there"))
	client.Expect("there", nil)
}

// lines keeps what is logged.
type lines struct {
	mu   sync.Mutex // guards text
	text []string
}

func (l *lines) logger() *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text = append(l.text, string(b))
	return len(b), nil
}

// count returns how many lines contain the words.
func (l *lines) count(words string) (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, line := range l.text {
		if strings.Contains(line, words) {
			n++
		}
	}
	return n
}

// A shared client stays with its owner.
func TestNewWithClient(t *testing.T) {
	client, err := rueidis.NewClient(rueidis.ClientOption{InitAddress: []string{redistest.Start(t).Addr}})
	require.NoError(t, err)
	defer client.Close()
	opts := &redisbroker.Options{Logger: slog.New(slog.DiscardHandler)}
	ba, bb := redisbroker.NewWithClient(client, opts), redisbroker.NewWithClient(client, opts)
	defer bb.Close()
	a, b := newNode(t, ba), newNode(t, bb)
	connect(t, a)
	cb := connect(t, b)
	require.NoError(t, a.To("room").Emit("e"))
	cb.Expect("e", nil)
	members, err := b.Find(t.Context())
	require.NoError(t, err)
	assert.Len(t, members, 2)
	require.NoError(t, a.Close())
	require.NoError(t, ba.Close())
	require.NoError(t, client.Do(t.Context(), client.B().Ping().Build()).Error())
	members, err = b.Find(t.Context())
	require.NoError(t, err)
	assert.Len(t, members, 1)
	assert.Zero(t, b.Stats().Broker.Away)
}

func TestEmitSaysWhatIsTooDeep(t *testing.T) {
	r := newNode(t, newBroker(t, redistest.Start(t).Addr, nil))
	client := connect(t, r)
	deep := json.RawMessage(strings.Repeat("[", 600) + strings.Repeat("]", 600))
	assert.ErrorContains(t, r.Emit("deep", deep), "nested deeper")
	assert.Equal(t, "deep", client.Next(nil), "those of this process have it")
	wide := json.RawMessage("[" + strings.Repeat("[],", 1000) + "{}]")
	assert.NoError(t, r.Emit("wide", wide))
}
