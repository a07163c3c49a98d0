// Package wsrouter routes WebSocket events to handlers, as net/http routes
// requests: a handler is a function, a router is an [http.Handler], and a test
// needs no network.
//
//	func main() {
//		router := wsrouter.New(nil)
//
//		router.On("events", func(c *wsrouter.Context) error {
//			var text string
//			if err := c.Bind(&text); err != nil {
//				return err
//			}
//			return c.Reply(text)
//		})
//
//		http.Handle("/ws", router)
//		server := &http.Server{Addr: ":3000", ReadHeaderTimeout: 5 * time.Second}
//		log.Fatal(server.ListenAndServe())
//	}
//
// A client sends {"event":"events","data":"hi"} and receives
// {"event":"events","data":"hi"}. An event with an id is a request: if the client
// adds "id":7, the answer has "re":7. PROTOCOL.md describes all frames.
//
// [Dial] is a client in Go, package clientjs has one for browsers, and package
// socketio serves Socket.IO clients with the same router.
//
// # Handlers
//
// When a handler returns, its event ends: its context ends, its error is the
// event's error, and a shutdown no longer waits for it. So middleware
// ([Router.Use]) sees the whole event. [Handle] registers a function that takes the
// data as a Go value and returns the reply.
//
// # Errors
//
// If a handler returns a [WsError], the client receives an event "exception" with
// {"status":"error","message":"…"}. Any other error, and a panic, is logged, and
// the client only sees "Internal server error". The connection stays open. Whatever
// happens, a request gets exactly one answer: the reply, the exception, or an empty
// one.
//
// # Connections
//
// [Router.OnConnect] sees every client before its first event, and may refuse it.
// [Router.OnDisconnect] runs when a connection has ended and its handlers have
// returned. A [Key] keeps a value, such as the user, with a connection. With
// [Options.Recovery] connections survive a loss of the network.
//
// # Sending
//
// [Context.Emit] sends an event to the client that the handler serves, and
// [Conn.Emit] to any other. A connection joins rooms with [Conn.Join]; [Router.To]
// sends to everybody in a room, [Router.Emit] to everybody. [Conn.Call] sends a
// request to a client and waits for its answer.
//
// # Streams
//
// A stream is a handler that has not returned yet. [Stream] sends what it receives
// from a channel, [StreamSeq] what an iterator yields. Both give up the
// connection's turn, so that other events are handled meanwhile.
//
//	router.On("ticks", func(c *wsrouter.Context) error {
//		ch := make(chan int)
//		go func() {
//			defer close(ch)
//			for i := 0; ; i++ {
//				select {
//				case ch <- i:
//				case <-c.Context().Done():
//					return
//				}
//			}
//		}()
//		return wsrouter.Stream(c, ch)
//	})
//
// When the client cancels, the connection ends, or the server shuts down,
// c.Context() ends. A producer that ignores it is not blocked forever, because the
// channel is drained until it is closed. The side that asks ranges over the stream;
// leaving the loop cancels it:
//
//	for n, err := range wsrouter.Pull[int](ctx, client, "ticks", nil) { … }
//
// [Pull] gives credit: the loop sets the pace of the producer, and a stream that is
// not pulled blocks neither the connection nor other streams. A client that gives
// no credit gets items as fast as it reads.
//
// # Testing
//
// [Router.Connect] connects a [Client] in memory, through the same code as a client
// from the network. It works in a [testing/synctest] bubble. Package wsroutertest
// makes the test of a handler five lines long.
//
// # Ordering and concurrency
//
// The events of a connection are handled one at a time, in the order in which they
// arrive, unless a handler calls [Context.Yield]. What is sent to a connection
// leaves in the order of the calls. Different connections run concurrently.
//
// Handlers do not run in the read loop. So pings, cancels and answers are processed
// while a handler blocks, and a handler may use [Conn.Call] with its own client.
//
// # Clients that send too much
//
// When the events that wait for their handlers reach [Options.InboxBytes], reading
// stops, and the network holds up the client. But an open call or stream may depend
// on what comes next. So while there is one, reading continues up to four times
// that limit; beyond it the client is closed with 1008. Events that were read
// before that are still handled.
//
// Bytes are counted at their cost in memory, from when they are read until the
// handler has returned. [Options.MaxBuffered] limits them for the whole process. A
// client is refused if the headers of its HTTP request cost more than 256 KiB,
// counting 128 bytes for each value plus its characters, see [RefusedRequest].
//
// # Clients that read slowly
//
// What is sent waits in an outbox of [Options.OutboxBytes]. What a handler sends to
// its own connection, with [Context.Reply], [Context.Emit] or a stream, may fill
// half of it; then the handler waits for space, for at most [Options.WriteTimeout].
// All other emits never wait: a client whose outbox is full is closed as slow,
// which is reported to [Router.OnDisconnect] and counted in [Stats]. Nothing is
// dropped silently.
//
// # Shutdown
//
// [http.Server.Shutdown] does not know about hijacked connections. Call
// [Router.Shutdown] before it: new clients get 503, running handlers finish, what
// is queued is sent, and clients are closed with 1001.
//
// # Many servers
//
// With a [broker.Broker] in [Options.Broker], emits, operations on rooms and
// [Router.Find] reach the connections of all servers of a cluster. Module
// redisbroker has one for Redis. It uses the format of Socket.IO and NestJS, so
// both kinds of servers may be in one cluster.
package wsrouter

import (
	"fmt"
	"runtime"
	"strings"
	"sync/atomic"
	"unicode/utf8"

	"github.com/wsrouter/wsrouter/internal/closecode"
	"github.com/wsrouter/wsrouter/internal/membership"
	"github.com/wsrouter/wsrouter/internal/plain"
	"github.com/wsrouter/wsrouter/internal/rooms"
)

// HandlerFunc handles one event. Handlers of different connections run
// concurrently, those of one connection one after another unless a handler yields.
type HandlerFunc func(c *Context) error

// Middleware wraps a handler. It is called once for each handler, when serving
// begins.
type Middleware func(next HandlerFunc) HandlerFunc

// Router routes the events of one namespace. The Router returned by [New] is the
// namespace "/", the root of a tree of namespaces.
//
// Register handlers, hooks, middleware and namespaces from one goroutine, before
// the first client comes; registering later panics. So does registering nil, or a
// second handler or hook in the same place. All other methods are safe for
// concurrent use.
type Router struct {
	app      *app
	parent   *Router // nil for the root
	name     string
	routes   map[string]*route
	notFound *route
	mws      []Middleware

	onInit       hook[func(*Router) error]
	onConnect    hook[func(*Conn) error]
	onResume     hook[func(*Conn) error]
	onAway       hook[func(*Conn, *CloseError)]
	onDisconnect hook[disconnectFunc]

	mount      *mount // with default WSOptions
	rooms      *rooms.Registry[*Conn]
	init       initState
	membership *membership.Membership
	closing    atomic.Bool
}

type route struct {
	handler HandlerFunc
	mws     []Middleware
	chain   HandlerFunc // handler with all its middleware
	site    string
}

// hook is a function that may be registered only once.
type hook[F any] struct {
	fn   F
	site string
}

// New returns a router, which is the namespace "/" of a new tree. opts may be nil
// and is copied. New panics if Origins or ShutdownCode is invalid.
func New(opts *Options) *Router {
	a := newApp(opts)
	if !closecode.Sendable(a.opts.ShutdownCode) {
		panic(fmt.Sprintf("wsrouter: Options.ShutdownCode %d cannot be sent", a.opts.ShutdownCode))
	}
	return a.root
}

func (a *app) newRouter(name string, parent *Router) *Router {
	r := &Router{app: a, parent: parent, name: name, routes: make(map[string]*route)}
	r.mount = newMount(r)
	r.rooms = rooms.New[*Conn](a.opts.MaxRooms, a.opts.MaxName)
	r.membership = membership.New(a.opts.Broker, newNode(r), a.opts.Logger.With("namespace", name), &a.counters.unpublished)
	a.namespaces[name] = r
	return r
}

// Namespace returns the child namespace with that name, and creates it on first
// use. The child "/b" of the namespace "/a" is "/a/b". A child has its own
// handlers, hooks, connections and rooms; the middleware of its parent wraps its
// handlers. Mount it like the root:
//
//	http.Handle("/ws/chat", router.Namespace("/chat"))
//
// Namespace panics unless the name begins with a slash and does not end with one,
// is valid UTF-8, and contains neither a comma nor a question mark.
func (r *Router) Namespace(name string) *Router {
	if len(name) < 2 || name[0] != '/' || strings.HasSuffix(name, "/") || strings.ContainsAny(name, ",?") || !utf8.ValidString(name) {
		panic(fmt.Sprintf("wsrouter: invalid namespace %q: want a name like \"/chat\"", name))
	}
	if r.parent != nil {
		name = r.name + name
	}
	r.app.mu.Lock()
	defer r.app.mu.Unlock()
	if child := r.app.namespaces[name]; child != nil {
		return child
	}
	r.checkOpenLocked("namespace", name)
	return r.app.newRouter(name, r)
}

// Name returns the full name of the namespace, "/" for the root.
func (r *Router) Name() string { return r.name }

// reserved names have a meaning on one of the wires.
var reserved = map[string]bool{
	plain.Exception: true, "connect": true, "connect_error": true, "disconnect": true,
	"disconnecting": true, "newListener": true, "removeListener": true,
}

// On registers the handler for an event. mws is middleware for this event only: the
// first is outermost, and the router's own middleware surrounds it. On panics if
// the name is empty, reserved, longer than [Options.MaxName], not UTF-8 or already
// registered, if the handler is nil, or if serving has begun. Reserved are
// "exception" and Socket.IO's connect, connect_error, disconnect, disconnecting,
// newListener and removeListener.
func (r *Router) On(event string, h HandlerFunc, mws ...Middleware) {
	rt := newRoute(event, h, mws)
	if event == "" || reserved[event] || len(event) > r.app.opts.MaxName || !utf8.ValidString(event) {
		panic(fmt.Sprintf("wsrouter: event name %q is empty, reserved, too long or not UTF-8 (registered at %s)", event, rt.site))
	}
	r.app.mu.Lock()
	defer r.app.mu.Unlock()
	r.checkOpenLocked("event", event)
	if first := r.routes[event]; first != nil {
		panic(fmt.Sprintf("wsrouter: event %q of namespace %q (registered at %s) is already registered at %s",
			event, r.name, rt.site, first.site))
	}
	r.routes[event] = rt
}

// NotFound registers the handler for events that have no handler of their own. Without
// it, such an event is ignored, or if it is a request answered with an exception whose
// code is [CodeNotFound]. On the side that dialed, NotFound also receives exceptions of
// the server that answer no call, as event "exception". It is not inherited by child
// namespaces.
func (r *Router) NotFound(h HandlerFunc) {
	rt := newRoute("NotFound", h, nil)
	r.app.mu.Lock()
	defer r.app.mu.Unlock()
	r.checkOpenLocked("handler", "NotFound")
	if r.notFound != nil {
		panic(fmt.Sprintf("wsrouter: NotFound (registered at %s) is already registered at %s", rt.site, r.notFound.site))
	}
	r.notFound = rt
}

// Use adds middleware around all handlers of this namespace and its descendants,
// whether they are registered before or after. The first is outermost, and a
// parent's middleware surrounds a child's.
func (r *Router) Use(mws ...Middleware) {
	checkMiddleware(mws)
	r.app.mu.Lock()
	defer r.app.mu.Unlock()
	r.checkOpenLocked("middleware of", r.name)
	r.mws = append(r.mws, mws...)
}

func newRoute(event string, h HandlerFunc, mws []Middleware) *route {
	if h == nil {
		panic(fmt.Sprintf("wsrouter: nil handler for %q (registered at %s)", event, callSite()))
	}
	checkMiddleware(mws)
	return &route{handler: h, mws: append([]Middleware(nil), mws...), site: callSite()}
}

func checkMiddleware(mws []Middleware) {
	for _, mw := range mws {
		if mw == nil {
			panic(fmt.Sprintf("wsrouter: nil middleware (registered at %s)", callSite()))
		}
	}
}

// setHook registers a hook, once.
func setHook[F any](r *Router, name string, dst *hook[F], fn F, isNil bool) {
	site := callSite()
	if isNil {
		panic(fmt.Sprintf("wsrouter: nil %s (registered at %s)", name, site))
	}
	r.app.mu.Lock()
	defer r.app.mu.Unlock()
	r.checkOpenLocked("hook", name)
	if dst.site != "" {
		panic(fmt.Sprintf("wsrouter: %s (registered at %s) is already registered at %s", name, site, dst.site))
	}
	*dst = hook[F]{fn, site}
}

// checkOpenLocked panics if serving has begun.
func (r *Router) checkOpenLocked(what, name string) {
	if r.app.frozen {
		panic(fmt.Sprintf("wsrouter: %s %q registered at %s after serving began", what, name, callSite()))
	}
}

// callSite returns where the user's code called the package.
func callSite() string {
	var pcs [16]uintptr
	frames := runtime.CallersFrames(pcs[:runtime.Callers(2, pcs[:])])
	for {
		frame, more := frames.Next()
		if !strings.HasPrefix(frame.Function, "github.com/wsrouter/wsrouter.") || !more {
			return fmt.Sprintf("%s:%d", frame.File, frame.Line)
		}
	}
}

// compile builds the handlers' chains.
func (r *Router) compile() {
	for _, rt := range r.routes {
		rt.chain = r.wrap(rt)
	}
	if r.notFound != nil {
		r.notFound.chain = r.wrap(r.notFound)
	}
}

func (r *Router) wrap(rt *route) HandlerFunc {
	h := chain(rt.handler, rt.mws)
	for ns := r; ns != nil; ns = ns.parent {
		h = chain(h, ns.mws)
	}
	return h
}

func chain(h HandlerFunc, mws []Middleware) HandlerFunc {
	for i := len(mws) - 1; i >= 0; i-- {
		h = mws[i](h)
	}
	return h
}

// bound returns the result of storing data in v: the error for the client if that
// failed, otherwise what Options.Validate says.
func (r *Router) bound(err error, v ...any) error {
	if err != nil {
		return invalid(err)
	}
	if r.app.opts.Validate == nil {
		return nil
	}
	for _, v := range v {
		if err := r.app.opts.Validate(v); err != nil {
			return err
		}
	}
	return nil
}

// dispatch runs the handler of an event.
func (r *Router) dispatch(c *Context) error {
	rt := r.routes[c.req.msg.Event]
	switch {
	case rt != nil:
		return r.run(rt, c)
	case r.notFound != nil:
		return r.run(r.notFound, c)
	case c.req.msg.ID != "":
		r.app.counters.unknown.Add(1)
		return errNotFound
	case c.req.msg.Event == plain.Exception: // only clients get here, see Receive
		c.Logger().Warn("wsrouter: exception from the server", "code", remoteError(c.req.msg.Data).Code)
	default:
		r.app.counters.unknown.Add(1)
	}
	return nil
}

func (r *Router) run(rt *route, c *Context) error {
	t := r.app.opts.Trace
	c.req.traced = t.EventEnd != nil
	if t.EventStart != nil {
		r.app.trace(func() { t.EventStart(c) })
	}
	return rt.chain(c)
}
