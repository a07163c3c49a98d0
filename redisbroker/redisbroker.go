// Package redisbroker joins wsrouter's routers through Redis, in the format of the
// classic @socket.io/redis-adapter. Nodes in Go and nodes on Node.js, with
// Socket.IO's server or NestJS's RedisIoAdapter, form one cluster in which each
// reaches the clients of all.
//
//	broker, err := redisbroker.New(rueidis.ClientOption{InitAddress: []string{"redis:6379"}}, nil)
//	router := wsrouter.New(&wsrouter.Options{Broker: broker})
//	…
//	errors.Join(router.Shutdown(ctx), server.Shutdown(ctx), broker.Close())
//
// A service starts and serves its own clients even while Redis is unreachable; its
// nodes join as soon as Redis can be reached. See [broker.Broker] for what is
// promised until then.
//
// # Trust
//
// Whoever has access to this Redis can send to every client, read what is sent,
// move clients between rooms and disconnect them. Use an ACL and TLS if others have
// access. Input is treated as hostile: no input ends a process or takes unbounded
// memory, see [Options.MaxMessage]. The size of a message within Redis is limited
// by its proto-max-bulk-len, 512 MiB by default. Of each client, other nodes see
// the id, rooms, address, what wsrouter.Conn.SetData has set, and the headers Host,
// Origin and User-Agent. They see neither cookies, nor authorization, nor the
// connect payload.
//
// # With Node.js
//
// All nodes use the same [Options.Key]. Servers on Node.js use createAdapter (not
// createShardedAdapter, which uses another format); so does the RedisIoAdapter of
// NestJS's documentation, unchanged. Close codes and reasons are not transmitted,
// and numbers may be written differently (1.0 becomes 1). A Date from Node.js
// arrives as its ISO string, bytes arrive as bytes. Room names are strings: a room
// that Node.js names with a number is found here, but not the other way around.
//
// A node counts the others by asking Redis how many subscribe to its request
// channel. If anything else subscribes to that channel, every request in the
// cluster waits for its timeout.
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

// Options configure a [Broker] and an [Emitter]. The zero value has the defaults of
// @socket.io/redis-adapter.
type Options struct {
	// Key is the prefix of all channels; empty means "socket.io". Clusters with
	// different keys can share one Redis without noticing each other.
	Key string

	// Logger logs when Redis becomes unreachable or reachable again, and what it
	// refuses. Nil means slog.Default().
	Logger *slog.Logger

	// OnState is called with the reason when Redis has become unreachable, and with
	// nil when it is reachable again. Calls do not overlap. OnState should return
	// quickly and must not close the broker.
	OnState func(away error)

	// QueueBytes is how many bytes of memory may be held by what waits to be
	// published, including rooms and arguments; zero means 8 MiB. What does not fit
	// is dropped and counted.
	QueueBytes int

	// MaxMessage limits, in bytes, a message from another node, and also what is
	// built from it in memory; zero means 8 MiB. A larger message is dropped and
	// counted as malformed. The largest are answers to a Find: some 350 bytes for
	// each connection of a node.
	MaxMessage int

	// RequestTimeout is how long a request waits for the answers of other nodes,
	// and how long a command waits for Redis; zero means 5 s. A request of another
	// node waits for the clients of this one for as long, or for less if that node
	// does.
	RequestTimeout time.Duration

	// PublishOnSpecificResponseChannel sends answers only to the node that asked.
	// Nodes understand such answers whether they use the option or not. Nodes on
	// Node.js have an option with the same name.
	PublishOnSpecificResponseChannel bool

	// ServerSideEmit answers a serverSideEmit from Node.js in the namespace with
	// that full name; its result is encoded as JSON. If it is nil, the answer is
	// null, at once. If it returns an error, the error is logged, and the requester
	// gets no answer until its timeout. It may be called concurrently.
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

// Broker is a [broker.Broker] on Redis. Make one with [New] or [NewWithClient]; all
// methods are safe for concurrent use. Each namespace of each router that uses it
// has its own connection, and all share one for publishing.
type Broker struct {
	opts   Options
	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	dial   func() (rueidis.Client, error) // nil if the caller supplied the client
	wg     sync.WaitGroup
	queue  *queue
	health *health

	sockets sockets // of our own client

	connected chan struct{} // closed when client is set
	client    rueidis.Client

	mu    sync.Mutex // guards nodes
	nodes map[*node]struct{}

	refused bool // used by publish's goroutine only

	published, received, dropped, malformed atomic.Int64
}

// New returns a broker that connects as option says: to a single Redis, through
// Sentinel, or to a Redis Cluster, with or without TLS. opts may be nil. New does
// not wait for Redis; an error means that option is invalid.
func New(option rueidis.ClientOption, opts *Options) (*Broker, error) {
	if len(option.InitAddress) == 0 {
		return nil, errors.New("redisbroker: no address in ClientOption.InitAddress")
	}
	option.DisableRetry = true // nothing may arrive twice
	option.DisableCache = true // nothing is read, and old servers do not support it
	b := newBroker(opts)
	if option.ConnWriteTimeout == 0 {
		option.ConnWriteTimeout = b.opts.RequestTimeout
	}
	if option.BlockingPoolSize == 0 {
		option.BlockingPoolSize = 1 << 20 // each node keeps one connection: nobody must wait for one
	}
	b.sockets.track(&option)
	b.dial = func() (rueidis.Client, error) { return rueidis.NewClient(option) }
	b.wg.Go(b.connect)
	b.wg.Go(b.publish)
	return b, nil
}

// NewWithClient returns a broker that uses the given client. The caller keeps
// ownership of the client and closes it after the broker. opts may be nil.
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

// connect makes the client once Redis can be reached.
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

// Waits between attempts to reach Redis.
const (
	firstRetry = 50 * time.Millisecond
	lastRetry  = 2 * time.Second
)

// errDone ends a retry.
var errDone = errors.New("redisbroker: done")

// retry calls attempt until it returns errDone or ctx ends. After an attempt that
// went well for a while the next one follows soon.
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
// Redis one second to confirm that they have left. Then it ends all connections.
// When it returns, nothing of the broker is left, except calls of ServerSideEmit
// that have not returned and whatever a client supplied by the caller still waits
// for. Shut the routers down first. Close returns nil.
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

// newID returns six characters, like the uids and request ids of Node.js.
func newID() string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	var b [6]byte
	rand.Read(b[:])
	for i := range b {
		b[i] = alphabet[b[i]%byte(len(alphabet))]
	}
	return string(b[:])
}
