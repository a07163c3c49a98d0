package redisbroker_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wsrouter/wsrouter"
	"github.com/wsrouter/wsrouter/internal/redistest"
	"github.com/wsrouter/wsrouter/redisbroker"
)

// A Redis that accepts connections but says nothing is waited for as long as
// Shutdown's context allows, and for one second by Close, however patient the
// broker is.
func TestShutdownWhileRedisIsPaused(t *testing.T) {
	server := redistest.Start(t)
	broker := newBroker(t, server.Addr, &redisbroker.Options{RequestTimeout: time.Minute})
	r := newNode(t, broker)
	connect(t, r)
	server.Pause()
	defer server.Resume()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	begin := time.Now()
	assert.ErrorIs(t, r.Shutdown(ctx), context.DeadlineExceeded)
	assert.Less(t, time.Since(begin), 5*time.Second)
	assert.ErrorIs(t, r.To("room").Join("late"), wsrouter.ErrUnreached)
	require.NoError(t, broker.Close())
	assert.Less(t, time.Since(begin), 10*time.Second)
}

// Close also waits for what could not be sent, but not longer than RequestTimeout,
// however patient the client is.
func TestCloseWhileRedisIsPaused(t *testing.T) {
	server := redistest.Start(t)
	option := optionFor(server.Addr)
	option.ConnWriteTimeout = time.Minute
	broker, err := redisbroker.New(option, &redisbroker.Options{RequestTimeout: time.Second})
	require.NoError(t, err)
	chat := newNode(t, broker).Namespace("/chat")
	connect(t, chat)
	server.Pause()
	defer server.Resume()
	require.NoError(t, chat.Emit("lost"))
	begin := time.Now()
	require.NoError(t, broker.Close())
	assert.Less(t, time.Since(begin), 10*time.Second)
}

func TestTheFirstEmitDoesNotWaitForRedis(t *testing.T) {
	server := redistest.Start(t)
	other := newNode(t, newBroker(t, server.Addr, nil))
	client := connect(t, other)
	server.Pause()
	r := newNode(t, newBroker(t, server.Addr, nil))
	begin := time.Now()
	require.NoError(t, r.To("room").Emit("first"))
	assert.Less(t, time.Since(begin), 2*time.Second)
	server.Resume()
	client.Expect("first", nil)
}

// The queue's limit counts everything it holds, including names of rooms.
func TestTheQueueChargesWhatItHolds(t *testing.T) {
	const limit = 1 << 20
	server := redistest.Start(t)
	broker := newBroker(t, server.Addr, &redisbroker.Options{QueueBytes: limit})
	r := newNode(t, broker)
	connect(t, r)
	server.Stop()
	eventually(t, func() bool { return r.Stats().Broker.Away > 0 })
	rooms := make([]string, 1000)
	for kind, emit := range map[string]func(i int) error{
		"rooms":     func(int) error { return r.To(rooms...).Emit("e") },
		"except":    func(int) error { return r.Except(rooms...).Emit("e") },
		"arguments": func(int) error { return r.To("x").Emit("e", make([]any, 500)...) },
		"bytes":     func(int) error { return r.To("x").Emit("e", make([][]byte, 1000)) },
		"text":      func(i int) error { return r.To("x").Emit("e", strings.Repeat("x", 5000)) },
		"nothing":   func(i int) error { return r.To("x").Emit("e") },
	} {
		for i := range rooms {
			rooms[i] = fmt.Sprint(kind, " ", i)
		}
		before := heap()
		for i := range 3000 {
			require.NoError(t, emit(i))
		}
		assert.Less(t, heap()-before, 4*limit, kind)
	}
	assert.LessOrEqual(t, r.Stats().Broker.Queued, limit)
	assert.Positive(t, r.Stats().Broker.Dropped)
}

// What exceeds MaxMessage is counted, and what follows arrives.
func TestMaxMessage(t *testing.T) {
	addr := redistest.Start(t).Addr
	a := newNode(t, newBroker(t, addr, nil))
	b := newNode(t, newBroker(t, addr, &redisbroker.Options{MaxMessage: 100_000}))
	connect(t, a)
	client := connect(t, b)
	require.NoError(t, a.To("room").Emit("fits", strings.Repeat("x", 90_000)))
	require.NoError(t, a.To("room").Emit("large", strings.Repeat("x", 100_000)))
	require.NoError(t, a.To("room").Emit("grows", strings.Repeat("\x00", 20_000)))
	require.NoError(t, a.To("room").Emit("after"))
	assert.Equal(t, "fits", client.Next(nil))
	assert.Equal(t, "after", client.Next(nil))
	assert.EqualValues(t, 2, b.Stats().Broker.Malformed)
	assert.ErrorContains(t, redisbroker.NewEmitter(newClient(t, addr), nil).To(make([]string, 10_001)...).Emit(t.Context(), "e"), "rooms")
}
