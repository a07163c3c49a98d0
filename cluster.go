package wsrouter

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"

	"github.com/wsrouter/wsrouter/adapter"
	"github.com/wsrouter/wsrouter/broker"
	"github.com/wsrouter/wsrouter/internal/gather"
	"github.com/wsrouter/wsrouter/payload"
)

// This file makes a namespace a node of a cluster, see [broker.Broker].

// joinCluster makes all namespaces nodes, concurrently, and waits for them.
func (a *app) joinCluster() {
	if a.opts.Broker == nil {
		return
	}
	namespaces := a.root.subtree()
	for _, r := range namespaces {
		r.membership.Join()
	}
	for _, r := range namespaces {
		r.membership.Wait(context.Background())
	}
}

// leaveCluster ends the nodes of the namespace and of its descendants, concurrently,
// and waits for them until ctx ends.
func (r *Router) leaveCluster(ctx context.Context) error {
	var all []<-chan struct{}
	for _, ns := range r.subtree() {
		all = append(all, ns.membership.Leave())
	}
	for _, gone := range all {
		select {
		case <-gone:
		case <-ctx.Done():
			return fmt.Errorf("wsrouter: shutdown: leaving the cluster: %w", ctx.Err())
		}
	}
	return nil
}

// elsewhere reports whether the Target may select connections of other nodes.
func (t *Target) elsewhere() bool {
	return t.router.app.opts.Broker != nil && !t.local && (!t.some || len(t.rooms) > 0)
}

func (t *Target) selection() broker.Selection {
	return broker.Selection{Rooms: t.rooms, Except: t.except}
}

// publish makes the other nodes do what has been done here.
func (t *Target) publish(op broker.Operation) error {
	if !t.elsewhere() {
		return nil
	}
	op.To, op.Volatile = t.selection(), t.volatile
	return t.router.membership.Publish(&op)
}

// findElsewhere asks the other nodes.
func (t *Target) findElsewhere(ctx context.Context) ([]Member, error) {
	if !t.elsewhere() {
		return nil, nil
	}
	found, err := t.router.membership.Find(ctx, t.selection())
	members := make([]Member, len(found))
	for i, m := range found {
		members[i] = Member{ID: m.ID, Rooms: m.Rooms, Data: m.Data, Away: m.Away}
	}
	return members, err
}

// maxAsked is how many connections of a node are asked at once, see Call of
// [broker.Node]. Each takes a goroutine, while a request costs its sender nothing.
const maxAsked = 4096

// node is a namespace as a Broker sees it. It implements [broker.Node].
type node struct {
	router *Router
	turns  gather.Turns // of connections that are asked
}

func newNode(r *Router) node { return node{r, gather.NewTurns(maxAsked)} }

// local returns the Target of a selection: the whole namespace if it names no rooms.
func (n node) local(s broker.Selection) Target {
	t := Target{router: n.router, local: true}
	if len(s.Rooms) > 0 {
		t = t.To(s.Rooms...)
	}
	return t.Except(s.Except...)
}

func (n node) Name() string { return n.router.name }

func (n node) Apply(op *broker.Operation) error {
	t := n.local(op.To)
	t.volatile = op.Volatile
	switch op.Kind {
	case broker.OpEmit:
		return t.Emit(op.Event, payload.Args(op.Args)...)
	case broker.OpJoin:
		return t.Join(op.Rooms...)
	case broker.OpLeave:
		return t.Leave(op.Rooms...)
	case broker.OpDisconnect:
		end := broker.Operation{Code: op.Code, Reason: op.Reason, Transport: op.Transport}
		if end.Code == 0 {
			end.Code = CloseNormal
		}
		return t.disconnect(end)
	}
	return errors.New("wsrouter: unknown operation")
}

func (n node) HasRoom(room string) bool { return n.router.rooms.Has(room) }

func (n node) Rooms() iter.Seq[string] {
	return func(yield func(string) bool) { slices.Values(n.router.rooms.All())(yield) }
}

func (n node) Members(s broker.Selection) []broker.Member {
	t := n.local(s)
	conns := t.conns()
	members := make([]broker.Member, len(conns))
	for i, c := range conns {
		members[i] = broker.Member{ID: c.ID(), Rooms: c.Rooms(), Data: c.member.Data(), Away: c.isAway(), Request: c.Request()}
	}
	return members
}

func (n node) Call(ctx context.Context, s broker.Selection, event string, args []payload.Value) (int, iter.Seq[payload.Value]) {
	t := n.local(s)
	conns, in := t.conns(), payload.Args(args)
	ask := func(ctx context.Context, c *Conn) (v payload.Value, err error) {
		m, err := c.ask(ctx, event, in)
		if err == nil {
			v = firstOf(m)
		}
		return v, err
	}
	return len(conns), func(yield func(payload.Value) bool) { gather.Each(ctx, n.turns, conns, ask, yield) }
}

// firstOf returns the first value of an answer, if the wire says that there are
// several.
func firstOf(m *adapter.Message) payload.Value {
	if list, _ := m.Data.Elements(1); m.Arity == adapter.ArityMany && len(list) > 0 {
		return list[0]
	}
	return m.Data
}
