package wsrouter_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/wsrouter/wsrouter"
	"github.com/wsrouter/wsrouter/broker"
	"github.com/wsrouter/wsrouter/payload"
	"github.com/wsrouter/wsrouter/wsroutertest"
)

// asked are clients that a node can ask.
type asked struct {
	node    broker.Node
	count   atomic.Int32  // requests received
	ended   atomic.Int32  // requests that nobody waits for any longer
	release chan struct{} // closed to make them answer
}

// askable connects clients that answer "slow" when they are released, "soon" at once,
// and "wrong" with an exception.
func askable(t *testing.T, clients int) *asked {
	t.Helper()
	a := &asked{release: make(chan struct{})}
	r := wsrouter.New(nil)
	for range clients {
		handlers := wsrouter.New(nil)
		handlers.On("slow", a.slow)
		handlers.On("soon", func(c *wsrouter.Context) error { return c.Reply(c.Raw()) })
		handlers.On("wrong", func(c *wsrouter.Context) error { return wsrouter.NewError("wrong") })
		wsroutertest.Connect(t, r, &wsrouter.DialOptions{Router: handlers})
	}
	a.node = wsrouter.NodeOf(r)
	synctest.Wait()
	return a
}

func (a *asked) slow(c *wsrouter.Context) error {
	c.Yield()
	a.count.Add(1)
	select {
	case <-a.release:
		return c.Reply("slow")
	case <-c.Context().Done():
		a.ended.Add(1)
		return nil
	}
}

// Requests from other nodes do not multiply with the clients: 4096 are asked at once,
// and eventually all.
func TestANodeAsks4096ConnectionsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const clients, questions = 10, 450
		a := askable(t, clients)
		var answered atomic.Int32
		var asking sync.WaitGroup
		for range questions {
			n, answers := a.node.Call(t.Context(), broker.Selection{}, "slow", nil)
			assert.Equal(t, clients, n)
			asking.Go(func() {
				for range answers {
					answered.Add(1)
				}
			})
		}
		synctest.Wait()
		assert.EqualValues(t, 4096, a.count.Load())
		close(a.release)
		asking.Wait()
		assert.EqualValues(t, clients*questions, a.count.Load())
		assert.EqualValues(t, clients*questions, answered.Load())
	})
}

// A node's Call asks when its answers are ranged over, and yields their data. Clients
// that fail to answer are left out.
func TestANodesCallHasTheAnswersOfThoseWhoAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := askable(t, 3)
		question, err := payload.Encode([]any{"bytes", []byte("x")})
		assert.NoError(t, err)
		n, answers := a.node.Call(t.Context(), broker.Selection{}, "soon", []payload.Value{question})
		assert.Equal(t, 3, n)
		for answer := range answers {
			assert.Equal(t, `["bytes","eA=="]`, string(answer.Raw()))
			n--
		}
		assert.Zero(t, n)

		n, answers = a.node.Call(t.Context(), broker.Selection{}, "wrong", nil)
		assert.Equal(t, 3, n)
		for range answers {
			assert.Fail(t, "there is nothing to answer")
		}
		n, _ = a.node.Call(t.Context(), broker.Selection{}, "slow", nil)
		assert.Equal(t, 3, n)
		n, _ = a.node.Call(t.Context(), broker.Selection{Rooms: []string{"empty"}}, "slow", nil)
		assert.Zero(t, n)
		synctest.Wait()
		assert.Zero(t, a.count.Load(), "nobody has ranged over it")
	})
}

// Clients are told when nobody waits for them any longer, because ctx has ended or the
// loop has been left.
func TestANodesCallEndsWithItsContextOrItsLoop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := askable(t, 2)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, answers := a.node.Call(ctx, broker.Selection{}, "slow", nil)
		for range answers {
			assert.Fail(t, "nobody answers")
		}
		synctest.Wait()
		assert.EqualValues(t, 2, a.count.Load())
		assert.EqualValues(t, 2, a.ended.Load())

		_, answers = a.node.Call(t.Context(), broker.Selection{}, "soon", nil)
		for range answers {
			break
		}
		close(a.release)
		_, answers = a.node.Call(t.Context(), broker.Selection{}, "slow", nil)
		for answer := range answers {
			assert.Equal(t, `"slow"`, string(answer.Raw()))
		}
		assert.EqualValues(t, 4, a.count.Load())
	})
}
