package wsrouter

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"sync"
)

// This file is a namespace as a node of a cluster, see Broker.

// membership is a namespace's subscription to the Broker. It is made when it is
// first needed; the mutex is not held meanwhile.
type membership struct {
	mu    sync.Mutex    // guards what follows
	began bool          // somebody subscribes
	ended bool          // it was closed, perhaps before there was one
	ready chan struct{} // closed when the subscription is there, or failed
	sub   Subscription  // set before ready is closed; nil if it failed
}

// subscription returns the namespace's, and makes it if it is the first who asks;
// others wait. Nil means that there is none.
func (r *Router) subscription() Subscription {
	broker := r.app.opts.Broker
	if broker == nil {
		return nil
	}
	m := &r.membership
	m.mu.Lock()
	if m.ended {
		m.mu.Unlock()
		return nil
	}
	first := !m.began
	if first {
		m.began, m.ready = true, make(chan struct{})
	}
	m.mu.Unlock()
	if first {
		r.subscribe(broker)
	}
	<-m.ready
	return m.sub
}

func (r *Router) subscribe(broker Broker) {
	m := &r.membership
	defer close(m.ready)
	sub, err := broker.Subscribe(r)
	if err != nil {
		r.app.opts.Logger.Error("wsrouter: not subscribed, other nodes are not reached", "namespace", r.name, "err", err)
		return
	}
	m.sub = sub
}

// unsubscribe ends the namespace as a node.
func (r *Router) unsubscribe() {
	m := &r.membership
	m.mu.Lock()
	last := m.began && !m.ended
	m.ended = true
	m.mu.Unlock()
	if !last {
		return
	}
	if <-m.ready; m.sub == nil {
		return
	}
	if err := m.sub.Close(); err != nil {
		r.app.opts.Logger.Error("wsrouter: subscription not closed", "namespace", r.name, "err", err)
	}
}

// joinCluster makes all namespaces nodes, side by side: each may have to wait for
// the network.
func (a *app) joinCluster() {
	if a.opts.Broker == nil {
		return
	}
	var wg sync.WaitGroup
	for _, r := range a.root.subtree() {
		wg.Go(func() { r.subscription() })
	}
	wg.Wait()
}

// leaveCluster ends the nodes of the namespace and of those below it.
func (r *Router) leaveCluster() {
	var wg sync.WaitGroup
	for _, ns := range r.subtree() {
		wg.Go(ns.unsubscribe)
	}
	wg.Wait()
}

// elsewhere reports whether the Target may select connections of other nodes.
func (t *Target) elsewhere() bool {
	return t.router.app.opts.Broker != nil && !t.local && (!t.some || len(t.rooms.list) > 0)
}

func (t *Target) selection() Selection { return Selection{Rooms: t.rooms.list, Except: t.except.list} }

// publish has the other nodes do what has been done here.
func (t *Target) publish(op Operation) error {
	if !t.elsewhere() {
		return nil
	}
	sub := t.router.subscription()
	if sub == nil {
		return ErrUnreached
	}
	op.To, op.Volatile = t.selection(), t.volatile
	return sub.Publish(&op)
}

// findElsewhere asks the other nodes.
func (t *Target) findElsewhere(ctx context.Context) ([]Member, error) {
	if !t.elsewhere() {
		return nil, nil
	}
	finder, ok := t.router.subscription().(Finder)
	if !ok {
		return nil, ErrUnreached
	}
	members, err := finder.Find(ctx, t.selection())
	if err != nil {
		return members, fmt.Errorf("wsrouter: find: %w", err)
	}
	return members, nil
}

// encodeArgs encodes arguments for all wires.
func encodeArgs(args []any) (list []Encoded, err error) {
	for _, arg := range args {
		e, err := Encode(arg)
		if err != nil {
			return nil, err
		}
		list = append(list, e)
	}
	return list, nil
}

func anys(list []Encoded) []any {
	args := make([]any, len(list))
	for i, e := range list {
		args[i] = e
	}
	return args
}

// Apply does what another node has published, with the connections of this
// process. It is for Brokers, waits for nobody, and only reads the operation. The
// error says what is wrong with that, or which connections could not join.
func (r *Router) Apply(op *Operation) error {
	t := r.Select(op.To).Local()
	t.volatile = op.Volatile
	switch op.Kind {
	case OpEmit:
		return t.Emit(op.Event, anys(op.Args)...)
	case OpJoin:
		return t.Join(op.Rooms...)
	case OpLeave:
		return t.Leave(op.Rooms...)
	case OpDisconnect:
		code := op.Code
		if code == 0 {
			code = CloseNormal
		}
		return t.Disconnect(code, op.Reason)
	}
	return errors.New("wsrouter: unknown operation")
}

// Select returns the Target of a selection: all of the namespace where it names
// no rooms.
func (r *Router) Select(s Selection) Target {
	t := Target{router: r}
	if len(s.Rooms) > 0 {
		t = t.To(s.Rooms...)
	}
	return t.Except(s.Except...)
}

// HasRoom reports whether any connection of this process is in the room. A Broker
// need not decode what is for rooms that are not here.
func (r *Router) HasRoom(room string) bool { return r.hub.hasRoom(room) }

// Rooms iterates over the rooms of this namespace that any connection of this
// process is in, as they were when the loop began, in no order and without the
// connections' own.
func (r *Router) Rooms() iter.Seq[string] {
	return func(yield func(string) bool) { slices.Values(r.hub.allRooms())(yield) }
}
