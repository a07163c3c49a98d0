package wsroutertest_test

import (
	"context"
	"fmt"
	"runtime"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/wsrouter/wsrouter"
	"github.com/wsrouter/wsrouter/internal/leak"
	"github.com/wsrouter/wsrouter/wsroutertest"
)

func TestMain(m *testing.M) { leak.Main(m) }

func echo(c *wsrouter.Context) error { return c.Reply(c.Value()) }

// TestNewContext calls a handler directly.
func TestNewContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, client := wsroutertest.NewContext(t, "events", map[string]int{"id": 7})
		require.NoError(t, c.Context().Err())
		require.NoError(t, echo(c))
		client.Expect("events", map[string]int{"id": 7})
		require.ErrorIs(t, echo(c), wsrouter.ErrReplied)
		require.NoError(t, c.Emit("more", 1))
		var n int
		require.Equal(t, "more", client.Next(&n))
		require.Equal(t, 1, n)
		client.ExpectNothing()
	})
}

// TestOutsideBubble checks that everything but ExpectNothing works in real time,
// too.
func TestOutsideBubble(t *testing.T) {
	router := wsrouter.New(nil)
	router.On("events", echo)
	client := wsroutertest.Connect(t, router, nil)
	require.NoError(t, client.Emit("events", 1))
	client.Expect("events", 1)
	require.Equal(t, "wsroutertest: ExpectNothing needs a testing/synctest bubble", fails(t, func(tb testing.TB) {
		wsroutertest.Connect(tb, router, nil).ExpectNothing()
	}))
}

// TestFailures checks that each helper fails its test when it should, with a text
// that says what came instead.
func TestFailures(t *testing.T) {
	tests := []struct {
		name string
		run  func(tb testing.TB, client *wsroutertest.Client)
		want string
	}{
		{"other data", func(_ testing.TB, c *wsroutertest.Client) { c.Emit("events", 1); c.Expect("events", 2) },
			`wsroutertest: got event "events" with 1, want "events" with 2`},
		{"other name", func(_ testing.TB, c *wsroutertest.Client) { c.Emit("events", nil); c.Expect("x", nil) },
			`wsroutertest: got event "events" with null, want "x" with null`},
		{"nothing", func(_ testing.TB, c *wsroutertest.Client) { c.Expect("events", 1) },
			`wsroutertest: got no event, want "events"`},
		{"the end", func(_ testing.TB, c *wsroutertest.Client) { c.Close(); c.Next(nil) },
			`wsroutertest: connection ended, want event "any": wsrouter: closed (local): code 1000`},
		{"something", func(_ testing.TB, c *wsroutertest.Client) { c.Emit("events", 1); c.ExpectNothing() },
			`wsroutertest: got event "events" with 1, want nothing`},
		{"no close", func(_ testing.TB, c *wsroutertest.Client) { c.ExpectClose(1000) },
			`wsroutertest: connection is still open, want close code 1000`},
		{"other close", func(_ testing.TB, c *wsroutertest.Client) { c.Close(); c.ExpectClose(1001) },
			`wsroutertest: got wsrouter: closed (local): code 1000, want close code 1001`},
		{"wrong type", func(_ testing.TB, c *wsroutertest.Client) { c.Emit("events", 1); c.Next(new(string)) },
			`wsroutertest: event "events" with 1: json: cannot unmarshal number into Go value of type string`},
		{"unencodable", func(_ testing.TB, c *wsroutertest.Client) { c.Emit("events", 1); c.Expect("events", make(chan int)) },
			`wsroutertest: json: unsupported type: chan int`},
		{"refused", func(tb testing.TB, _ *wsroutertest.Client) {
			router := wsrouter.New(nil)
			router.Shutdown(context.Background())
			wsroutertest.Connect(tb, router, nil)
		}, `wsroutertest: connect: wsrouter: server answered 503 Service Unavailable: shutting down`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				router := wsrouter.New(nil)
				router.On("events", echo)
				require.Equal(t, test.want, fails(t, func(tb testing.TB) {
					test.run(tb, wsroutertest.Connect(tb, router, nil))
				}))
			})
		})
	}
}

// recorder is a testing.TB that keeps its first failure.
type recorder struct {
	testing.TB
	failure string
}

func (r *recorder) Helper() {}
func (r *recorder) Fatal(args ...any) {
	if r.failure == "" {
		r.failure = fmt.Sprint(args...)
	}
	runtime.Goexit()
}
func (r *recorder) Fatalf(format string, args ...any) { r.Fatal(fmt.Sprintf(format, args...)) }

// fails runs fn and returns the text with which it failed its test.
func fails(t *testing.T, fn func(tb testing.TB)) string {
	t.Helper()
	r := &recorder{TB: t}
	done := make(chan struct{})
	go func() {
		defer close(done)
		fn(r)
	}()
	<-done
	return r.failure
}
