// Package wsroutertest helps to test handlers in the manner of
// [net/http/httptest]: without a network, and best in a [testing/synctest]
// bubble, where time is fake and silence can be proved.
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
// the guard reads with Conn.Auth comes from the options, as the headers do:
//
//	client := wsroutertest.Connect(t, router, &wsrouter.DialOptions{
//		Auth: func(context.Context) (any, error) { return map[string]string{"token": "good"}, nil },
//	})
//
// Adapters and brokers are tested by [TestTransport] and [TestBroker]. The example
// ServeLines is an adapter with its test: example_transport_test.go.
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

// inBubble guesses by the date: a bubble's time begins in the year 2000.
func inBubble() bool { return time.Now().Year() < 2020 }

// settle waits until everything else in the bubble is blocked. It reports false
// where there is no bubble, or another goroutine waits like that.
func settle() (ok bool) {
	defer func() { ok = recover() == nil }()
	synctest.Wait()
	return true
}

// patience returns how long to wait for what should come. In a bubble an hour
// takes no time.
func patience() time.Duration {
	if inBubble() {
		return time.Hour
	}
	return 10 * time.Second
}

// Client is a connected [wsrouter.Client] that remembers which events it has
// received. It is used by the one goroutine of its test; the embedded Client's
// methods may be used by any.
type Client struct {
	*wsrouter.Client
	tb     testing.TB
	events chan event
}

type event struct {
	name string
	data json.RawMessage
}

// Connect connects a client to the namespace in memory and closes it when the
// test ends. It fails the test if the client is refused with an HTTP status. In a
// bubble it returns when everything else is blocked, so OnConnect has let the
// client in unless it waits for something. The options may be nil. Of their
// Router, if they have one, the NotFound handler must be free: it records the
// events that have no handler there.
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
			time.Sleep(time.Minute) // for the server's handlers, see Options.HookTimeout
		}
	})
	c.Client = client
	if inBubble() {
		settle()
	}
	return c
}

// Expect takes the next event received and fails the test unless it has that
// name and data, compared as JSON. A nil data is null or none. It waits at most
// 10 s, and in a bubble an hour, which takes no time.
func (c *Client) Expect(name string, data any) {
	c.tb.Helper()
	e := c.next(name)
	if e.name != name || !equalJSON(c.tb, e.data, data) {
		c.tb.Fatalf("wsroutertest: got event %q with %s, want %q with %s", e.name, show(e.data), name, show(encode(c.tb, data)))
	}
}

// Next takes the next event received, stores its data in v, a pointer or nil,
// and returns its name. It waits as Expect does.
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
		c.tb.Fatalf("wsroutertest: want event %q, got the end: %v", want, context.Cause(c.Conn().Context()))
	case <-timeout.C:
		c.tb.Fatalf("wsroutertest: want event %q, got none", want)
	}
	panic("unreachable")
}

// ExpectNothing fails the test if an event has arrived, or arrives before
// everything in the bubble is blocked. It needs a synctest bubble: elsewhere
// nobody can know that nothing will come.
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

// ExpectClose waits until the connection has ended, as long as Expect does, fails the
// test unless its close code is the one given, and returns how it ended.
func (c *Client) ExpectClose(code int) *wsrouter.CloseError {
	c.tb.Helper()
	timeout := time.NewTimer(patience())
	defer timeout.Stop()
	select {
	case <-c.Conn().Context().Done():
	case <-timeout.C:
		c.tb.Fatalf("wsroutertest: want close code %d, but the connection goes on", code)
	}
	var ce *wsrouter.CloseError
	if !errors.As(context.Cause(c.Conn().Context()), &ce) || ce.Code != code {
		c.tb.Fatalf("wsroutertest: got %v, want close code %d", context.Cause(c.Conn().Context()), code)
	}
	return ce
}

// NewContext returns the Context of an event with that data, to call one handler
// directly, and the client that sent the event and gets what the handler sends.
// The event is not over before the test's cleanup.
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
