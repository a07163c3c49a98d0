// Package broker is the interface between wsrouter and what joins the routers of
// many processes into a cluster. To write handlers you only need a Broker for
// Options.Broker: [Memory] in tests, or the one for Redis in module redisbroker.
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

// Broker joins routers, usually of several processes, into a cluster. With a Broker
// in Options.Broker, Target, Router.Emit and Router.Find reach the connections of
// all nodes, unless the Target is Local. A node is one namespace of one router. A
// Broker must be safe for concurrent use and may be shared by several routers.
//
// Every Broker promises the following; wsroutertest.TestBroker checks it.
//
//  1. Delivery. What a node publishes reaches every other subscribed node with the
//     same namespace name at most once, and no node with another name.
//  2. Own messages. A node never receives what it has published itself; the router
//     has already done its own part.
//  3. Order. What one goroutine publishes for the same rooms arrives in that order.
//     There is no order between publishers, nor between different sets of rooms.
//  4. No blocking. Publish returns at once. What cannot be sent yet waits in a
//     queue bounded in bytes; what does not fit is dropped and counted.
//  5. Bytes. An Operation is shared and read-only once it is published: the Broker
//     may keep it, and neither side ever modifies it. Strings arrive unchanged;
//     numbers may be written differently, such as 1.0 for 1; bytes arrive as bytes.
//  6. Subscribe. When Subscribe returns, whatever other nodes publish from then on
//     arrives. Subscribe waits for the network for a few seconds at most. If the
//     network is down it returns nil, and the node joins as soon as the network is
//     back. An error means that the node will never join. The router's emits do not
//     wait for Subscribe: up to 1 MiB of them is kept until it returns.
//  7. Outages. While the network is down nothing arrives, and what others publish
//     meanwhile is lost. The Broker reconnects on its own. Published emits may wait
//     in the queue until then. Operations on rooms are not queued; Publish returns
//     [ErrUnreached] for them.
//  8. Close. Closing a Subscription ends its node: after Close has returned no
//     further delivery begins, and Publish returns ErrUnreached. Close waits for
//     the network for a few seconds at most, and Shutdown waits for Close until its
//     ctx ends. The Broker itself belongs to whoever made it, and is closed after
//     the routers have shut down.
//  9. Malformed input. What is not an Operation is dropped and counted. No input
//     makes a Broker panic, block forever, or grow without bound.
type Broker interface {
	// Subscribe makes a namespace a node. It is called once for each namespace,
	// when serving begins or before the namespace's first operation. When ctx ends
	// the namespace no longer wants to be a node, and Subscribe returns soon. Every
	// Subscription that it returns is closed, even one it returns after that.
	Subscribe(ctx context.Context, n Node) (Subscription, error)
}

// Node is a namespace of a router as a Broker sees it. Its methods are safe for
// concurrent use and act on the connections of this process only. Apart from the
// answers of Call, none blocks.
type Node interface {
	// Name returns the namespace's full name.
	Name() string

	// Apply executes what another node has published. It does not modify op. The
	// error says what is wrong with op, or which connections could not join.
	Apply(op *Operation) error

	// HasRoom reports whether any connection is in the room, or has it as its id. A
	// Broker need not decode an operation whose rooms are not here.
	HasRoom(room string) bool

	// Rooms iterates over the rooms that any connection is in, as they were when
	// the loop began, in no particular order. Rooms named by a connection's id are
	// left out.
	Rooms() iter.Seq[string]

	// Members returns the connections of a selection.
	Members(s Selection) []Member

	// Call sends a request to each connection of a selection, and returns how many
	// there are now. The requests are sent when answers is ranged over, which may
	// be done only once. answers yields each answer as it arrives, until ctx ends,
	// and skips connections that fail to answer. If an answer has several values it
	// yields the first, as Socket.IO servers do. At most 4096 connections of a node
	// are asked at a time, by all Calls together; the others wait for their turn.
	Call(ctx context.Context, s Selection, event string, args []payload.Value) (asked int, answers iter.Seq[payload.Value])
}

// Member describes a connection.
type Member struct {
	ID    string
	Rooms []string        // sorted, without the room named by its ID
	Data  json.RawMessage // what Conn.SetData has set; nil if nothing
	Away  bool            // the client is lost and may come back; a Broker may be unable to transmit this

	// Request is the request that the client came with if it is connected to this
	// process, otherwise nil.
	Request *http.Request `json:"-"`
}

// Subscription is one node's end of a [Broker]. Its methods must be safe for
// concurrent use.
type Subscription interface {
	// Publish hands an operation to all other nodes. An error wraps ErrUnreached or
	// says what cannot be encoded.
	Publish(op *Operation) error

	// Close ends the node. It does not close the Broker.
	Close() error
}

// Finder is implemented by Subscriptions that can ask other nodes.
type Finder interface {
	// Find returns the connections on all other nodes that s selects. Nodes that do
	// not answer before ctx ends, or within a limit of the Broker's own, are left
	// out; the error then wraps ErrUnreached.
	Find(ctx context.Context, s Selection) ([]Member, error)
}

// Reporter is implemented by Brokers that report their state. BrokerStats must be
// safe for concurrent use.
type Reporter interface {
	BrokerStats() Stats
}

// Stats is the state of a Broker. Counts are since the Broker was made.
type Stats struct {
	Away      time.Duration // how long it has not reached the others; zero if it does
	Queued    int           // bytes waiting to be published
	Published int64         // operations
	Received  int64         // operations, and requests of other nodes
	Dropped   int64         // operations not published because the queue was full or the network down
	Malformed int64         // messages that could not be decoded
}

// ErrUnreached is wrapped by the errors of cluster-wide operations that did not
// reach some or all of the other nodes. On this process such an operation has taken
// effect.
var ErrUnreached = errors.New("wsrouter: other nodes were not reached")

// Selection is what a Target selects.
type Selection struct {
	Rooms  []string // the connections in any of these; empty selects all
	Except []string // except those in any of these
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

// Operation is what a node asks the others to do with the connections that To
// selects. It is plain data that encoding/json and similar packages can encode.
type Operation struct {
	Kind OpKind
	To   Selection

	Event    string          // OpEmit
	Args     []payload.Value // OpEmit
	Volatile bool            // OpEmit, see Target.Volatile

	Rooms []string // OpJoin and OpLeave

	Code      int // OpDisconnect; zero means 1000
	Reason    string
	Transport bool // OpDisconnect: also end their transports, with all namespaces on them
}

// What an operation and each of its parts cost besides names and bytes.
const (
	opOverhead         = 256
	nameOverhead       = 16
	argOverhead        = 64
	attachmentOverhead = 48
)

// Size returns roughly how many bytes of memory the operation holds, including what
// it shares with others. Brokers charge this much to their queues.
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
