package wsrouter

import (
	"log/slog"
	"math"
	"net/http"
	"time"

	"github.com/wsrouter/wsrouter/adapter"
	"github.com/wsrouter/wsrouter/broker"
)

// Options configure a tree of namespaces. The zero value is what most services
// want. Where zero means a limit, negative means unlimited.
type Options struct {
	// Logger gets one line when a client connects, one when it disconnects, one a
	// minute for each reason that clients are refused for, and what goes wrong. Lines
	// about failures have the context of the handler, in which a slog.Handler may
	// find the id of a trace. Nil is slog.Default(). Queries, cookies, payloads and
	// event names that are not registered are never logged.
	Logger *slog.Logger

	// Origins are the other origins whose pages may connect, besides the one that
	// the request is for: as scheme://host:port, each part a pattern of path.Match,
	// in which a * also stands for dots. Empty allows the same origin only.
	//
	//	https://app.example.com    port 443, as it names none
	//	*.example.com              http and https, on the port of each
	//	https://*.example.com:*    any port
	//	http://[::1]:5173          an IPv6 address
	//	capacitor://localhost      the pages of an app
	//	file://                    Chromium's and Electron's pages of files
	//	null                       other pages of files, and sandboxed frames: anybody's
	//	*                          all, these two among them
	//
	// International names are written in ASCII (xn--…), as browsers send them. New
	// panics for what can match no page. Requests without an Origin header come
	// from no page and are allowed, unless the browser says otherwise
	// (Sec-Fetch-Mode), as for an <img>.
	Origins []string

	// AllowOrigin decides, in place of the comparison with the request's own
	// scheme, host and port, whether a page may connect that is not in Origins.
	// It is for what the request itself does not show, such as the scheme behind a
	// proxy that ends TLS: nil lets pages of both http and https connect there, if
	// host and port are the same. It is called for requests with an Origin header,
	// maybe more than once, and concurrently.
	AllowOrigin func(*http.Request) bool

	// MaxConns is how many clients there may be, and MaxConnsPerClient how many
	// with the same ClientKey; further ones get 503 and 429. Those who wait for
	// OnInit count. Zero and negative mean no limit.
	MaxConns          int
	MaxConnsPerClient int

	// ClientKey tells clients apart for MaxConnsPerClient. Nil is the host of
	// RemoteAddr, or the /64 of an IPv6 address, all of which one client has:
	// behind a proxy that is the proxy, so read the header there that your proxy
	// sets. An empty key is not limited. It may be called concurrently.
	ClientKey func(*http.Request) string

	MaxMessage int // bytes of one message; zero is 1,000,000. Beyond: close 1009
	MaxName    int // bytes of event and room names; zero is 256
	MaxRooms   int // rooms of one connection; zero is 1,000
	MaxOpen    int // running handlers, open calls, and joins of namespaces a minute, of one connection; zero is 1,000

	// FrameRate is how many frames a second one client may send, in the long
	// run, and FrameBurst how many at once; zero is FrameRate. All frames count,
	// pings and garbage, too. A client that sends more is closed with 1008. Zero
	// and negative mean no limit.
	FrameRate  int
	FrameBurst int

	// InboxBytes and OutboxBytes are how many bytes may wait in each direction of
	// one connection, besides the message in hand; zero is 1 MiB. Each message that
	// came in counts 256 bytes more, each that goes out and each of its attachments
	// 64. See the package doc for what happens when they are full. Handlers that
	// have yielded, mostly streams, keep their messages: together at most four times
	// the larger of InboxBytes and MaxMessage. An event beyond that is refused like
	// one beyond MaxOpen.
	InboxBytes  int
	OutboxBytes int

	// MaxBuffered is how many bytes may be held for all connections together, at
	// what they cost in memory: inboxes and outboxes, the messages of running
	// handlers, with 1 KiB for each handler, answers that their caller has not
	// taken, frames that are being written, and what is kept as long as a
	// connection lasts (its request, auth and SetData), above 8 KiB; with Recovery also
	// what was sent and is not known to have arrived, and 4 KiB for each connection that
	// is away. When the limit is exceeded, the connection that holds most is closed as
	// slow, or given up if it is away. Zero and negative mean no limit.
	MaxBuffered int

	PingInterval   time.Duration // silence before a client is pinged; zero is 25 s
	PongTimeout    time.Duration // silence after that before it is closed; zero is 20 s
	WriteTimeout   time.Duration // for a client to take what was sent; zero is 10 s
	MessageTimeout time.Duration // to receive one message; zero is 60 s
	ConnectTimeout time.Duration // for auth and OnConnect, and of one attempt to dial; zero is 10 s
	HookTimeout    time.Duration // of OnDisconnect's context; zero is 10 s

	// HandlerTimeout ends the context of a handler that runs longer. Zero and
	// negative mean no limit.
	HandlerTimeout time.Duration

	// ShutdownSpread is the time over which Shutdown closes the connections, one
	// after another. Zero closes all at once.
	ShutdownSpread time.Duration

	// ShutdownCode is the close code of Shutdown: zero is 1001, going away; 1012
	// says that the service restarts.
	ShutdownCode int

	// Recovery lets connections outlive the network: a client that is lost without a
	// goodbye may come back to its Conn, with rooms, data and values, running handlers,
	// calls and streams, and both sides get what they have missed, in order and once.
	// Meanwhile it is away: it is found, counted and sent to as ever. Clients have to
	// ask for it: ours by Reconnect.Resume, or the option resume of wsrouter.js;
	// socket.io-client does from version 4.6 on. Nil lets connections end with their
	// transport, and costs nothing.
	Recovery *Recovery

	// EventLoops lets WebSockets wait at event loops instead of a goroutine each: an
	// idle one then costs about a tenth of the memory where WSOptions.Detach is set, and
	// events cost less. It is for Linux, and for connections that net/http accepted as a
	// *net.TCPConn; all others, such as those of TLS, are served as without it. Handlers
	// run on goroutines as ever. The socket leaves net/http: values that
	// http.Server.ConnContext or ConnState keep of the net.Conn show one that is
	// closed.
	EventLoops bool

	// ErrorBody returns the data of an exception, encoded as JSON; nil is the
	// body described at WsError. err is what the handler returned, of any type, so
	// take care what you show of it: the client sees all that ErrorBody returns.
	ErrorBody func(c *Context, err error) any

	// ErrorCause adds NestJS's "cause":{"pattern":event,"data":data} to the
	// default body.
	ErrorCause bool

	// Validate checks what was stored by Context.Bind, Handle, Field and Conn.Auth, and
	// each pointer of Args; what it is given is always a pointer. Return a *WsError to
	// tell the client. What calls of ours are answered is not checked. It may be called
	// concurrently.
	Validate func(v any) error

	// Broker joins this process with others: that of module redisbroker, or
	// broker.Memory. Nil is this process alone.
	Broker broker.Broker

	// Trace is told what happens, for logs, metrics and debugging. Nil is nothing.
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

// limits are those that adapters apply.
func (o *Options) limits() adapter.Limits {
	return adapter.Limits{
		MaxMessage: o.MaxMessage, MaxName: o.MaxName,
		PingInterval: o.PingInterval, PongTimeout: o.PongTimeout, WriteTimeout: o.WriteTimeout,
		MessageTimeout: o.MessageTimeout, ConnectTimeout: o.ConnectTimeout,
		Window: o.Recovery.window(), EventLoops: o.EventLoops,
		Origins: o.Origins, CrossOrigin: len(o.Origins) > 0 || o.AllowOrigin != nil,
	}
}
