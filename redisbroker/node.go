package redisbroker

import (
	"context"
	"errors"
	"strings"
	"sync"
	"time"

	"github.com/redis/rueidis"

	"github.com/wsrouter/wsrouter/broker"
	"github.com/wsrouter/wsrouter/payload"
)

// node is one namespace of one router in the cluster. It has a connection of its
// own, because other nodes count connections.
type node struct {
	b        *Broker
	of       broker.Node
	uid      string
	channels channels
	ctx      context.Context // ends with Close
	cancel   context.CancelFunc
	up       chan struct{} // closed when it is subscribed for the first time
	ended    chan struct{} // closed when its goroutine has ended
	working  sync.WaitGroup

	telling, emitting, calling slots         // the kinds of requests, see serve
	making                     chan struct{} // holds one token while tell makes an answer

	mu        sync.Mutex // guards what follows
	questions map[string]*question
}

// subscribeWait is how long Subscribe waits for Redis.
const subscribeWait = 3 * time.Second

// Subscribe implements [broker.Broker].
func (b *Broker) Subscribe(ctx context.Context, of broker.Node) (broker.Subscription, error) {
	uid := newID()
	n := &node{
		b: b, of: of, uid: uid, channels: channelsOf(b.opts.Key, of.Name(), uid),
		up: make(chan struct{}), ended: make(chan struct{}),
		making: make(chan struct{}, 1), questions: make(map[string]*question),
	}
	n.ctx, n.cancel = context.WithCancel(b.ctx)
	b.mu.Lock()
	if b.nodes == nil {
		b.mu.Unlock()
		n.cancel()
		return nil, errors.New("redisbroker: closed")
	}
	b.nodes[n] = struct{}{}
	b.wg.Go(n.run)
	b.mu.Unlock()
	patience := time.NewTimer(subscribeWait)
	defer patience.Stop()
	select {
	case <-n.up:
	case <-patience.C:
	case <-ctx.Done(): // the caller closes what it gets
	case <-n.ctx.Done():
	}
	return n, nil
}

// leaveWait is how long nodes that leave wait for Redis to confirm it, and for
// requests that are being answered.
const leaveWait = time.Second

// Close implements [broker.Subscription]. What has been published is sent first,
// for at most RequestTimeout; then Redis has leaveWait to confirm.
func (n *node) Close() error {
	n.b.drain()
	n.b.mu.Lock()
	delete(n.b.nodes, n)
	n.b.mu.Unlock()
	n.cancel()
	within(leaveWait, func() { <-n.ended; n.working.Wait() })
	return nil
}

// within waits until fn returns, but at most for d.
func within(d time.Duration, fn func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		fn()
	}()
	patience := time.NewTimer(d)
	defer patience.Stop()
	select {
	case <-done:
	case <-patience.C:
	}
}

// run keeps the node subscribed.
func (n *node) run() {
	defer close(n.ended)
	defer func() {
		if n.b.ctx.Err() == nil {
			n.b.health.up(n) // it no longer matters to anybody
		}
	}()
	n.b.retry(n.ctx, n, func() error {
		client := n.b.conn(n.ctx)
		if client == nil {
			return errDone
		}
		err := n.subscribed(client)
		if n.ctx.Err() != nil {
			return errDone
		}
		return err
	})
}

// subscribed subscribes, and returns when the connection is lost or ctx ends.
func (n *node) subscribed(client rueidis.Client) (err error) {
	conn, release := client.Dedicate()
	defer func() {
		if n.ctx.Err() == nil {
			n.b.health.down(n, err) // before release, which may wait for Redis
		}
		release()
	}()
	channels := []string{n.channels.request, n.channels.response, n.channels.own}
	confirmed := make(chan struct{}, 1+len(channels))
	lost := conn.SetPubSubHooks(rueidis.PubSubHooks{
		OnMessage: n.receive,
		OnSubscription: func(s rueidis.PubSubSubscription) {
			if s.Kind == "subscribe" || s.Kind == "psubscribe" {
				select {
				case confirmed <- struct{}{}:
				default:
				}
			}
		},
	})
	ctx, cancel := context.WithTimeout(n.ctx, n.b.opts.RequestTimeout)
	defer cancel()
	// The key selects a master in a Redis Cluster: some nodes count at masters
	// only.
	if err := conn.Do(ctx, conn.B().Arbitrary("PING").Keys(n.channels.request).Build()).Error(); err != nil {
		return err
	}
	err = conn.Do(ctx, conn.B().Psubscribe().Pattern(escapePattern(n.channels.broadcast)+"*").Build()).Error()
	if err != nil {
		return err
	}
	if err := conn.Do(ctx, conn.B().Subscribe().Channel(channels...).Build()).Error(); err != nil {
		return err
	}
	for range cap(confirmed) {
		select {
		case <-confirmed:
		case err := <-lost:
			return gone(err)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	n.b.health.up(n)
	select {
	case <-n.up:
	default:
		close(n.up)
	}
	select {
	case err := <-lost:
		return gone(err)
	case <-n.ctx.Done():
		return nil
	}
}

func gone(err error) error {
	if err == nil {
		return errors.New("redisbroker: connection lost")
	}
	return err
}

// escapePattern returns a pattern that matches exactly that text.
func escapePattern(s string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`, `]`, `\]`).Replace(s)
}

// Publish implements [broker.Subscription].
func (n *node) Publish(op *broker.Operation) error {
	if n.ctx.Err() != nil {
		return broker.ErrUnreached
	}
	if err := checkNames(op); err != nil {
		return err
	}
	if op.Kind == broker.OpEmit {
		encode := func() ([]byte, error) { return appendBroadcast(nil, n.uid, n.of.Name(), op) }
		if mayBeDeep(op.Args) { // tells the emitter at once
			if _, err := encode(); err != nil {
				return err
			}
		}
		return n.b.enqueue(item{channel: n.channels.of(op.To), size: op.Size(), encode: encode})
	}
	if (op.Kind == broker.OpJoin || op.Kind == broker.OpLeave) && len(op.Rooms) == 0 {
		return nil
	}
	return n.b.enqueueJSON(request, n.channels.request, operationRequest(n.uid, op))
}

// enqueueJSON puts a request or an answer into the queue.
func (b *Broker) enqueueJSON(kind itemKind, channel string, v any) error {
	data, err := payload.AppendJSON(nil, v)
	if err != nil {
		return err
	}
	return b.enqueueBytes(kind, channel, data)
}

func (b *Broker) enqueueBytes(kind itemKind, channel string, data []byte) error {
	encode := func() ([]byte, error) { return data, nil }
	return b.enqueue(item{channel: channel, size: cap(data), kind: kind, encode: encode})
}

// receive is called for each message, one after another. It does not block.
func (n *node) receive(msg rueidis.PubSubMessage) {
	if n.ctx.Err() != nil {
		return
	}
	var err error
	switch {
	case msg.Pattern != "":
		err = n.receiveBroadcast(msg)
	case msg.Channel == n.channels.request:
		err = n.receiveRequest(bytesOf(msg.Message))
	case msg.Channel == n.channels.response, msg.Channel == n.channels.own:
		err = n.receiveAnswer(bytesOf(msg.Message))
	}
	if err != nil {
		n.b.malformed.Add(1)
	}
}

func (n *node) receiveBroadcast(msg rueidis.PubSubMessage) error {
	room, ok := strings.CutPrefix(msg.Channel, n.channels.broadcast)
	if !ok {
		return nil
	}
	if room = strings.TrimSuffix(room, "#"); room != "" && !n.of.HasRoom(room) {
		return nil // not even decoded
	}
	m, err := readBroadcast(bytesOf(msg.Message), n.b.opts.MaxMessage)
	if err != nil || m.uid == n.uid || !m.isFor(n.of.Name()) {
		return err
	}
	event, args, ok := m.event()
	if !ok {
		return errMalformed
	}
	n.b.received.Add(1)
	return n.of.Apply(&broker.Operation{
		Kind: broker.OpEmit, To: m.to, Event: event, Args: args, Volatile: m.volatile,
	})
}
