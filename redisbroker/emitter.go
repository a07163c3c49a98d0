package redisbroker

import (
	"context"
	"fmt"
	"slices"

	"github.com/redis/rueidis"
	"github.com/wsrouter/wsrouter/broker"
	"github.com/wsrouter/wsrouter/payload"
)

// Emitter publishes to a cluster without being a node of it, as
// @socket.io/redis-emitter does: for cron jobs, workers and command lines. It is a
// value that selects, as a [wsrouter.Target] does: its methods return changed
// copies, and it may be used concurrently. A new one selects everyone in the
// namespace "/".
//
//	emitter := redisbroker.NewEmitter(client, nil)
//	err := emitter.To("user:7").Emit(ctx, "paid", invoice)
//
// Its operations wait for Redis until it has taken them, or ctx ends; the client's
// ConnWriteTimeout and Dialer.Timeout bound that, too. That it has taken them says
// nothing of whether any node, or client, was there.
type Emitter struct {
	client    rueidis.Client
	key       string
	namespace string
	some      bool
	to        broker.Selection
	volatile  bool
}

// NewEmitter returns an Emitter that uses a client, which stays the caller's. Of
// the options only Key counts; nil is the default.
func NewEmitter(client rueidis.Client, opts *Options) Emitter {
	return Emitter{client: client, key: opts.withDefaults().Key, namespace: "/"}
}

// Of selects a namespace by its full name, as "/chat".
func (e Emitter) Of(namespace string) Emitter {
	e.namespace = namespace
	return e
}

// To adds the connections in any of the rooms. Without rooms it adds nobody.
func (e Emitter) To(rooms ...string) Emitter {
	e.some = true
	e.to.Rooms = append(slices.Clip(e.to.Rooms), rooms...)
	return e
}

// Except takes out the connections that are in any of the rooms.
func (e Emitter) Except(rooms ...string) Emitter {
	e.to.Except = append(slices.Clip(e.to.Except), rooms...)
	return e
}

// Volatile makes nodes drop an Emit for a client that reads too slowly, instead of
// closing it.
func (e Emitter) Volatile() Emitter {
	e.volatile = true
	return e
}

// Emit sends an event to the selected connections. Event and arguments are as of
// [wsrouter.Target.Emit].
func (e Emitter) Emit(ctx context.Context, event string, args ...any) error {
	if isReserved(event) {
		return fmt.Errorf("redisbroker: event name %q is reserved", event)
	}
	op := &broker.Operation{Kind: broker.OpEmit, To: e.to, Event: event, Volatile: e.volatile}
	for _, arg := range args {
		encoded, err := payload.Encode(arg)
		if err != nil {
			return fmt.Errorf("redisbroker: encode %q: %w", event, err)
		}
		op.Args = append(op.Args, encoded)
	}
	if err := checkNames(op); err != nil {
		return err
	}
	data, err := appendBroadcast(nil, emitterUID, e.namespace, op)
	if err != nil {
		return err
	}
	return e.publish(ctx, channelsOf(e.key, e.namespace, emitterUID).of(e.to), data)
}

// isReserved reports whether clients would take the event for garbage, and close.
func isReserved(event string) bool {
	switch event {
	case "", "connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener":
		return true
	}
	return false
}

// Join adds the selected connections to rooms.
func (e Emitter) Join(ctx context.Context, rooms ...string) error {
	return e.operate(ctx, &broker.Operation{Kind: broker.OpJoin, Rooms: rooms})
}

// Leave takes the selected connections out of rooms.
func (e Emitter) Leave(ctx context.Context, rooms ...string) error {
	return e.operate(ctx, &broker.Operation{Kind: broker.OpLeave, Rooms: rooms})
}

// Disconnect closes the selected connections with code 1000.
func (e Emitter) Disconnect(ctx context.Context) error {
	return e.operate(ctx, &broker.Operation{Kind: broker.OpDisconnect})
}

func (e Emitter) operate(ctx context.Context, op *broker.Operation) error {
	if op.Kind != broker.OpDisconnect && len(op.Rooms) == 0 {
		return nil
	}
	op.To = e.to
	if err := checkNames(op); err != nil {
		return err
	}
	data, err := payload.AppendJSON(nil, operationRequest("", op))
	if err != nil {
		return err
	}
	return e.publish(ctx, channelsOf(e.key, e.namespace, emitterUID).request, data)
}

func (e Emitter) publish(ctx context.Context, channel string, data []byte) error {
	if e.some && len(e.to.Rooms) == 0 {
		return nil // nobody
	}
	command := e.client.B().Publish().Channel(channel).Message(rueidis.BinaryString(data)).Build()
	if err := e.client.Do(ctx, command).Error(); err != nil {
		return fmt.Errorf("redisbroker: publish: %w", err)
	}
	return nil
}
