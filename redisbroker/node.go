package redisbroker

import (
	"context"
	"errors"
	"strings"
	"sync"
	"time"

	"github.com/redis/rueidis"

	"github.com/wsrouter/wsrouter"
)

// node is one namespace of one router in the cluster. It has a connection of its
// own: the others count them.
type node struct {
	b        *Broker
	router   *wsrouter.Router
	uid      string
	channels channels
	ctx      context.Context // ends with Close
	cancel   context.CancelFunc
	up       chan struct{} // closed when it is subscribed for the first time
	ended    chan struct{} // closed when its goroutine has ended
	serving  chan struct{} // has one for each question that is being answered, see serve
	working  sync.WaitGroup

	mu        sync.Mutex // guards what follows
	questions map[string]*question
}

// subscribeWait is how long Subscribe waits for Redis.
const subscribeWait = 3 * time.Second

// Subscribe implements [wsrouter.Broker].
func (b *Broker) Subscribe(r *wsrouter.Router) (wsrouter.Subscription, error) {
	uid := newID()
	n := &node{
		b: b, router: r, uid: uid, channels: channelsOf(b.opts.Key, r.Name(), uid),
		up: make(chan struct{}), ended: make(chan struct{}), serving: make(chan struct{}, maxServing),
		questions: make(map[string]*question),
	}
	n.ctx, n.cancel = context.WithCancel(b.ctx)
	b.mu.Lock()
	if b.nodes == nil {
		b.mu.Unlock()
		n.cancel()
		return nil, errors.New("redisbroker: closed")
	}
	b.nodes[n] = struct{}{}
	b.mu.Unlock()
	go n.run()
	select {
	case <-n.up:
	case <-time.After(subscribeWait):
	case <-n.ctx.Done():
	}
	return n, nil
}

// Close implements [wsrouter.Subscription]: what has been published is sent before.
func (n *node) Close() error {
	n.b.drain()
	n.b.mu.Lock()
	delete(n.b.nodes, n)
	n.b.mu.Unlock()
	n.stop()
	return nil
}

func (n *node) stop() {
	n.cancel()
	<-n.ended
	n.working.Wait()
}

// run keeps the node subscribed.
func (n *node) run() {
	defer close(n.ended)
	defer func() {
		if n.b.ctx.Err() == nil {
			n.b.health.up(n) // it is nobody's concern any more
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

// subscribed subscribes, and returns when the connection is lost, or ctx ends.
func (n *node) subscribed(client rueidis.Client) (err error) {
	conn, release := client.Dedicate()
	defer func() {
		if n.ctx.Err() == nil {
			n.b.health.down(n, err) // before release, which may have to wait for Redis
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
	// The key makes it a master in a Redis Cluster: some nodes count at masters only.
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

// escapePattern makes a pattern that matches just that text.
func escapePattern(s string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`, `]`, `\]`).Replace(s)
}

// Publish implements [wsrouter.Subscription].
func (n *node) Publish(op *wsrouter.Operation) error {
	if n.ctx.Err() != nil {
		return wsrouter.ErrUnreached
	}
	if op.Kind == wsrouter.OpEmit {
		encode := func() ([]byte, error) { return appendBroadcast(nil, n.uid, n.router.Name(), op) }
		if mayBeDeep(op.Args) { // whoever emits is told
			if _, err := encode(); err != nil {
				return err
			}
		}
		return n.b.enqueue(item{channel: n.channels.of(op.To), size: sizeOf(op), encode: encode})
	}
	if (op.Kind == wsrouter.OpJoin || op.Kind == wsrouter.OpLeave) && len(op.Rooms) == 0 {
		return nil
	}
	return n.b.enqueueJSON(n.channels.request, operationRequest(n.uid, op))
}

// enqueueJSON hands a request or an answer to the queue.
func (b *Broker) enqueueJSON(channel string, v any) error {
	data, err := wsrouter.AppendJSON(nil, v)
	if err != nil {
		return err
	}
	return b.enqueueUrgent(channel, data)
}

func (b *Broker) enqueueUrgent(channel string, data []byte) error {
	return b.enqueue(item{channel: channel, size: len(data), urgent: true, encode: func() ([]byte, error) { return data, nil }})
}

func sizeOf(op *wsrouter.Operation) int {
	size := len(op.Event)
	for _, arg := range op.Args {
		size += len(arg.JSON)
		for _, a := range arg.Attachments {
			size += len(a.Data)
		}
	}
	return size
}

// receive is called for each message, one after another. It waits for nobody.
func (n *node) receive(msg rueidis.PubSubMessage) {
	if n.ctx.Err() != nil {
		return
	}
	var err error
	switch {
	case msg.Pattern != "":
		err = n.receiveBroadcast(msg)
	case msg.Channel == n.channels.request:
		err = n.receiveRequest([]byte(msg.Message))
	case msg.Channel == n.channels.response, msg.Channel == n.channels.own:
		err = n.receiveAnswer([]byte(msg.Message))
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
	if room = strings.TrimSuffix(room, "#"); room != "" && !n.router.HasRoom(room) {
		return nil // not even decoded
	}
	m, err := readBroadcast([]byte(msg.Message))
	if err != nil || m.uid == n.uid || !m.isFor(n.router.Name()) {
		return err
	}
	event, args, ok := m.event()
	if !ok {
		return errMalformed
	}
	n.b.received.Add(1)
	return n.router.Apply(&wsrouter.Operation{
		Kind: wsrouter.OpEmit, To: m.to, Event: event, Args: args, Volatile: m.volatile,
	})
}
