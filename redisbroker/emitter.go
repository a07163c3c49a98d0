package redisbroker

import (
	"context"
	"fmt"
	"slices"

	"github.com/redis/rueidis"
	"github.com/wsrouter/wsrouter/broker"
	"github.com/wsrouter/wsrouter/payload"
)

// Emitter publishes to a cluster without being one of its nodes, as
// @socket.io/redis-emitter does: for cron jobs, workers and command-line tools.
// Like a wsrouter.Target it is a value: its methods return changed copies, and it
// is safe for concurrent use. Make one with [NewEmitter]. A new Emitter selects
// everyone in the namespace "/".
//
//	emitter := redisbroker.NewEmitter(client, nil)
//	err := emitter.To("user:7").Emit(ctx, "paid", invoice)
//
// Emit, Join, Leave, Disconnect and DisconnectTransport wait until Redis has
// accepted the operation or ctx ends; the client's ConnWriteTimeout and
// Dialer.Timeout bound the wait, too. Their error says that Redis did not confirm
// it, or that the arguments are invalid. A nil error does not mean that any node or
// client has received the operation.
type Emitter struct {
	client    rueidis.Client
	key       string
	namespace string
	some      bool
	to        broker.Selection
	volatile  bool
}

// NewEmitter returns an Emitter that uses the given client. The caller keeps
// ownership of the client. opts may be nil; only Key is used.
func NewEmitter(client rueidis.Client, opts *Options) Emitter {
	return Emitter{client: client, key: opts.withDefaults().Key, namespace: "/"}
}

// Of selects a namespace by its full name, such as "/chat".
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

// Except excludes the connections in any of the rooms.
func (e Emitter) Except(rooms ...string) Emitter {
	e.to.Except = append(slices.Clip(e.to.Except), rooms...)
	return e
}

// Volatile makes nodes drop an Emit for a client that reads too slowly, instead of
// closing the client as slow.
func (e Emitter) Volatile() Emitter {
	e.volatile = true
	return e
}

// Emit sends an event to the selected connections. See wsrouter.Target.Emit for
// event and args.
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

// isReserved reports whether clients would treat the event as a violation of the
// protocol and close.
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

// Leave removes the selected connections from rooms.
func (e Emitter) Leave(ctx context.Context, rooms ...string) error {
	return e.operate(ctx, &broker.Operation{Kind: broker.OpLeave, Rooms: rooms})
}

// Disconnect closes the selected connections with code 1000.
func (e Emitter) Disconnect(ctx context.Context) error {
	return e.operate(ctx, &broker.Operation{Kind: broker.OpDisconnect})
}

// DisconnectTransport closes the selected connections and their transports, with
// all namespaces on them, like the method of wsrouter.Target.
func (e Emitter) DisconnectTransport(ctx context.Context) error {
	return e.operate(ctx, &broker.Operation{Kind: broker.OpDisconnect, Transport: true})
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
		return nil // selects nobody
	}
	command := e.client.B().Publish().Channel(channel).Message(rueidis.BinaryString(data)).Build()
	if err := e.client.Do(ctx, command).Error(); err != nil {
		return fmt.Errorf("redisbroker: publish: %w", err)
	}
	return nil
}
