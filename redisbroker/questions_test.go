package redisbroker_test

import (
	"encoding/json"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wsrouter/wsrouter"
	"github.com/wsrouter/wsrouter/internal/redistest"
	"github.com/wsrouter/wsrouter/redisbroker"
)

// askAll is a broadcast with acknowledgments that clients do not answer, from a
// node that waits an hour:
//
// {uid, requestId, type: 7, packet: {data: ["silence"]}, opts: {flags: {timeout:
// 3600000}}}
func askAll(t *testing.T, id int) string {
	return unhex(t, "85a3756964a175a9726571756573744964"+fmt.Sprintf("cd%04x", id)+"a47479706507"+
		"a67061636b657481a46461746191a773696c656e6365a46f70747381a5666c61677381a774696d656f7574ce0036ee80")
}

// flooded returns a node with clients that has received so many requests of each
// kind that the answers never end, and everything that is sent in answer.
func flooded(t *testing.T, opts *redisbroker.Options, clients, questions int) (*wsrouter.Router, *wire) {
	addr := redistest.Start(t).Addr
	r := newNode(t, newBroker(t, addr, opts))
	for range clients {
		connect(t, r)
	}
	w := listen(t, addr, "socket.io-response#*")
	for i := range questions {
		w.say(requests, askAll(t, i))
		w.next() // how many clients there are
	}
	return r, w
}

// Whatever is asked, at most 4096 clients are asked at once. Each is a goroutine
// here, and another one if it is silent.
func TestQuestionsTimesClientsAreBounded(t *testing.T) {
	const clients, questions = 50, 256
	before := runtime.NumGoroutine()
	r, _ := flooded(t, &redisbroker.Options{RequestTimeout: time.Hour}, clients, questions)
	assert.Less(t, runtime.NumGoroutine()-before, 2*4096+128+10*clients+100)
	eventually(t, func() bool { return r.Stats().Broker.Dropped >= 128 }) // the last is counted when it has been answered
	assert.EqualValues(t, 128, r.Stats().Broker.Dropped)
	require.NoError(t, r.Close())
}

// A requester that waits an hour does not make this node wait as long.
func TestClientsHaveRequestTimeoutToAnswer(t *testing.T) {
	before := runtime.NumGoroutine()
	r, _ := flooded(t, &redisbroker.Options{RequestTimeout: 5 * time.Second}, 10, 100)
	assert.Greater(t, runtime.NumGoroutine()-before, 1000)
	eventually(t, func() bool { return runtime.NumGoroutine()-before < 300 })
	assert.Equal(t, 10, r.Stats().Connections)
}

// A flood of one kind of request leaves the other kinds usable.
func TestAFloodOfOneKindLeavesTheOthers(t *testing.T) {
	stop := make(chan struct{})
	opts := &redisbroker.Options{
		RequestTimeout: time.Minute,
		ServerSideEmit: func(_, event string, _ []json.RawMessage) (any, error) {
			if event == "wait" {
				<-stop
			}
			return "friend", nil
		},
	}
	r, w := flooded(t, opts, 2, 300)
	defer close(stop)
	answered := func(what, question, answer string) {
		t.Helper()
		w.say(requests, question)
		assert.Contains(t, w.next().Message, answer, what)
	}
	answered("serverSideEmit", `{"uid":"u","requestId":"q6","type":6,"data":["e"]}`, `"data":"friend"`)
	for range 300 {
		w.say(requests, `{"uid":"u","requestId":"w","type":6,"data":["wait"]}`)
	}
	answered("sockets", `{"uid":"u","requestId":"q0","type":0,"rooms":["room"]}`, `"requestId":"q0"`)
	answered("rooms", `{"uid":"u","requestId":"q1","type":1}`, `"room"`)
	answered("fetch", `{"uid":"u","requestId":"q5","type":5,"opts":{"rooms":[],"except":[]}}`, `"requestId":"q5"`)
	assert.Greater(t, r.Stats().Broker.Dropped, int64(300))
}

// Requests that nobody can answer hold their arguments; those are bounded, too.
func TestWhatQuestionsHoldIsBounded(t *testing.T) {
	const limit = 256 << 10
	stop := make(chan struct{})
	addr := redistest.Start(t).Addr
	broker := newBroker(t, addr, &redisbroker.Options{
		MaxMessage:     limit,
		ServerSideEmit: func(string, string, []json.RawMessage) (any, error) { <-stop; return nil, nil },
	})
	r := newNode(t, broker)
	connect(t, r)
	defer close(stop)
	require.NoError(t, r.Emit("connects whoever publishes"))
	eventually(t, func() bool { return broker.BrokerStats().Published > 0 })
	w := listen(t, addr)
	question := `{"uid":"u","requestId":"w","type":6,"data":["wait","` + strings.Repeat("x", 50_000) + `"]}`
	before := heap()
	for range 60 {
		w.say(requests, question)
	}
	eventually(t, func() bool { return broker.BrokerStats().Dropped > 50 })
	eventually(t, func() bool { return heap()-before < 4*limit }) // when none is on its way any more
}
