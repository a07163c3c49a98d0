package redisbroker_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/redis/rueidis"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wsrouter/wsrouter"
	"github.com/wsrouter/wsrouter/internal/redistest"
	"github.com/wsrouter/wsrouter/redisbroker"
)

// wire talks to a cluster in bytes.
type wire struct {
	t      *testing.T
	client rueidis.Client
	heard  chan rueidis.PubSubMessage
}

// listen hears what is sent on the channels. They must not include one on which
// nodes count each other.
func listen(t *testing.T, addr string, channels ...string) *wire {
	t.Helper()
	w := &wire{t: t, client: newClient(t, addr), heard: make(chan rueidis.PubSubMessage, 1000)}
	conn, release := w.client.Dedicate()
	t.Cleanup(release)
	subscribed := make(chan struct{}, len(channels))
	conn.SetPubSubHooks(rueidis.PubSubHooks{
		OnMessage:      func(m rueidis.PubSubMessage) { w.heard <- m },
		OnSubscription: func(rueidis.PubSubSubscription) { subscribed <- struct{}{} },
	})
	for _, channel := range channels {
		require.NoError(t, conn.Do(t.Context(), conn.B().Psubscribe().Pattern(channel).Build()).Error())
		<-subscribed
	}
	return w
}

func (w *wire) say(channel, message string) {
	w.t.Helper()
	command := w.client.B().Publish().Channel(channel).Message(message).Build()
	require.NoError(w.t, w.client.Do(w.t.Context(), command).Error())
}

func (w *wire) next() rueidis.PubSubMessage {
	w.t.Helper()
	select {
	case m := <-w.heard:
		return m
	case <-time.After(20 * time.Second):
		require.Fail(w.t, "nothing was said")
		return rueidis.PubSubMessage{}
	}
}

// expect returns the next message, with the text id in place of a client's id.
func (w *wire) expect(want, id string) {
	w.t.Helper()
	assert.Equal(w.t, want, strings.ReplaceAll(w.next().Message, id, "<id>"))
}

const (
	broadcasts = "socket.io#/#"
	requests   = "socket.io-request#/#"
	responses  = "socket.io-response#/#"
)

func TestRequestsOfNodeAreAnswered(t *testing.T) {
	addr := redistest.Start(t).Addr
	broker := newBroker(t, addr, &redisbroker.Options{
		ServerSideEmit: func(namespace, event string, args []json.RawMessage) (any, error) {
			switch event {
			case "panic":
				panic("no")
			case "no JSON":
				return make(chan int), nil
			case "error":
				return nil, errors.New("no")
			}
			return []any{namespace, event, args}, nil
		},
	})
	r := newNode(t, broker)
	client := connect(t, r)
	var id string
	for c := range r.Conns() {
		id = c.ID()
	}
	w := listen(t, addr, "socket.io-response#*")

	w.say(requests, `{"uid":"u","requestId":"q0","type":0,"rooms":["room"]}`)
	w.expect(`{"requestId":"q0","sockets":["<id>"]}`, id)
	w.say(requests, `{"uid":"u","requestId":"q0","type":0,"rooms":["empty"]}`)
	w.expect(`{"requestId":"q0","sockets":[]}`, id)
	w.say(requests, `{"uid":"u","requestId":"q1","type":1}`)
	w.expect(`{"requestId":"q1","rooms":["room","<id>"]}`, id)
	w.say(requests, `{"uid":"u","type":2,"opts":{"rooms":["room"],"except":[]},"rooms":["more"]}`)
	w.say(requests, `{"uid":"u","type":3,"opts":{"rooms":["`+id+`"],"except":[]},"rooms":["room"]}`)
	w.say(requests, `{"uid":"u","requestId":"q5","type":5,"opts":{"rooms":[],"except":["nobody"]}}`)
	w.expect(`{"requestId":"q5","sockets":[{"id":"<id>","handshake":{"headers":{"host":"memory"},"time":"","address":"pipe",`+
		`"xdomain":false,"secure":false,"issued":0,"url":"/","query":{},"auth":{}},"rooms":["<id>","more"],"data":{}}]}`, id)

	w.say(requests, `{"uid":"u","requestId":"o2","type":2,"sid":"`+id+`","room":"old"}`)
	w.expect(`{"requestId":"o2"}`, id)
	assert.True(t, hasRoom(r, "old"))
	w.say(requests, `{"uid":"u","requestId":"o3","type":3,"sid":"`+id+`","room":"old"}`)
	w.expect(`{"requestId":"o3"}`, id)
	assert.False(t, hasRoom(r, "old"))
	w.say(requests, `{"uid":"u","requestId":"o3","type":3,"sid":"somebody's","room":"old"}`)

	w.say(requests, `{"uid":"u","requestId":"q6","type":6,"data":["sum",1,{"a":[2]}]}`)
	w.expect(`{"type":6,"requestId":"q6","data":["/","sum",[1,{"a":[2]}]]}`, id)
	w.say(requests, `{"uid":"emitter","type":6,"data":["no answer wanted"]}`)
	for _, failing := range []string{"panic", "no JSON", "error"} {
		w.say(requests, `{"uid":"u","requestId":"q6","type":6,"data":["`+failing+`"]}`)
	}

	ask := func(event string) string { // {uid:"u",requestId:"q7",type:7,packet:{type:2,data:[event,1],nsp:"/"},opts:{…}}
		return unhex(t, "85a3756964a175a9726571756573744964a27137a47479706507a67061636b657483a47479706502a46461746192"+
			hex.EncodeToString(append([]byte{0xa0 | byte(len(event))}, event...))+"01a36e7370a12f"+
			"a46f70747383a5726f6f6d7390a665786365707490a5666c61677381a774696d656f7574cdea60")
	}
	w.say(requests, ask("double"))
	w.expect(`{"type":8,"requestId":"q7","clientCount":1}`, id)
	assert.Equal(t, unhex(t, "83a47479706509a9726571756573744964a27137a67061636b657402"), w.next().Message)

	w.say(requests, `{"uid":"u","type":4,"opts":{"rooms":["more"],"except":[]},"close":true}`)
	client.ExpectClose(wsrouter.CloseNormal)
	require.Eventually(t, func() bool { return r.All().Count() == 0 }, 20*time.Second, time.Millisecond)
	w.say(requests, ask("double"))
	w.expect(`{"type":8,"requestId":"q7","clientCount":0}`, id)
}

func unhex(t *testing.T, s string) string {
	t.Helper()
	b, err := hex.DecodeString(s)
	require.NoError(t, err)
	return string(b)
}

// Whatever is sent on the channels, a node keeps running, and valid messages that
// follow arrive.
func TestGarbageOnEveryChannel(t *testing.T) {
	addr := redistest.Start(t).Addr
	r := newNode(t, newBroker(t, addr, nil))
	client := connect(t, r)
	w := listen(t, addr, broadcasts+"*")

	require.NoError(t, r.Emit("mine"))
	client.Expect("mine", nil)
	mine := w.next().Message
	uid := mine[2:8]

	hello := unhex(t, "93a17883a47479706502a46461746191a568656c6c6fa36e7370a12f83a5726f6f6d7390a665786365707490a5666c61677380")
	garbage := []string{
		"", "x", "{", "[]", "null", "\xc1", "\xc0", "\x93\xc0\xc0\xc0", "\xdd\xff\xff\xff\xff", "\xdf\xff\xff\xff\xff",
		"\xdb\xff\xff\xff\xff", strings.Repeat("\x91", 1<<20), strings.Repeat("[", 1<<20),
		`{"type":` + strings.Repeat("9", 1000) + `}`, `{"type":5,"requestId":"q"}`, `{"type":7,"requestId":"q"}`,
		`{"type":6,"requestId":"q"}`, `{"type":2}`, `{"type":4,"sid":""}`, `{"type":99}`, `{}`,
		`{"type":2,"opts":{"rooms":[],"except":[]},"rooms":[""]}`,
		`{"requestId":"never asked","sockets":[{"id":"x"}]}`, `{"requestId":7,"sockets":null}`,
		hello[:len(hello)-1], hello + "\x00",
		strings.Replace(hello, "\xa5hello", "\xaadisconnect", 1), // not an event
	}
	for _, channel := range []string{broadcasts, broadcasts + "room#", requests, responses} {
		for _, message := range garbage {
			w.say(channel, message)
		}
	}
	w.say(broadcasts+"nobody is here#", hello)
	w.say("socket.io#/unknown#", hello)
	w.say(broadcasts, strings.Replace(hello, "\xa1/", "\xa1x", 1)) // of another namespace
	w.say(broadcasts, mine)                                        // our own
	w.say(broadcasts, strings.Replace(hello, "\xa1x", "\xa6"+uid, 1))
	w.say(broadcasts, hello)
	client.Expect("hello", nil)
	assert.Positive(t, r.Stats().Broker.Malformed)
	assert.True(t, hasRoom(r, "room"))

	asker := newNode(t, newBroker(t, addr, nil))
	members, err := asker.Find(t.Context())
	require.NoError(t, err)
	assert.Len(t, members, 1)
}

func TestTwoClustersOnOneRedis(t *testing.T) {
	addr := redistest.Start(t).Addr
	a := newNode(t, newBroker(t, addr, &redisbroker.Options{Key: "a"}))
	b := newNode(t, newBroker(t, addr, &redisbroker.Options{Key: "b"}))
	ca, cb := connect(t, a), connect(t, b)
	require.NoError(t, a.Emit("to a"))
	ca.Expect("to a", nil)
	members, err := a.Find(t.Context())
	require.NoError(t, err)
	assert.Len(t, members, 1)
	require.NoError(t, b.Emit("to b"))
	cb.Expect("to b", nil)
}

// A node whose answers never arrive costs the others one timeout and nothing more,
// and they return what they have found.
func TestPartialAnswers(t *testing.T) {
	addr := redistest.Start(t).Addr
	a := newNode(t, newBroker(t, addr, &redisbroker.Options{RequestTimeout: 5 * time.Second}))
	b := newNode(t, newBroker(t, addr, nil))
	connect(t, a)
	connect(t, b)
	listen(t, addr, "x") // another connection, which does not count
	silent, release := newClient(t, addr).Dedicate()
	defer release()
	subscribed := make(chan struct{}, 1)
	silent.SetPubSubHooks(rueidis.PubSubHooks{OnSubscription: func(rueidis.PubSubSubscription) { subscribed <- struct{}{} }})
	require.NoError(t, silent.Do(t.Context(), silent.B().Subscribe().Channel(requests).Build()).Error())
	<-subscribed

	members, err := a.Find(t.Context())
	assert.ErrorIs(t, err, wsrouter.ErrUnreached)
	assert.Len(t, members, 2)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err = b.Find(ctx)
	assert.ErrorIs(t, err, wsrouter.ErrUnreached)
}

func TestBytesDatesAndKeysFromNode(t *testing.T) {
	addr := redistest.Start(t).Addr
	r := newNode(t, newBroker(t, addr, nil))
	client := connect(t, r)
	w := listen(t, addr)
	// ["u", {data: ["e", {z: <bytes>, a: <date>, n: 1.5}]}, {}], without nsp
	w.say(broadcasts, unhex(t, "93a17581a46461746192a16583a17ac403010203a161d6ff6553f100a16ecb3ff800000000000080"))
	var raw json.RawMessage
	assert.Equal(t, "e", client.Next(&raw))
	assert.Equal(t, `{"z":"AQID","a":"2023-11-14T22:13:20.000Z","n":1.5}`, string(bytes.TrimSpace(raw)))
}

// In JavaScript names may be numbers. Here they are strings.
func TestNumbersAreNames(t *testing.T) {
	addr := redistest.Start(t).Addr
	r := newNode(t, newBroker(t, addr, nil))
	client := connect(t, r)
	require.NoError(t, r.To("room").Join("7", "-8", "1.5"))
	w := listen(t, addr)
	for _, room := range []string{"07", "f8", "cb3ff8000000000000"} {
		// ["u", {data: [42, {1: "a"}]}, {rooms: [room]}]
		w.say(broadcasts, unhex(t, "93a17581a464617461922a8101a16181a5726f6f6d7391"+room))
		client.Expect("42", map[string]string{"1": "a"})
	}
}

// Requests that clients never answer cost a bounded amount, and block nothing else.
func TestAFloodOfQuestions(t *testing.T) {
	addr := redistest.Start(t).Addr
	broker := newBroker(t, addr, &redisbroker.Options{RequestTimeout: patient})
	r := newNode(t, broker)
	client := connect(t, r)
	w := listen(t, addr, "socket.io-response#*")
	const flood = 1000
	for i := range flood {
		// {uid, requestId, type: 7, packet: {data: ["silence"]}, opts: {flags: {timeout: 60000}}}
		w.say(requests, unhex(t, "85a3756964a175a9726571756573744964"+fmt.Sprintf("cd%04x", i)+"a47479706507"+
			"a67061636b657481a46461746191a773696c656e6365a46f70747381a5666c61677381a774696d656f7574cdea60"))
	}
	for range flood {
		assert.Contains(t, w.next().Message, `"clientCount":1`)
	}
	assert.Greater(t, broker.BrokerStats().Dropped, int64(flood/2))
	require.NoError(t, r.Emit("after"))
	for client.Next(nil) != "after" {
	}
	members, err := newNode(t, newBroker(t, addr, nil)).Find(t.Context())
	require.NoError(t, err)
	assert.Len(t, members, 1)
	begin := time.Now()
	require.NoError(t, r.Close())
	assert.Less(t, time.Since(begin), 10*time.Second, "Close does not wait for them")
}
