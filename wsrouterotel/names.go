package wsrouterotel

import (
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"unicode/utf8"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"
)

// Attributes of the semantic conventions for RPC and errors, and our own.
const (
	rpcSystem    = attribute.Key("rpc.system.name")
	rpcMethod    = attribute.Key("rpc.method")
	rpcStatus    = attribute.Key("rpc.response.status_code")
	errorType    = attribute.Key("error.type")
	serverHost   = attribute.Key("server.address")
	serverPort   = attribute.Key("server.port")
	namespaceKey = attribute.Key("wsrouter.namespace")
	transportKey = attribute.Key("wsrouter.transport")
	kindKey      = attribute.Key("wsrouter.kind")
	connKey      = attribute.Key("wsrouter.connection.id")
	itemsKey     = attribute.Key("wsrouter.stream.items")
	causeKey     = attribute.Key("wsrouter.cause")
	reasonKey    = attribute.Key("wsrouter.reason")
)

// other is the name of what has no name of its own, as in the conventions.
const other = "_OTHER"

const (
	maxName   = 256 // bytes of a name that others may have made up
	maxCalled = 200 // names of requests of this side: an application may pass on names it was sent
	unbounded = 1 << 30
)

// bounded returns a name as the value of an attribute. One that is not UTF-8 may
// make an exporter lose everything it is about to send.
func bounded(name string) string {
	if len(name) > maxName || !utf8.ValidString(name) {
		return other
	}
	return name
}

// method is what the spans and metrics of one event have in common.
type method struct {
	namespace, name string // "/chat", "/chat say"

	// Options of spans that start without links.
	server, serverRoot, consumerRoot, client, producer []trace.SpanStartOption
}

func newMethod(namespace, event string) *method {
	m := &method{namespace: namespace, name: namespace + " " + event}
	attrs := trace.WithAttributes(rpcSystem.String("wsrouter"), rpcMethod.String(m.name), namespaceKey.String(namespace))
	of := func(kind trace.SpanKind, more ...trace.SpanStartOption) []trace.SpanStartOption {
		return slices.Clip(append(more, trace.WithSpanKind(kind), attrs))
	}
	m.server, m.serverRoot = of(trace.SpanKindServer), of(trace.SpanKindServer, trace.WithNewRoot())
	m.consumerRoot = of(trace.SpanKindConsumer, trace.WithNewRoot())
	m.client, m.producer = of(trace.SpanKindClient), of(trace.SpanKindProducer)
	return m
}

type methodKey struct{ namespace, event string }

// methods are the methods seen so far, up to a bound; beyond it each namespace has
// one that stands for the rest.
type methods struct {
	cache[methodKey, *method]
	most int
}

// of returns the method of an event; the event "" has no name of its own.
func (m *methods) of(namespace, event string) *method {
	if bounded(event) == other {
		event = ""
	}
	key := methodKey{namespace, event}
	if found, ok := m.get(key); ok {
		return found
	}
	if event != "" && len(m.all()) >= m.most {
		return m.of(namespace, "")
	}
	if event == "" {
		event = other
	}
	return m.put(key, newMethod(namespace, event))
}

// cache keeps one value for each key. Readers take no lock, because a map that has
// been stored no longer changes: each new key copies it. There are few keys.
type cache[K comparable, V any] struct {
	made atomic.Pointer[map[K]V] // nil until there is a key
	mu   sync.Mutex              // held while the map is replaced
}

// all returns the map, which must only be read.
func (c *cache[K, V]) all() map[K]V {
	if made := c.made.Load(); made != nil {
		return *made
	}
	return nil
}

func (c *cache[K, V]) get(key K) (v V, ok bool) {
	v, ok = c.all()[key]
	return v, ok
}

// put stores v unless the key has a value, and returns the key's value.
func (c *cache[K, V]) put(key K, v V) V {
	c.mu.Lock()
	defer c.mu.Unlock()
	if old, ok := c.get(key); ok {
		return old
	}
	made := make(map[K]V, len(c.all())+1)
	maps.Copy(made, c.all())
	made[key] = v
	c.made.Store(&made)
	return v
}
