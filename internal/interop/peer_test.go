package interop

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wsrouter/wsrouter"
)

// event is an event that a peer has received, or should receive.
type event struct{ name, data string }

// peer is a client made by Dial that keeps the events it receives. Its answer to
// "question" is the question.
type peer struct {
	*wsrouter.Client
	t      *testing.T
	events chan event
}

func dial(t *testing.T, url string) *peer {
	t.Helper()
	p := &peer{t: t, events: make(chan event, 1000)}
	handlers := wsrouter.New(nil)
	handlers.On("question", func(c *wsrouter.Context) error { return c.Reply(c.Value()) })
	handlers.NotFound(func(c *wsrouter.Context) error {
		select {
		case p.events <- event{c.Event(), string(c.Raw())}:
		default: // a flood: expect has met its first events, and Close waits for this handler
		}
		return nil
	})
	client, err := wsrouter.Dial(t.Context(), url, &wsrouter.DialOptions{Router: handlers})
	require.NoError(t, err)
	t.Cleanup(func() { client.Close() })
	p.Client = client
	return p
}

// emit sends an event. If data is "" the event has none.
func (p *peer) emit(name, data string) {
	p.t.Helper()
	var args []any
	if data != "" {
		args = []any{json.RawMessage(data)}
	}
	require.NoError(p.t, p.Emit(name, args...))
}

// call sends a request and returns its answer. If data is "" the request has none.
func (p *peer) call(name, data string) (answer string, err error) {
	p.t.Helper()
	var in any
	if data != "" {
		in = json.RawMessage(data)
	}
	var out json.RawMessage
	ctx, cancel := context.WithTimeout(p.t.Context(), patience)
	defer cancel()
	err = p.Call(ctx, name, in, &out)
	return string(out), err
}

// pull returns the first n items of a stream, which it then cancels, or all items
// if there are fewer.
func (p *peer) pull(name string, in any, n int) (items []int) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), patience)
	defer cancel()
	for item, err := range wsrouter.Pull[int](ctx, p.Client, name, in) {
		require.NoError(p.t, err)
		if items = append(items, item); len(items) == n {
			break
		}
	}
	return items
}

const patience = time.Minute // how long to wait for what should come

// expect takes the next events received.
func (p *peer) expect(want ...event) {
	p.t.Helper()
	timeout := time.NewTimer(patience)
	defer timeout.Stop()
	for _, want := range want {
		select {
		case got := <-p.events:
			require.Equal(p.t, want, got)
		case <-timeout.C:
			require.FailNow(p.t, "no event came", "want %v", want)
		}
	}
}

// expectNothing checks that no event arrives before the answer to a request of
// ours, and that the connection is alive.
func (p *peer) expectNothing() {
	p.t.Helper()
	p.emit("events", `"the end"`)
	p.expect(event{"events", `"the end"`})
}

// expectClose waits for the server's close frame.
func (p *peer) expectClose(code int, reason string) {
	p.t.Helper()
	select {
	case <-p.Conn().Context().Done():
	case <-time.After(patience):
		require.FailNow(p.t, "the connection goes on")
	}
	var ce *wsrouter.CloseError
	require.ErrorAs(p.t, context.Cause(p.Conn().Context()), &ce)
	require.Equal(p.t, &wsrouter.CloseError{Code: code, Reason: reason, Cause: wsrouter.CausePeer}, ce)
}
