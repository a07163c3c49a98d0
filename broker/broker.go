// Package broker is the seam between wsrouter and what joins the routers of many
// processes into a cluster. Whoever writes handlers does not need it, but for a
// Broker to put into Options.Broker: [Memory] for tests, or that of module
// redisbroker for Redis.
package broker

import (
	"context"
	"encoding/json"
	"errors"
	"iter"
	"net/http"
	"time"

	"github.com/wsrouter/wsrouter/payload"
)

// Broker joins routers, mostly those of several processes, into a cluster: with
// one in Options.Broker, Target, Router.Emit and Router.Find reach the
// connections of all nodes, unless the Target is Local. A node is a namespace of
// one router. A Broker may be shared by several routers, its methods are called
// concurrently.
//
// Every Broker promises what follows; wsroutertest.TestBroker holds it to that.
//
//  1. Delivery. What a node publishes reaches every other node of the same
//     namespace name that is subscribed, at most once, and none of another name.
//  2. Own messages. Nothing comes back to the node that published it: the router
//     has done its own part before.
//  3. Order. What one goroutine publishes for the same rooms arrives in that
//     order. Between publishers, or sets of rooms, there is none.
//  4. No wait. Publish returns at once. What cannot be handed on yet waits in a
//     queue that is bounded in bytes; what does not fit is dropped, and counted.
//  5. Bytes. An Operation is shared and read-only from Publish on: a Broker may
//     keep it, and neither side ever writes to it. Text arrives as it was; numbers
//     may be written differently, as 1.0 for 1; bytes arrive as bytes.
//  6. Subscribe returns when what other nodes publish from then on arrives. It
//     waits for the network a few seconds at most: if that is away it returns nil,
//     and the node joins as soon as it is back. An error means that the node never
//     joins. The router's emits do not wait for Subscribe: what is emitted meanwhile
//     is kept, up to 1 MiB.
//  7. Away. While the network is away nothing arrives, and what others published
//     meanwhile is lost. The Broker comes back by itself. Emits that are published
//     may wait in the queue until then; operations on rooms are not kept, and
//     Publish says [ErrUnreached].
//  8. Close of a Subscription ends its node: after it has returned nothing more is
//     begun, and Publish says ErrUnreached. It waits for the network a few seconds
//     at most, and Shutdown for it until its ctx ends. The Broker itself belongs to
//     whoever made it, and is closed after the routers have been shut down.
//  9. Garbage. What is no Operation is dropped and counted. Nothing that comes in
//     panics, blocks forever or grows without a bound.
type Broker interface {
	// Subscribe makes a namespace a node. It is called once for each namespace
	// when serving begins, or before its first operation. When ctx ends it
	// returns soon: the namespace is to be no node any more. A Subscription that it
	// returns then, or at any time, is closed.
	Subscribe(ctx context.Context, n Node) (Subscription, error)
}

// Node is a namespace of a router as a Broker sees it. Its methods may be called
// concurrently, act on the connections of this process only, and wait for nobody.
type Node interface {
	// Name returns the namespace's full name.
	Name() string

	// Apply does what another node has published. It only reads the operation.
	// The error says what is wrong with that, or which connections could not
	// join.
	Apply(op *Operation) error

	// HasRoom reports whether any connection is in the room, or has that id. What
	// is for rooms that are not here need not be decoded.
	HasRoom(room string) bool

	// Rooms iterates over the rooms that any connection is in, as they were when
	// the loop began, in no order and without the connections' own.
	Rooms() iter.Seq[string]

	// Members returns the connections of a selection.
	Members(s Selection) []Member

	// Call sends a request to each connection of a selection, and returns how many
	// there are now. They are asked when answers is ranged over, which may be done
	// once. It yields the answers that come before ctx ends, as they come, and leaves
	// out connections that fail to answer. Of an answer of several values it yields
	// the first, as Socket.IO's servers do. At most 4096 connections of a node are
	// asked at a time, by all Calls together; further ones wait for their turn.
	Call(ctx context.Context, s Selection, event string, args []payload.Value) (asked int, answers iter.Seq[payload.Value])
}

// Member is a connection.
type Member struct {
	ID    string
	Rooms []string        // sorted, without its own
	Data  json.RawMessage // what Conn.SetData has set; nil if nothing
	Away  bool            // its client is lost and may come back; a Broker may have no word for that

	// Request is what the client came with, if it is one of this process; else
	// nil.
	Request *http.Request `json:"-"`
}

// Subscription is one node's end of a [Broker]. Its methods are called
// concurrently.
type Subscription interface {
	// Publish hands an operation to all other nodes. An error wraps ErrUnreached,
	// or says what cannot be encoded.
	Publish(op *Operation) error

	// Close ends the node. It does not close the Broker.
	Close() error
}

// Finder is implemented by Subscriptions that can ask other nodes.
type Finder interface {
	// Find returns the connections of all other nodes that s selects. Nodes that
	// do not answer before ctx ends, or after a time of the Broker's own, are
	// left out, and then the error, which wraps ErrUnreached, says so.
	Find(ctx context.Context, s Selection) ([]Member, error)
}

// Reporter is implemented by Brokers that can tell how they are.
type Reporter interface {
	BrokerStats() Stats
}

// Stats says how a Broker is. All counts are since the Broker was made.
type Stats struct {
	Away      time.Duration // for how long it has not reached the others; zero if it does
	Queued    int           // bytes that wait to be published
	Published int64         // operations
	Received  int64         // operations and questions of others
	Dropped   int64         // operations not published, as the queue was full or the network away
	Malformed int64         // messages that could not be decoded
}

// ErrUnreached is wrapped by the errors of cluster-wide operations that did not
// reach other nodes, or not all of them. Those of this process are done.
var ErrUnreached = errors.New("wsrouter: other nodes were not reached")

// Selection is what a Target selects.
type Selection struct {
	Rooms  []string // the connections in any of them; none selects all
	Except []string // but for those in any of these
}

// OpKind says what an [Operation] does.
type OpKind uint8

// The operations.
const (
	OpEmit OpKind = iota + 1
	OpJoin
	OpLeave
	OpDisconnect
)

// Operation is what a node has the others do with the connections that To
// selects. It is plain data, which encoding/json and the like carry.
type Operation struct {
	Kind OpKind
	To   Selection

	Event    string          // of OpEmit
	Args     []payload.Value // of OpEmit
	Volatile bool            // of OpEmit, see Target.Volatile

	Rooms []string // of OpJoin and OpLeave

	Code      int // of OpDisconnect; zero is 1000
	Reason    string
	Transport bool // of OpDisconnect: what they are connected over ends, too, with all their namespaces
}

// What an operation, and each of its parts, holds besides names and bytes.
const (
	opOverhead         = 256
	nameOverhead       = 16
	argOverhead        = 64
	attachmentOverhead = 48
)

// Size returns how many bytes of memory the operation holds, about, with what it
// shares with others: what a Broker's queue charges for it.
func (op *Operation) Size() int {
	size := opOverhead + len(op.Event) + len(op.Reason)
	for _, names := range [][]string{op.To.Rooms, op.To.Except, op.Rooms} {
		for _, name := range names {
			size += nameOverhead + len(name)
		}
	}
	for _, arg := range op.Args {
		size += argOverhead + cap(arg.JSON)
		for _, a := range arg.Attachments {
			size += attachmentOverhead + len(a.Data)
		}
	}
	return size
}
