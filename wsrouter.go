// Package wsrouter routes WebSocket events to handlers as net/http routes
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
// A client sends {"event":"events","data":"hi"} and gets
// {"event":"events","data":"hi"}; with "id":7 in the request the answer carries
// "re":7. PROTOCOL.md has the rest of the frames.
//
// A handler's return is the end of its event. Its context ends then, its error
// is the event's error, middleware around it has seen all of it, and a shutdown
// waits for it.
//
// # Ordering and concurrency
//
// Events of one connection are handled one at a time, in the order in which they
// arrived, until a handler calls [Context.Yield]. What is sent to one connection
// leaves in the order of the calls. Connections run in parallel.
//
// Handlers run off the read loop, so pings, cancels and answers are seen while
// one blocks, and a handler may [Conn.Call] its own client. When
// [Options.InboxBytes] of events wait, reading stops, and the network
// holds the client up. An open call or stream may depend on what comes next: while
// there is one, reading goes on up to four times that, and then the client is
// closed with 1008. Nothing that was read is dropped.
//
// Bytes are counted at what they cost in memory, from when they are read until
// the handler has returned, and [Options.MaxBuffered] bounds them for the whole
// process. A request whose headers cost more than 256 KiB, at 128 bytes for each
// besides its letters, is refused, see [RefusedRequest].
//
// # Streams
//
// A stream is a handler that has not returned yet: [Stream] sends what comes out
// of a channel, [StreamSeq] what an iterator yields. Both give up the connection's
// turn, so other events are handled meanwhile.
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
// When the client cancels, goes away, or the server shuts down, c.Context() ends.
// A producer that does not look at it is not blocked forever, as the channel is
// received from until it is closed. The asking side is a loop, and leaving it
// cancels:
//
//	for n, err := range wsrouter.Pull[int](ctx, client, "ticks", nil) { … }
//
// [Pull] gives credit: a producer is held to the pace of the loop, and a stream that
// is not pulled does not hold up the connection or its other streams. A client that
// gives no credit gets items as fast as it reads.
//
// # Errors
//
// A handler returns an error. A [WsError] is sent to the client as an event
// "exception" with {"status":"error","message":"…"}; any other error, and a
// panic, as "Internal server error", and it is logged. The connection stays. A
// request gets exactly one answer whatever happens: the reply, the exception, or
// an empty one.
//
// # Slow connections
//
// What is sent waits in an outbox of [Options.OutboxBytes]. Only what a handler
// sends to its own connection by [Context.Reply], [Context.Emit] or a stream waits
// for space: it may fill half of the outbox, and waits at most for
// [Options.WriteTimeout]. No other emit waits: a client whose outbox is full is
// closed as slow, which [Router.OnDisconnect] is told and [Stats] counts. Nothing
// is dropped silently.
//
// # Shutdown
//
// [http.Server.Shutdown] does not know hijacked connections. Call
// [Router.Shutdown] before it: new clients get 503, running handlers finish,
// what is queued is sent, and clients are closed with 1001.
//
// # Many servers
//
// With a [Broker] in [Options.Broker] emits, room operations and [Router.Find]
// reach the connections of all servers of a cluster. Module redisbroker has one
// for Redis, of the format that Socket.IO and NestJS use: both kinds of servers may
// be in one cluster.
//
// # Testing
//
// [Router.Connect] connects a [Client] in memory, through the same code as a
// client from the network, and works in a [testing/synctest] bubble. Package
// wsroutertest makes a test of a handler five lines long.
package wsrouter

import (
	"fmt"
	"runtime"
	"strings"
	"sync/atomic"
	"unicode/utf8"

	"github.com/wsrouter/wsrouter/internal/membership"
	"github.com/wsrouter/wsrouter/internal/plain"
	"github.com/wsrouter/wsrouter/internal/rooms"
)

// HandlerFunc handles one event. Handlers of different connections run
// concurrently, those of one connection one after another unless one yields.
type HandlerFunc func(c *Context) error

// Middleware wraps a handler. It is called once for each handler, when serving
// begins.
type Middleware func(next HandlerFunc) HandlerFunc

// Router routes the events of one namespace. The one that [New] returns is the
// namespace "/", the root of its tree.
//
// Register handlers, hooks, middleware and namespaces from one goroutine, before
// the first client comes: after that registering panics. So does registering nil,
// or a second handler or hook in the same place. All other methods are safe for
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

	rooms      *rooms.Registry[*Conn]
	init       initState
	membership *membership.Membership
	closing    atomic.Bool
}

type route struct {
	handler HandlerFunc
	mws     []Middleware
	chain   HandlerFunc // handler in all its middleware
	site    string
}

// hook is a function that may be registered once.
type hook[F any] struct {
	fn   F
	site string
}

// New returns a router, which is the namespace "/" of a tree of its own. opts
// may be nil and is copied. New panics if Origins or ShutdownCode is invalid.
func New(opts *Options) *Router {
	a := newApp(opts)
	if !sendableCode(a.opts.ShutdownCode) {
		panic(fmt.Sprintf("wsrouter: Options.ShutdownCode %d cannot be sent", a.opts.ShutdownCode))
	}
	return a.root
}

func (a *app) newRouter(name string, parent *Router) *Router {
	r := &Router{app: a, parent: parent, name: name, routes: make(map[string]*route)}
	r.rooms = rooms.New[*Conn](a.opts.MaxRooms, a.opts.MaxName)
	r.membership = membership.New(a.opts.Broker, newNode(r), a.opts.Logger.With("namespace", name), &a.counters.unpublished)
	a.namespaces[name] = r
	return r
}

// Namespace returns the child namespace of that name, and creates it on first
// use. The child "/b" of the namespace "/a" is "/a/b". A child has its own
// handlers, hooks, connections and rooms; its parent's middleware wraps its
// handlers. It is mounted like the root:
// http.Handle("/ws/chat", router.Namespace("/chat")).
//
// Namespace panics unless the name begins with a slash, does not end with one, is
// UTF-8, and has neither comma nor question mark.
func (r *Router) Namespace(name string) *Router {
	if len(name) < 2 || name[0] != '/' || strings.HasSuffix(name, "/") || strings.ContainsAny(name, ",?") || !utf8.ValidString(name) {
		panic(fmt.Sprintf("wsrouter: invalid namespace %q: want a name as \"/chat\"", name))
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

// Name returns the namespace's full name, "/" for the root.
func (r *Router) Name() string { return r.name }

// reserved are the names that mean something on one of the wires.
var reserved = map[string]bool{
	plain.Exception: true, "connect": true, "connect_error": true, "disconnect": true,
	"disconnecting": true, "newListener": true, "removeListener": true,
}

// On registers the handler for an event, with middleware for this event alone:
// the first is the outermost, and the router's own is outside of it. On panics if
// the event's name is empty, reserved, longer than [Options.MaxName], not UTF-8 or
// registered already, if the handler is nil, and after serving has begun. Reserved
// are "exception" and Socket.IO's connect, connect_error, disconnect,
// disconnecting, newListener and removeListener.
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

// NotFound registers the handler for events that have none. By default an event
// without an id is ignored, and a request is answered by an exception with
// [CodeNotFound]. On the side that dialed, NotFound also gets the server's
// exceptions that answer no call, as event "exception". It is not inherited by
// child namespaces.
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

// Use adds middleware around all handlers of this namespace and of its children,
// whether registered before or after. The first is the outermost, and a parent's
// lies around a child's.
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

// checkOpenLocked panics when serving has begun.
func (r *Router) checkOpenLocked(what, name string) {
	if r.app.frozen {
		panic(fmt.Sprintf("wsrouter: %s %q registered at %s after serving began", what, name, callSite()))
	}
}

// callSite returns where in the user's code the package was called.
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

// compile builds the chains of all handlers.
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

// bound is the outcome of storing data in v: what the client is told if that
// failed, or what Options.Validate says.
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
	rt := r.routes[c.msg.Event]
	switch {
	case rt != nil:
		return r.run(rt, c)
	case r.notFound != nil:
		return r.run(r.notFound, c)
	case c.msg.ID != "":
		r.app.counters.unknown.Add(1)
		return errNotFound
	case c.msg.Event == plain.Exception: // only clients get here, see Receive
		c.Logger().Warn("wsrouter: exception from the server", "code", remoteError(c.msg.Data).Code)
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
