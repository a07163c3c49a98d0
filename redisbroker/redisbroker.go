// Package redisbroker joins wsrouter's routers through Redis, in the format of
// the classic @socket.io/redis-adapter: nodes in Go and nodes on Node.js, with
// Socket.IO's server or NestJS's RedisIoAdapter, make one cluster, in which each
// reaches the clients of all.
//
//	broker, err := redisbroker.New(rueidis.ClientOption{InitAddress: []string{"redis:6379"}}, nil)
//	router := wsrouter.New(&wsrouter.Options{Broker: broker})
//	…
//	errors.Join(router.Shutdown(ctx), server.Shutdown(ctx), broker.Close())
//
// The service starts, and serves its own clients, while Redis is away: the nodes
// join when it is there. See [broker.Broker] for what is promised then.
//
// # Trust
//
// Whoever may publish in this Redis may send to every client, read what is sent,
// move clients into rooms and disconnect them: use an ACL and TLS where others
// have access. What comes in is read as hostile: it ends no process and grows
// without bound nowhere, see [Options.MaxMessage]; how large a message Redis itself
// takes is its proto-max-bulk-len, 512 MiB unless it is set. Of a client others see id, rooms, what [wsrouter.Conn.SetData]
// has set, address, and the headers Host, Origin and User-Agent: neither cookies,
// nor authorization, nor the connect payload.
//
// # With Node.js
//
// All nodes have the same [Options.Key], and their servers use createAdapter (not
// createShardedAdapter, which speaks another language); the RedisIoAdapter of
// NestJS's documentation does, and stays as it is. Close codes and reasons
// do not travel, and the JSON of numbers may change (1.0 becomes 1). A date of
// Node.js arrives as its ISO string, bytes as bytes. Rooms are texts: a room that
// Node.js names by a number is found here, but not the other way round.
//
// A node counts the others by asking Redis who is subscribed to its request
// channel: whoever subscribes to that for other purposes makes every question in
// the cluster wait for its timeout.
package redisbroker

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/rueidis"
	"github.com/wsrouter/wsrouter/broker"
)

// Options configure a [Broker], and an [Emitter]. The zero value is what
// @socket.io/redis-adapter has.
type Options struct {
	// Key is what all channels begin with; empty is "socket.io". Clusters with
	// different keys share one Redis and know nothing of each other.
	Key string

	// Logger is told when Redis goes away and comes back, and of what it refuses.
	// Nil is slog.Default().
	Logger *slog.Logger

	// OnState is called when Redis has gone away, with the reason, and with nil
	// when it is back. It is called from one goroutine at a time, should be quick
	// and must not close the broker.
	OnState func(away error)

	// QueueBytes is how much memory what waits to be published may hold, rooms and
	// arguments included; zero is 8 MiB. What does not fit is dropped, and counted.
	QueueBytes int

	// MaxMessage is how large a message of another node may be, and what is built
	// of it in memory, each in bytes; zero is 8 MiB. What is larger is dropped, and
	// counted as malformed. The largest are answers to a Find: some 350 bytes for
	// each connection of a node.
	MaxMessage int

	// RequestTimeout is how long a question waits for the answers of other nodes,
	// a command for Redis, and a question of another node for the clients of this
	// one, unless that node waits for a shorter time; zero is 5 s.
	RequestTimeout time.Duration

	// PublishOnSpecificResponseChannel has answers go to the node that asked, alone.
	// Nodes understand it whether they do so themselves or not; those on Node.js
	// have an option of the same name.
	PublishOnSpecificResponseChannel bool

	// ServerSideEmit answers a serverSideEmit of a node on Node.js; its result is
	// encoded as JSON. If it is nil the answer is null, at once. An error is logged,
	// and the asker gets no answer until its time is over. Calls run concurrently.
	ServerSideEmit func(namespace, event string, args []json.RawMessage) (any, error)
}

func (o *Options) withDefaults() Options {
	var c Options
	if o != nil {
		c = *o
	}
	if c.Key == "" {
		c.Key = "socket.io"
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if c.QueueBytes == 0 {
		c.QueueBytes = 8 << 20
	}
	if c.MaxMessage == 0 {
		c.MaxMessage = 8 << 20
	}
	if c.RequestTimeout == 0 {
		c.RequestTimeout = 5 * time.Second
	}
	return c
}

// Broker is a [broker.Broker] on Redis. Each namespace of each router that uses
// it has a connection of its own, and all share one to publish.
type Broker struct {
	opts   Options
	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	dial   func() (rueidis.Client, error) // nil if the client is the caller's
	wg     sync.WaitGroup
	queue  *queue
	health *health

	sockets sockets // of the client, unless that is the caller's

	connected chan struct{} // closed when client is set
	client    rueidis.Client

	mu    sync.Mutex // guards nodes
	nodes map[*node]struct{}

	refused bool // used by publish's goroutine alone

	published, received, dropped, malformed atomic.Int64
}

// New returns a broker that connects as option says: to a single Redis, by
// Sentinel, or to a Cluster, with TLS or without. It does not wait for Redis; the
// error says that option is wrong.
func New(option rueidis.ClientOption, opts *Options) (*Broker, error) {
	if len(option.InitAddress) == 0 {
		return nil, errors.New("redisbroker: no address in ClientOption.InitAddress")
	}
	option.DisableRetry = true // nothing is to arrive twice
	option.DisableCache = true // nothing is read, and old servers do not know it
	b := newBroker(opts)
	if option.ConnWriteTimeout == 0 {
		option.ConnWriteTimeout = b.opts.RequestTimeout
	}
	if option.BlockingPoolSize == 0 {
		option.BlockingPoolSize = 1 << 20 // each node keeps one: nobody is to wait for that
	}
	b.sockets.track(&option)
	b.dial = func() (rueidis.Client, error) { return rueidis.NewClient(option) }
	b.wg.Go(b.connect)
	b.wg.Go(b.publish)
	return b, nil
}

// NewWithClient returns a broker that uses a client, which stays the caller's: it
// is closed after the broker.
func NewWithClient(client rueidis.Client, opts *Options) *Broker {
	b := newBroker(opts)
	b.client = client
	close(b.connected)
	b.wg.Go(b.publish)
	return b
}

func newBroker(opts *Options) *Broker {
	b := &Broker{opts: opts.withDefaults(), connected: make(chan struct{}), nodes: make(map[*node]struct{})}
	b.ctx, b.cancel = context.WithCancel(context.Background())
	b.sockets.ctx = b.ctx
	b.queue = newQueue(b.opts.QueueBytes)
	b.health = newHealth(&b.opts)
	return b
}

// connect makes the client, when Redis is there.
func (b *Broker) connect() {
	b.retry(b.ctx, connecting, func() error {
		client, err := b.dial()
		if err != nil {
			return err
		}
		b.client = client
		close(b.connected)
		b.health.up(connecting)
		return errDone
	})
}

// conn waits for the client; nil means that the broker is closed.
func (b *Broker) conn(ctx context.Context) rueidis.Client {
	select {
	case <-b.connected:
		return b.client
	case <-ctx.Done():
		return nil
	}
}

// Times between attempts to reach Redis.
const (
	firstRetry = 50 * time.Millisecond
	lastRetry  = 2 * time.Second
)

// errDone ends a retry.
var errDone = errors.New("redisbroker: done")

// retry calls attempt until it returns errDone, or ctx is over. An attempt that
// went well for a while is followed by the next one soon.
func (b *Broker) retry(ctx context.Context, part any, attempt func() error) {
	for pause := firstRetry; ctx.Err() == nil; pause = min(2*pause, lastRetry) {
		begin := time.Now()
		err := attempt()
		if err == errDone || ctx.Err() != nil {
			return
		}
		b.health.down(part, err)
		if b.health.isDown(publishing) {
			b.dropped.Add(b.queue.forget())
		}
		if time.Since(begin) > lastRetry {
			pause = firstRetry
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
		}
	}
}

// BrokerStats implements [broker.Reporter].
func (b *Broker) BrokerStats() broker.Stats {
	return broker.Stats{
		Away:      b.health.away(),
		Queued:    b.queue.size(),
		Published: b.published.Load(),
		Received:  b.received.Load(),
		Dropped:   b.dropped.Load(),
		Malformed: b.malformed.Load(),
	}
}

// Close sends what waits, for at most RequestTimeout, ends all nodes, and gives
// Redis a second to confirm that they have left. Then it ends all connections, and
// returns when nothing of the broker is left but calls of ServerSideEmit that do
// not return, and what a client that is the caller's still waits for. Shut the
// routers down before. It returns nil.
func (b *Broker) Close() error {
	b.drain()
	b.mu.Lock()
	nodes := b.nodes
	b.nodes = nil
	b.mu.Unlock()
	for n := range nodes {
		n.cancel()
	}
	within(leaveWait, func() {
		for n := range nodes {
			<-n.ended
			n.working.Wait()
		}
	})
	b.cancel()
	b.sockets.close()
	within(b.opts.RequestTimeout, b.wg.Wait)
	select {
	case <-b.connected:
		if b.dial != nil {
			b.client.Close()
		}
	default:
	}
	return nil
}

// newID returns six characters, as the uids and request ids of Node.js are.
func newID() string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	var b [6]byte
	rand.Read(b[:])
	for i := range b {
		b[i] = alphabet[b[i]%byte(len(alphabet))]
	}
	return string(b[:])
}
