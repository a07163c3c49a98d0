package redisbroker

import (
	"context"
	"fmt"
	"sync"

	"github.com/redis/rueidis"
	"github.com/wsrouter/wsrouter/broker"
)

// queue holds what is to be published, in order. Publishers never wait.
type queue struct {
	limit int

	mu    sync.Mutex // guards what follows
	items []item
	bytes int           // of items, including those being sent
	idle  chan struct{} // closed when there are none; nil if nobody waits

	filled chan struct{} // holds a token when items were added
}

// item is one message. What is expensive to encode is encoded by the goroutine that
// sends it.
type item struct {
	channel string
	size    int // bytes that encode holds
	kind    itemKind
	encode  func() ([]byte, error)
}

type itemKind uint8

const (
	emit    itemKind = iota // kept while Redis is unreachable
	request                 // not kept: nobody is moved, or asked, late
	answer                  // not kept either, and leaves half of the queue to others
)

// itemOverhead is what an item costs besides its bytes.
const itemOverhead = 200

func newQueue(limit int) *queue {
	return &queue{limit: limit, filled: make(chan struct{}, 1)}
}

// add reports false if there is no room.
func (q *queue) add(it item) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	it.size += itemOverhead
	limit := q.limit
	if it.kind == answer {
		limit /= 2
	}
	if q.bytes > 0 && q.bytes+it.size > limit {
		return false
	}
	q.items = append(q.items, it)
	q.bytes += it.size
	select {
	case q.filled <- struct{}{}:
	default:
	}
	return true
}

// maxBatch is how many bytes are sent to Redis at once.
const maxBatch = 256 << 10

// take returns the next items. It waits for them until ctx ends or the connection
// is lost.
func (q *queue) take(ctx context.Context, lost <-chan error) ([]item, error) {
	for {
		select {
		case err := <-lost:
			return nil, gone(err)
		default:
		}
		if batch := q.next(); len(batch) > 0 {
			return batch, nil
		}
		select {
		case <-q.filled:
		case err := <-lost:
			return nil, gone(err)
		case <-ctx.Done():
			return nil, errDone
		}
	}
}

func (q *queue) next() []item {
	q.mu.Lock()
	defer q.mu.Unlock()
	n, size := 0, 0
	for n < len(q.items) && size < maxBatch {
		size += q.items[n].size
		n++
	}
	batch := q.items[:n:n]
	if q.items = q.items[n:]; len(q.items) == 0 {
		q.items = nil
	}
	return batch
}

// forget drops what is not kept, and returns how many items that were.
func (q *queue) forget() (dropped int64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	kept := q.items[:0:0]
	for _, it := range q.items {
		if it.kind != emit {
			q.freeLocked(it)
			dropped++
			continue
		}
		kept = append(kept, it)
	}
	q.items = kept
	return dropped
}

// sent frees the space of a batch.
func (q *queue) sent(batch []item) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, it := range batch {
		q.freeLocked(it)
	}
}

func (q *queue) freeLocked(it item) {
	if q.bytes -= it.size; q.bytes == 0 && q.idle != nil {
		close(q.idle)
		q.idle = nil
	}
}

func (q *queue) size() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.bytes
}

// drain waits until the queue is empty or ctx ends, and reports whether it is
// empty.
func (q *queue) drain(ctx context.Context) bool {
	q.mu.Lock()
	if q.bytes == 0 {
		q.mu.Unlock()
		return true
	}
	if q.idle == nil {
		q.idle = make(chan struct{})
	}
	idle := q.idle
	q.mu.Unlock()
	select {
	case <-idle:
		return true
	case <-ctx.Done():
		return false
	}
}

// drain waits until what is queued has been sent, for at most RequestTimeout. It
// reports whether Redis seems to be reachable.
func (b *Broker) drain() bool {
	if b.health.isDown(publishing) {
		return false
	}
	ctx, cancel := context.WithTimeout(b.ctx, b.opts.RequestTimeout)
	defer cancel()
	return b.queue.drain(ctx)
}

// enqueue puts a message into the queue.
func (b *Broker) enqueue(it item) error {
	if b.ctx.Err() != nil {
		return broker.ErrUnreached
	}
	if it.kind != emit && b.health.isDown(publishing) {
		b.dropped.Add(1)
		return fmt.Errorf("%w: Redis is unreachable", broker.ErrUnreached)
	}
	if !b.queue.add(it) {
		b.dropped.Add(1)
		return fmt.Errorf("%w: the queue is full", broker.ErrUnreached)
	}
	return nil
}

// publish sends what is in the queue, over one connection to keep the order.
func (b *Broker) publish() {
	b.retry(b.ctx, publishing, func() (err error) {
		client := b.conn(b.ctx)
		if client == nil {
			return errDone
		}
		conn, release := client.Dedicate()
		defer func() {
			if err != errDone {
				b.health.down(publishing, err) // before release, which may wait for Redis
			}
			release()
		}()
		// Nothing is subscribed. The hooks report a lost connection before
		// something is sent on it.
		lost := conn.SetPubSubHooks(rueidis.PubSubHooks{OnMessage: func(rueidis.PubSubMessage) {}})
		if err := b.ping(b.ctx, conn); err != nil {
			return err
		}
		b.health.up(publishing)
		for {
			batch, err := b.queue.take(b.ctx, lost)
			if err != nil {
				return err
			}
			err = b.send(b.ctx, conn, batch)
			b.queue.sent(batch)
			if err != nil {
				return err
			}
		}
	})
}

func (b *Broker) ping(ctx context.Context, conn rueidis.DedicatedClient) error {
	ctx, cancel := context.WithTimeout(ctx, b.opts.RequestTimeout)
	defer cancel()
	return conn.Do(ctx, conn.B().Ping().Build()).Error()
}

// send publishes a batch. An error means that the connection is unusable and that
// it is unknown how much of the batch has arrived; it is not sent again.
func (b *Broker) send(ctx context.Context, conn rueidis.DedicatedClient, batch []item) (lost error) {
	var refused error
	commands := make(rueidis.Commands, 0, len(batch))
	for _, it := range batch {
		data, err := it.encode()
		if err != nil {
			b.dropped.Add(1)
			refused = err
			continue
		}
		commands = append(commands, conn.B().Publish().Channel(it.channel).Message(rueidis.BinaryString(data)).Build())
	}
	ctx, cancel := context.WithTimeout(ctx, b.opts.RequestTimeout)
	defer cancel()
	for _, result := range conn.DoMulti(ctx, commands...) {
		err := result.Error()
		if err == nil {
			b.published.Add(1)
			continue
		}
		b.dropped.Add(1)
		if _, ok := rueidis.IsRedisErr(err); ok {
			refused = err
			continue
		}
		lost = err
	}
	b.tellRefused(refused)
	return lost
}

// tellRefused logs only the first refusal, until a whole batch has been published.
func (b *Broker) tellRefused(err error) {
	if err != nil && !b.refused {
		b.opts.Logger.Error("redisbroker: Redis refuses messages, they are dropped", "err", err)
	}
	b.refused = err != nil
}
