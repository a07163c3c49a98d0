// Package wsroutertest helps to test handlers, in the manner of
// [net/http/httptest]. It needs no network and works best in a [testing/synctest]
// bubble, where time is fake and a test can prove that nothing arrives.
//
//	func TestEcho(t *testing.T) {
//		synctest.Test(t, func(t *testing.T) {
//			client := wsroutertest.Connect(t, newRouter(), nil)
//			client.Emit("events", "hi")
//			client.Expect("events", "hi")
//			client.ExpectNothing()
//		})
//	}
//
// To test a namespace, connect to the child router, newRouter().Namespace("/chat"). What
// the guard reads with Conn.Auth comes from the options, and so do headers:
//
//	client := wsroutertest.Connect(t, router, &wsrouter.DialOptions{
//		Auth: func(context.Context) (any, error) { return map[string]string{"token": "good"}, nil },
//	})
//
// [TestBroker] and [TestTransport] are for those who write a Broker or an adapter. The
// example ServeLines, in example_transport_test.go, is an adapter with its test.
package wsroutertest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"reflect"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wsrouter/wsrouter"
)

// inBubble guesses by the date: in a bubble time starts in the year 2000.
func inBubble() bool { return time.Now().Year() < 2020 }

// settle waits until everything else in the bubble is blocked. It reports false if
// there is no bubble, or if another goroutine is waiting in the same way.
func settle() (ok bool) {
	defer func() { ok = recover() == nil }()
	synctest.Wait()
	return true
}

// patience returns how long to wait for something that should come. In a bubble an
// hour takes no time.
func patience() time.Duration {
	if inBubble() {
		return time.Hour
	}
	return 10 * time.Second
}

// Client is a connected [wsrouter.Client] that records the events it receives. Use
// its own methods from the test's goroutine only; those of the embedded Client are
// safe for concurrent use.
type Client struct {
	*wsrouter.Client
	tb     testing.TB
	events chan event
}

type event struct {
	name string
	data json.RawMessage
}

// Connect connects a client to the namespace in memory, and closes it when the test
// ends. It fails the test if the client is refused with an HTTP status. In a bubble
// it returns when everything else is blocked; by then OnConnect has let the client
// in, unless OnConnect waits for something. opts may be nil. If opts has a Router,
// Connect registers its NotFound handler, which records the events without a
// handler there.
func Connect(tb testing.TB, router *wsrouter.Router, opts *wsrouter.DialOptions) *Client {
	tb.Helper()
	var o wsrouter.DialOptions
	if opts != nil {
		o = *opts
	}
	if o.Router == nil {
		o.Router = wsrouter.New(nil)
	}
	c := &Client{tb: tb, events: make(chan event, 1<<16)}
	o.Router.NotFound(func(ctx *wsrouter.Context) error {
		c.events <- event{ctx.Event(), bytes.Clone(ctx.Raw())}
		return nil
	})
	client, err := router.Connect(context.Background(), &o)
	if err != nil {
		tb.Fatalf("wsroutertest: connect: %v", err)
	}
	tb.Cleanup(func() {
		client.Close()
		if inBubble() {
			time.Sleep(time.Minute) // lets the server's handlers end, see Options.HookTimeout
		}
	})
	c.Client = client
	if inBubble() {
		settle()
	}
	return c
}

// Expect takes the next received event, waiting for it if necessary, and fails the
// test unless it has that name and data. Data is compared as JSON; a nil data
// stands for null or no data. Expect waits for at most 10 s, or in a bubble for an
// hour, which takes no time.
func (c *Client) Expect(name string, data any) {
	c.tb.Helper()
	e := c.next(name)
	if e.name != name || !equalJSON(c.tb, e.data, data) {
		c.tb.Fatalf("wsroutertest: got event %q with %s, want %q with %s", e.name, show(e.data), name, show(encode(c.tb, data)))
	}
}

// Next takes the next received event, stores its data in v, a pointer or nil, and
// returns its name. It waits like Expect.
func (c *Client) Next(v any) (name string) {
	c.tb.Helper()
	e := c.next("any")
	if v != nil && e.data != nil {
		if err := json.Unmarshal(e.data, v); err != nil {
			c.tb.Fatalf("wsroutertest: event %q with %s: %v", e.name, show(e.data), err)
		}
	}
	return e.name
}

func (c *Client) next(want string) event {
	c.tb.Helper()
	timeout := time.NewTimer(patience())
	defer timeout.Stop()
	select { // what came before the end counts
	case e := <-c.events:
		return e
	default:
	}
	select {
	case e := <-c.events:
		return e
	case <-c.Conn().Context().Done():
		select {
		case e := <-c.events:
			return e
		default:
		}
		c.tb.Fatalf("wsroutertest: connection ended, want event %q: %v", want, context.Cause(c.Conn().Context()))
	case <-timeout.C:
		c.tb.Fatalf("wsroutertest: got no event, want %q", want)
	}
	panic("unreachable")
}

// ExpectNothing fails the test if an event has arrived, or arrives before
// everything in the bubble is blocked. It needs a synctest bubble: without one,
// nothing can prove that no event will come.
func (c *Client) ExpectNothing() {
	c.tb.Helper()
	if !inBubble() || !settle() {
		c.tb.Fatal("wsroutertest: ExpectNothing needs a testing/synctest bubble")
	}
	select {
	case e := <-c.events:
		c.tb.Fatalf("wsroutertest: got event %q with %s, want nothing", e.name, show(e.data))
	default:
	}
}

// ExpectClose waits until the connection has ended, fails the test unless it ended
// with that close code, and returns how it ended. It waits like Expect.
func (c *Client) ExpectClose(code int) *wsrouter.CloseError {
	c.tb.Helper()
	timeout := time.NewTimer(patience())
	defer timeout.Stop()
	select {
	case <-c.Conn().Context().Done():
	case <-timeout.C:
		c.tb.Fatalf("wsroutertest: connection is still open, want close code %d", code)
	}
	var ce *wsrouter.CloseError
	if !errors.As(context.Cause(c.Conn().Context()), &ce) || ce.Code != code {
		c.tb.Fatalf("wsroutertest: got %v, want close code %d", context.Cause(c.Conn().Context()), code)
	}
	return ce
}

// NewContext returns the Context of an event with that name and data, for calling
// one handler directly, and the client that sent the event and receives what the
// handler sends. The event ends in the test's cleanup.
func NewContext(tb testing.TB, name string, data any) (*wsrouter.Context, *Client) {
	tb.Helper()
	router := wsrouter.New(nil)
	contexts := make(chan *wsrouter.Context)
	over := make(chan struct{})
	router.On(name, func(c *wsrouter.Context) error {
		contexts <- c
		<-over
		return nil
	})
	client := Connect(tb, router, nil)
	tb.Cleanup(func() { close(over) })
	if err := client.Emit(name, data); err != nil {
		tb.Fatalf("wsroutertest: %v", err)
	}
	return <-contexts, client
}

func equalJSON(tb testing.TB, got json.RawMessage, want any) bool {
	tb.Helper()
	var a, b any
	if got != nil {
		json.Unmarshal(got, &a)
	}
	json.Unmarshal(encode(tb, want), &b)
	return reflect.DeepEqual(a, b)
}

func encode(tb testing.TB, v any) json.RawMessage {
	tb.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		tb.Fatalf("wsroutertest: %v", err)
	}
	return b
}

func show(data json.RawMessage) string {
	if data == nil {
		return "no data"
	}
	return string(data)
}
