package membership_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wsrouter/wsrouter/broker"
	"github.com/wsrouter/wsrouter/internal/leak"
	"github.com/wsrouter/wsrouter/internal/membership"
)

func TestMain(m *testing.M) { leak.Main(m) }

var errBroker = errors.New("the broker's")

// fake is a Broker and its subscription.
type fake struct {
	subscribing chan struct{} // Subscribe waits until it is closed, or ctx ends if heeds
	heeds       bool
	never       bool // Subscribe fails
	failing     error

	mu        sync.Mutex // guards what follows
	asked     int
	closed    int
	published []string
}

func (f *fake) Subscribe(ctx context.Context, _ broker.Node) (broker.Subscription, error) {
	f.mu.Lock()
	f.asked++
	f.mu.Unlock()
	done := ctx.Done()
	if !f.heeds {
		done = nil
	}
	select {
	case <-f.subscribing:
	case <-done:
	}
	if f.never {
		return nil, errBroker
	}
	return f, nil
}

func (f *fake) Publish(op *broker.Operation) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.published = append(f.published, op.Event)
	return f.failing
}

func (f *fake) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed++
	return f.failing
}

// finder can ask other nodes.
type finder struct{ *fake }

func (f finder) Subscribe(ctx context.Context, n broker.Node) (broker.Subscription, error) {
	if _, err := f.fake.Subscribe(ctx, n); err != nil {
		return nil, err
	}
	return f, nil
}

func (f finder) Find(context.Context, broker.Selection) ([]broker.Member, error) {
	return []broker.Member{{ID: "other"}}, f.failing
}

func now() chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}

func emit(event string) *broker.Operation {
	return &broker.Operation{Kind: broker.OpEmit, Event: event}
}

func join() *broker.Operation { return &broker.Operation{Kind: broker.OpJoin, Event: "join"} }

type bench struct {
	*membership.Membership
	lost atomic.Int64
	log  bytes.Buffer
}

func with(b broker.Broker) *bench {
	m := new(bench)
	m.Membership = membership.New(b, nil, slog.New(slog.NewTextHandler(&m.log, nil)), &m.lost)
	return m
}

func TestWithoutABrokerThereIsNothingToWaitFor(t *testing.T) {
	m := with(nil)
	m.Join()
	m.Wait(t.Context())
	require.ErrorIs(t, m.Publish(emit("a")), broker.ErrUnreached)
	require.ErrorIs(t, m.Publish(join()), broker.ErrUnreached)
	_, err := m.Find(t.Context(), broker.Selection{})
	require.Equal(t, broker.ErrUnreached, err)
	require.EqualValues(t, 1, m.lost.Load(), "emits only")
	<-m.Leave()
}

// TestJoined walks through the drawing by way of joined.
func TestJoined(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{subscribing: make(chan struct{})}
		m := with(f)
		begin := time.Now()
		require.NoError(t, m.Publish(emit("1")), "the first who needs others joins them")
		m.Join()
		require.NoError(t, m.Publish(emit("2")))
		time.AfterFunc(time.Second, func() { close(f.subscribing) })
		require.NoError(t, m.Publish(join()))
		require.Equal(t, time.Second, time.Since(begin))
		require.NoError(t, m.Publish(emit("3")))
		m.Wait(t.Context())
		require.Equal(t, []string{"1", "2", "join", "3"}, f.published, "what was kept goes first, in order")
		require.Equal(t, 1, f.asked)
		require.Zero(t, f.closed)
		<-m.Leave()
		<-m.Leave()
		require.Equal(t, 1, f.closed)
		require.ErrorIs(t, m.Publish(emit("late")), broker.ErrUnreached)
		require.ErrorIs(t, m.Publish(join()), broker.ErrUnreached)
		m.Join()
		synctest.Wait()
		require.Equal(t, 1, f.asked, "it leaves forever")
		require.EqualValues(t, 1, m.lost.Load())
		require.Empty(t, m.log.String())
	})
}

func TestFailed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{subscribing: make(chan struct{}), never: true}
		m := with(f)
		for range 3 {
			require.NoError(t, m.Publish(emit("kept")))
		}
		close(f.subscribing)
		require.ErrorIs(t, m.Publish(join()), broker.ErrUnreached)
		require.EqualValues(t, 3, m.lost.Load(), "what was kept in vain")
		require.ErrorIs(t, m.Publish(emit("a")), broker.ErrUnreached)
		require.EqualValues(t, 4, m.lost.Load())
		synctest.Wait()
		require.Equal(t, 1, strings.Count(m.log.String(), errBroker.Error()))
		<-m.Leave()
		require.Zero(t, f.closed)
		require.Equal(t, 1, f.asked)
	})
}

func TestNobodyWaitsLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{subscribing: make(chan struct{})}
		m := with(f)
		begin := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		m.Wait(ctx)
		require.Equal(t, time.Second, time.Since(begin))
		m.Wait(t.Context())
		require.Equal(t, membership.JoinWait, time.Since(begin))
		require.ErrorIs(t, m.Publish(join()), broker.ErrUnreached)
		_, err := m.Find(t.Context(), broker.Selection{})
		require.ErrorIs(t, err, broker.ErrUnreached)
		require.NoError(t, m.Publish(emit("kept")))
		require.Equal(t, membership.JoinWait, time.Since(begin), "together")
		close(f.subscribing)
		m.Wait(t.Context())
		synctest.Wait()
		require.Equal(t, []string{"kept"}, f.published)
		<-m.Leave()
	})
}

// TestLeaveWhileJoining checks that those who wait are released, and that a late
// subscription is closed.
func TestLeaveWhileJoining(t *testing.T) {
	for name, heeds := range map[string]bool{"the Broker heeds the context": true, "it does not": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := &fake{subscribing: make(chan struct{}), heeds: heeds}
				m := with(f)
				begin := time.Now()
				waited := make(chan error)
				go func() { waited <- m.Publish(join()) }()
				synctest.Wait()
				gone := m.Leave()
				require.ErrorIs(t, <-waited, broker.ErrUnreached)
				if !heeds {
					time.AfterFunc(time.Minute, func() { close(f.subscribing) })
				}
				<-gone
				require.Equal(t, 1, f.closed)
				require.Equal(t, !heeds, time.Since(begin) == time.Minute)
				require.ErrorIs(t, m.Publish(emit("late")), broker.ErrUnreached)
			})
		})
	}
}

func TestKeptIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{subscribing: make(chan struct{})}
		m := with(f)
		name := strings.Repeat("e", 1000)
		fits := membership.MaxKept / emit(name).Size()
		for i := range fits + 10 {
			err := m.Publish(emit(name))
			require.Equal(t, i >= fits, errors.Is(err, broker.ErrUnreached), i)
		}
		require.EqualValues(t, 10, m.lost.Load())
		close(f.subscribing)
		m.Wait(t.Context())
		require.Len(t, f.published, fits)
		<-m.Leave()
	})
}

func TestOneEmitIsKeptHoweverLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{subscribing: make(chan struct{})}
		m := with(f)
		require.NoError(t, m.Publish(emit(strings.Repeat("e", 2*membership.MaxKept))))
		require.ErrorIs(t, m.Publish(emit("e")), broker.ErrUnreached)
		close(f.subscribing)
		m.Wait(t.Context())
		require.Len(t, f.published, 1)
		<-m.Leave()
	})
}

// TestComplaints checks that failures nobody is told are logged, except what was
// merely not reached, which the Broker counts.
func TestComplaints(t *testing.T) {
	for failing, lines := range map[error]int{errBroker: 2, broker.ErrUnreached: 1} {
		synctest.Test(t, func(t *testing.T) {
			f := &fake{subscribing: make(chan struct{}), failing: failing}
			m := with(f)
			require.NoError(t, m.Publish(emit("kept")))
			close(f.subscribing)
			m.Wait(t.Context())
			require.ErrorIs(t, m.Publish(emit("told")), failing)
			<-m.Leave()
			require.Equal(t, lines, strings.Count(m.log.String(), "\n"), m.log.String())
			require.Equal(t, failing == errBroker, strings.Contains(m.log.String(), "event=kept"))
		})
	}
}

func TestFind(t *testing.T) {
	for _, failing := range []error{nil, errBroker} {
		m := with(finder{&fake{subscribing: now(), failing: failing}})
		found, err := m.Find(t.Context(), broker.Selection{})
		require.ErrorIs(t, err, failing)
		require.Equal(t, []broker.Member{{ID: "other"}}, found, "whatever the error")
		<-m.Leave()
	}
	m := with(&fake{subscribing: now()})
	_, err := m.Find(t.Context(), broker.Selection{})
	require.ErrorIs(t, err, broker.ErrUnreached, "it cannot")
	<-m.Leave()
}

// TestRace checks that while a node joins, each of many goroutines' emits is
// published, those of one goroutine in order, and that the subscription is closed
// once.
func TestRace(t *testing.T) {
	for range 50 {
		synctest.Test(t, func(t *testing.T) {
			f := &fake{subscribing: make(chan struct{})}
			m := with(f)
			var wg sync.WaitGroup
			for _, event := range []string{"a", "b", "c", "d"} {
				wg.Go(func() {
					for i := range 90 { // printable ones
						if err := m.Publish(emit(event + string(rune('!'+i)))); err != nil {
							t.Error(err)
						}
					}
				})
			}
			wg.Go(func() { close(f.subscribing) })
			wg.Go(func() { m.Wait(t.Context()) })
			wg.Wait()
			synctest.Wait()
			for range 4 {
				wg.Go(func() { <-m.Leave() })
			}
			wg.Wait()
			require.Len(t, f.published, 4*90)
			last := map[byte]byte{}
			for _, event := range f.published {
				require.Less(t, last[event[0]], event[1], "in order")
				last[event[0]] = event[1]
			}
			require.Equal(t, 1, f.closed)
		})
	}
}

// TestLeaveAsItSettles checks that a node which leaves just when the Broker answers
// is closed once, whatever the answer was.
func TestLeaveAsItSettles(t *testing.T) {
	for i := range 2000 {
		f := &fake{subscribing: make(chan struct{}), never: i%2 == 0}
		m := with(f)
		m.Join()
		var wg sync.WaitGroup
		wg.Go(func() { close(f.subscribing) })
		wg.Go(func() {
			m.Wait(t.Context())
			<-m.Leave()
		})
		wg.Wait()
		f.mu.Lock()
		require.Equal(t, f.never, f.closed == 0)
		require.LessOrEqual(t, f.closed, 1)
		f.mu.Unlock()
	}
}
