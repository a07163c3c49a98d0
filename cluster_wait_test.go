package wsrouter_test

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wsrouter/wsrouter"
	"github.com/wsrouter/wsrouter/broker"
	"github.com/wsrouter/wsrouter/wsroutertest"
)

// stuck is a Broker and its subscription. Each method waits until its channel is
// closed; nil means forever.
type stuck struct {
	subscribe, close chan struct{}

	mu        sync.Mutex // guards published
	published []string   // the events, and "join"
}

func (s *stuck) Subscribe(context.Context, broker.Node) (broker.Subscription, error) {
	<-s.subscribe
	return s, nil
}

func (s *stuck) Publish(op *broker.Operation) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if op.Kind == broker.OpJoin {
		s.published = append(s.published, "join")
	} else {
		s.published = append(s.published, op.Event)
	}
	return nil
}

func (s *stuck) Close() error {
	<-s.close
	return nil
}

func (s *stuck) heard() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string{}, s.published...)
}

func passed() chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}

func TestShutdownReturnsByItsContextWhateverABrokerDoes(t *testing.T) {
	for name, b := range map[string]func() (_ *stuck, free chan struct{}){
		"Subscribe blocks": func() (*stuck, chan struct{}) {
			free := make(chan struct{})
			return &stuck{subscribe: free, close: passed()}, free
		},
		"Close blocks": func() (*stuck, chan struct{}) {
			free := make(chan struct{})
			return &stuck{subscribe: passed(), close: free}, free
		},
	} {
		for _, served := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					b, free := b()
					defer close(free)
					r := inCluster(b)
					r.Namespace("/chat")
					require.NoError(t, r.Emit("hello"))
					if served {
						wsroutertest.Connect(t, r, nil)
					}
					ctx, cancel := context.WithTimeout(t.Context(), time.Second)
					defer cancel()
					begin := time.Now()
					assert.ErrorIs(t, r.Shutdown(ctx), context.DeadlineExceeded)
					assert.Equal(t, time.Second, time.Since(begin))
					assert.ErrorIs(t, r.To("room").Join("late"), wsrouter.ErrUnreached)
					assert.NoError(t, r.Emit("late"))
					require.NoError(t, r.Close())
					assert.Equal(t, 2*time.Second, time.Since(begin), "Close gives a Broker a second")
				})
			})
		}
	}
}

func TestAnEmitNeverWaitsForABroker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &stuck{subscribe: make(chan struct{}), close: passed()}
		r := inCluster(b)
		begin := time.Now()
		want := []string{"1", "2", "3"}
		for _, event := range want {
			require.NoError(t, r.Emit(event))
		}
		assert.Zero(t, time.Since(begin))
		assert.Empty(t, b.heard())
		joined := make(chan error)
		go func() { joined <- r.To("room").Join("other") }()
		time.AfterFunc(3*time.Second, func() { close(b.subscribe) })
		require.NoError(t, <-joined, "an operation on rooms waits")
		assert.Equal(t, 3*time.Second, time.Since(begin))
		assert.Equal(t, append(want, "join"), b.heard(), "what was kept goes first, in order")
		require.NoError(t, r.Emit("4"))
		assert.Equal(t, append(want, "join", "4"), b.heard())
		require.NoError(t, r.Shutdown(t.Context()))
	})
}

func TestEmitsKeptForABrokerAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &stuck{subscribe: make(chan struct{}), close: passed()}
		r := inCluster(b)
		target := r.To(numbered(1000)...)
		for range 1000 {
			require.NoError(t, target.Emit("e"))
		}
		close(b.subscribe)
		synctest.Wait()
		kept := len(b.heard())
		assert.Greater(t, kept, 20)
		assert.Less(t, kept, 100)
		assert.EqualValues(t, 1000-kept, r.Stats().Broker.Dropped)
		require.NoError(t, r.Shutdown(t.Context()))
	})
}

// Everything that waits for a Broker to subscribe waits a few seconds in total.
func TestNobodyWaitsLongForABroker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &stuck{subscribe: make(chan struct{}), close: passed()}
		r := inCluster(b)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		begin := time.Now()
		_, err := r.Find(ctx)
		assert.ErrorIs(t, err, wsrouter.ErrUnreached)
		assert.Equal(t, time.Second, time.Since(begin))
		client := wsroutertest.Connect(t, r, nil)
		assert.ErrorIs(t, r.To("room").Join("other"), wsrouter.ErrUnreached)
		assert.Equal(t, 5*time.Second, time.Since(begin))
		require.NoError(t, r.Emit("here"))
		client.Expect("here", nil)
		close(b.subscribe)
		synctest.Wait()
		assert.Equal(t, []string{"here"}, b.heard(), "it joins as soon as it can")
		require.NoError(t, r.Shutdown(t.Context()))
	})
}
