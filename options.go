package wsrouter

import (
	"log/slog"
	"math"
	"net/http"
	"time"

	"github.com/wsrouter/wsrouter/adapter"
	"github.com/wsrouter/wsrouter/broker"
)

// Options configure a tree of namespaces. The zero value suits most services. Where
// zero means a limit, a negative value means unlimited.
type Options struct {
	// Logger receives one line when a client connects, one when it disconnects, at most
	// one a minute for each reason to refuse clients, and what goes wrong. Lines about
	// failures are logged with the handler's context, in which a slog.Handler may find
	// the id of a trace. Nil means slog.Default(). Queries, cookies, payloads and names
	// of events that are not registered are never logged.
	Logger *slog.Logger

	// Origins are the origins whose pages may connect, besides the origin that the
	// request is sent to. Each is written as scheme://host:port, where every part is a
	// pattern of path.Match in which * also matches dots. Empty allows only the same
	// origin.
	//
	//	https://app.example.com    port 443, as it names none
	//	*.example.com              http and https, each on its default port
	//	https://*.example.com:*    any port
	//	http://[::1]:5173          an IPv6 address
	//	capacitor://localhost      the pages of an app
	//	file://                    Chromium's and Electron's pages of files
	//	null                       other pages of files, and sandboxed frames: anybody's
	//	*                          all, including the two above
	//
	// Write international names in ASCII (xn--…), as browsers send them. New panics if
	// an entry cannot match any page. Requests without an Origin header do not come
	// from a page and are allowed, unless the browser says otherwise (Sec-Fetch-Mode),
	// as for an <img>.
	Origins []string

	// AllowOrigin decides whether a page may connect whose origin is not in Origins. It
	// replaces the comparison with the request's own scheme, host and port. Use it if
	// the request does not show those, for example behind a proxy that terminates TLS:
	// if AllowOrigin is nil, pages of both http and https may connect there if host and
	// port are the same. It is called for requests with an Origin header, possibly more
	// than once for each, and concurrently.
	AllowOrigin func(*http.Request) bool

	// MaxConns is how many clients may be connected, and MaxConnsPerClient how many
	// with the same ClientKey. Further clients are refused with 503 and 429
	// respectively. Clients that wait for OnInit count. Zero or negative means no
	// limit.
	MaxConns          int
	MaxConnsPerClient int

	// ClientKey returns the key by which MaxConnsPerClient counts a client. Nil means
	// the host of RemoteAddr, or the /64 of an IPv6 address, all of which belongs to
	// one client. Behind a proxy that is the proxy's address; read the header that your
	// proxy sets instead. A client with an empty key is not limited. ClientKey may be
	// called concurrently.
	ClientKey func(*http.Request) string

	MaxMessage int // bytes of one message; zero means 1,000,000. A larger one closes with 1009
	MaxName    int // bytes of an event's or room's name; zero means 256
	MaxRooms   int // rooms per connection; zero means 1,000
	MaxOpen    int // per connection: running handlers, open calls, and joins of namespaces a minute; zero means 1,000

	// FrameRate is how many frames per second a client may send in the long run, and
	// FrameBurst how many at once; if FrameBurst is zero it is FrameRate. All frames
	// count, even pings and invalid ones. A client that sends more is closed with 1008.
	// A zero or negative FrameRate means no limit.
	FrameRate  int
	FrameBurst int

	// InboxBytes and OutboxBytes are how many bytes may wait in each direction of a
	// connection, not counting the message being handled; zero means 1 MiB. Each
	// received message counts 256 bytes more, each sent message and each of its
	// attachments 64 bytes more. The package documentation says what happens when they
	// are full. Handlers that have yielded, mostly streams, still hold their messages:
	// together at most four times the larger of InboxBytes and MaxMessage. An event
	// beyond that is refused like one beyond MaxOpen.
	InboxBytes  int
	OutboxBytes int

	// MaxBuffered is how many bytes may be held for all connections together, counted
	// at their cost in memory: inboxes and outboxes; the messages of running handlers,
	// plus 1 KiB for each handler; answers that their caller has not taken; frames
	// being written; and what is kept as long as a connection lasts (its request, auth
	// and SetData), beyond 8 KiB. With Recovery also what was sent and is not known to
	// have arrived, and 4 KiB for each connection that is away. When the limit is
	// exceeded, the connection that holds the most is closed as slow, or given up if it
	// is away. Zero or negative means no limit.
	MaxBuffered int

	PingInterval   time.Duration // silence before a client is pinged; zero means 25 s
	PongTimeout    time.Duration // further silence before it is closed; zero means 20 s
	WriteTimeout   time.Duration // for a client to take what was sent; zero means 10 s
	MessageTimeout time.Duration // to receive one message; zero means 60 s
	ConnectTimeout time.Duration // for auth and OnConnect, and for one attempt to dial; zero means 10 s
	HookTimeout    time.Duration // for OnDisconnect's context; zero means 10 s

	// HandlerTimeout ends the context of a handler that runs longer. Zero or negative
	// means no limit.
	HandlerTimeout time.Duration

	// ShutdownSpread is the time over which Shutdown closes the connections, one after
	// another. Zero or negative closes all at once.
	ShutdownSpread time.Duration

	// ShutdownCode is the close code of Shutdown. Zero means 1001, going away; use 1012
	// to say that the service restarts.
	ShutdownCode int

	// Recovery lets connections outlive the network. A client that is lost without a
	// goodbye may resume its Conn, with rooms, data and values, running handlers, calls
	// and streams; both sides receive what they have missed, in order and once. Until
	// then the connection is away: it is found, counted and sent to as before. Clients
	// must ask for it: ours with Reconnect.Resume, or the option resume of wsrouter.js;
	// socket.io-client does from version 4.6 on. Nil lets connections end with their
	// transport, and costs nothing.
	Recovery *Recovery

	// EventLoops lets WebSockets wait at event loops instead of in a goroutine
	// each. An idle connection then takes about a sixth of the memory if
	// WSOptions.Detach is set too, and an event takes less CPU time. Handlers still
	// run in goroutines. It has an effect on Linux, for connections that net/http
	// accepted as a *net.TCPConn; all others, such as those over TLS, are served by
	// a goroutine each. A socket at a loop no longer belongs to net/http: a
	// net.Conn that http.Server.ConnContext or ConnState has kept is closed.
	EventLoops bool

	// ErrorBody returns the data of an exception, which is encoded as JSON. err is what
	// the handler returned, of any type; the client sees everything that ErrorBody
	// returns, so be careful what you show of err. Nil means the body described at
	// WsError. It may be called concurrently.
	ErrorBody func(c *Context, err error) any

	// ErrorCause adds NestJS's "cause":{"pattern":event,"data":data} to the default
	// body.
	ErrorCause bool

	// Validate checks every value that Context.Bind, Handle, Field or Conn.Auth has
	// stored, and each pointer of Args; it is always given a pointer. Return a *WsError
	// to tell the client. Answers to our own calls are not checked. It may be called
	// concurrently. Nil means no checks.
	Validate func(v any) error

	// Broker joins this process with others: the one of module redisbroker, or
	// broker.Memory in tests. Nil means that this process is alone.
	Broker broker.Broker

	// Trace has functions to call when something happens, for logs, metrics and
	// debugging. It may be nil.
	Trace *Trace
}

func (o *Options) withDefaults() Options {
	var c Options
	if o != nil {
		c = *o
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	c.Origins = append([]string(nil), c.Origins...)
	setDefault(&c.MaxConns, unlimited, unlimited)
	setDefault(&c.MaxConnsPerClient, unlimited, unlimited)
	setDefault(&c.MaxMessage, 1_000_000, unlimited-1)
	setDefault(&c.MaxName, 256, unlimited)
	setDefault(&c.MaxRooms, 1000, unlimited)
	setDefault(&c.MaxOpen, 1000, unlimited)
	setDefault(&c.FrameRate, unlimited, unlimited)
	setDefault(&c.FrameBurst, c.FrameRate, unlimited)
	setDefault(&c.InboxBytes, 1<<20, unlimited)
	setDefault(&c.OutboxBytes, 1<<20, unlimited)
	setDefault(&c.MaxBuffered, unlimited, unlimited)
	setDefault(&c.PingInterval, 25*time.Second, forever)
	setDefault(&c.PongTimeout, 20*time.Second, forever)
	setDefault(&c.WriteTimeout, 10*time.Second, forever)
	setDefault(&c.MessageTimeout, 60*time.Second, forever)
	setDefault(&c.ConnectTimeout, 10*time.Second, forever)
	setDefault(&c.HookTimeout, 10*time.Second, forever)
	setDefault(&c.HandlerTimeout, forever, forever)
	setDefault(&c.ShutdownCode, CloseGoingAway, CloseGoingAway)
	c.Recovery = c.Recovery.withDefaults()
	c.ShutdownSpread = max(c.ShutdownSpread, 0)
	var trace Trace
	if c.Trace != nil {
		trace = *c.Trace
	}
	c.Trace = &trace
	return c
}

const unlimited = math.MaxInt

// setDefault replaces zero by the default and a negative value by unlimited.
func setDefault[T int | time.Duration](v *T, def, unlimited T) {
	switch {
	case *v == 0:
		*v = def
	case *v < 0:
		*v = unlimited
	}
}

// limits returns the limits that adapters apply.
func (o *Options) limits() adapter.Limits {
	return adapter.Limits{
		MaxMessage: o.MaxMessage, MaxName: o.MaxName,
		PingInterval: o.PingInterval, PongTimeout: o.PongTimeout, WriteTimeout: o.WriteTimeout,
		MessageTimeout: o.MessageTimeout, ConnectTimeout: o.ConnectTimeout,
		Window: o.Recovery.window(), EventLoops: o.EventLoops,
		Origins: o.Origins, CrossOrigin: len(o.Origins) > 0 || o.AllowOrigin != nil,
	}
}
