package suite_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wsrouter/wsrouter"
	"github.com/wsrouter/wsrouter/internal/rawtest"
	"github.com/wsrouter/wsrouter/socketio"
	"github.com/wsrouter/wsrouter/wsroutertest"
)

// TestStreamsHoldTooMuch: if the messages of streams hold four inboxes, further
// requests are refused, while other clients are served. When a stream has ended there
// is room for another.
func TestStreamsHoldTooMuch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		router := newRouterWith(&wsrouter.Options{InboxBytes: 10_000, MaxMessage: 10_000})
		router.On("stream", streamUntilGone)
		raw := rawtest.Connect(router, nil, nil)
		request := func(id string) string { return `{"event":"stream","data":"` + large[:8_000] + `","id":` + id + `}` }
		for _, id := range []string{"1", "2", "3", "4"} {
			require.True(t, raw.Send(request(id)))
		}
		expect := func(frame, want string) {
			t.Helper()
			require.True(t, raw.Send(frame))
			got, _ := raw.Read()
			require.Equal(t, want, got)
		}
		const full = invalid + `too many open requests","code":"too_many"},"re":5}`
		expect(request("5"), full)
		expect(`{"event":"events","data":1,"id":6}`, `{"event":"events","data":1,"re":6}`)
		expect(`{"id":1,"cancel":true}`, invalid+`canceled","code":"canceled"},"re":1}`)
		synctest.Wait()
		require.True(t, raw.Send(request("5")))
		expect(request("7"), strings.Replace(full, `"re":5`, `"re":7`, 1))
		raw.Close(1000, "")
		raw.Wait()
		require.Zero(t, router.Stats().Inbox)
	})
}

// TestPullsHoldOneWindow: a slow loop gets all items of a stream, even if they are as
// large as messages may be. But all pulls of a connection together hold no more than
// one such window; a pull that receives more fails.
func TestPullsHoldOneWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const maxMessage = 20_000
		router := wsrouter.New(&wsrouter.Options{MaxMessage: maxMessage, InboxBytes: 10_000})
		release := make(chan struct{})
		var items, failed atomic.Int64
		router.On("pull", func(c *wsrouter.Context) error {
			for _, err := range wsrouter.Pull[string](c.Context(), c.Conn(), "items", nil) {
				<-release
				if err != nil {
					failed.Add(1)
					require.ErrorContains(t, err, "than pulls may hold")
					break
				}
				items.Add(1)
			}
			return nil
		}, wsrouter.Concurrent)
		handlers := wsrouter.New(nil)
		handlers.On("items", func(c *wsrouter.Context) error {
			return wsrouter.StreamSeq(c, func(yield func(string, error) bool) {
				for i := range 100 {
					if !yield(large[:maxMessage-100], nil) {
						return
					}
					if i == 0 {
						time.Sleep(time.Millisecond) // until the loop has taken the first
					}
				}
			})
		})
		client := wsroutertest.Connect(t, router, &wsrouter.DialOptions{Router: handlers})
		require.NoError(t, client.Emit("pull"))
		time.Sleep(time.Second)
		synctest.Wait()
		one := router.Stats().Inbox
		require.Greater(t, one, 15*maxMessage)
		for range 9 {
			require.NoError(t, client.Emit("pull"))
		}
		time.Sleep(time.Second)
		synctest.Wait()
		require.Less(t, router.Stats().Inbox, 18*maxMessage)
		close(release)
		synctest.Wait()
		require.EqualValues(t, 9, failed.Load())
		require.EqualValues(t, 100+9, items.Load()) // the first of each was taken before there was too much
		require.Zero(t, router.Stats().Inbox)
		require.Equal(t, 1, router.Stats().Connections)
	})
}

// TestRequestTooLarge: over either wire, a client is refused if its headers would cost
// too much while it is connected.
func TestRequestTooLarge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		router := newRouter()
		req := httptest.NewRequest("GET", "/?EIO=4&transport=polling", nil)
		for _, name := range repeat(3000, "A%d") {
			req.Header.Set(name, "")
		}
		_, err := router.Connect(t.Context(), &wsrouter.DialOptions{Request: req})
		require.ErrorContains(t, err, "request headers too large")
		w := httptest.NewRecorder()
		socketio.New(router, nil).ServeHTTP(w, req)
		require.Equal(t, http.StatusRequestHeaderFieldsTooLarge, w.Code)
		require.Equal(t, map[wsrouter.Refusal]int64{wsrouter.RefusedRequest: 2}, router.Stats().Refused)
	})
}

// TestOnlyWhoHoldsIsCut: when a client is cut for what it holds, others are not, even
// if its handlers take a while to release that.
func TestOnlyWhoHoldsIsCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		router := newRouterWith(&wsrouter.Options{MaxBuffered: 100_000})
		release := make(chan struct{})
		router.On("hold", func(*wsrouter.Context) error { <-release; return nil }, wsrouter.Concurrent)
		for range 20 {
			wsroutertest.Connect(t, router, nil).Emit("hold", "a little")
		}
		raw := rawtest.Connect(router, nil, nil)
		for raw.Send(`{"event":"hold","data":"` + large[:30_000] + `"}`) {
			synctest.Wait()
		}
		s := router.Stats()
		require.Equal(t, 20, s.Connections)
		require.EqualValues(t, 1, s.Slow)
		require.Greater(t, s.Inbox, 50_000) // what the handlers have is still held
		client := wsroutertest.Connect(t, router, nil)
		require.NoError(t, client.Call(t.Context(), "events", large[:10_000], nil))
		close(release)
		synctest.Wait()
		require.Zero(t, router.Stats().Inbox)
		require.Equal(t, 21, router.Stats().Connections)
	})
}

// TestLargeDataCostsWhatIsAsked: of very many arguments and members, only those that a
// handler asks for cost memory.
func TestLargeDataCostsWhatIsAsked(t *testing.T) {
	router := wsrouter.New(nil)
	var first, second, field int
	var args, fields uint64
	router.On("args", func(c *wsrouter.Context) (err error) {
		args = allocated(func() { err = c.Args(&first, &second) })
		return err
	})
	router.On("field", func(c *wsrouter.Context) (err error) {
		fields = allocated(func() { err = c.Field("a.b", &field) })
		return err
	})
	raw := rawtest.Connect(router, nil, nil)
	raw.Send(`{"event":"args","data":[1 , 2` + strings.Repeat(`,0`, 400_000) + `],"id":1}`)
	raw.Read()
	raw.Send(`{"event":"field","data":{"a":{` + strings.Repeat(`"":0,`, 100_000) + `"b":3,"\u0062":4}},"id":1}`)
	raw.Read()
	raw.Close(1000, "")
	raw.Wait()
	require.Equal(t, []int{1, 2, 4}, []int{first, second, field})
	require.Less(t, args, uint64(100_000))
	require.Less(t, fields, uint64(100_000))
}

// TestSpread: several arguments of Socket.IO arrive unchanged, although they are parsed
// later.
func TestSpread(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		router := wsrouter.New(nil)
		type args struct {
			raw    string
			all    []any
			a, b   any
			events int
		}
		var got args
		router.On("e", func(c *wsrouter.Context) error {
			got.raw = string(c.Raw())
			got.events++
			if err := c.Bind(&got.all); err != nil {
				return err
			}
			return c.Args(&got.a, &got.b)
		})
		go post(router, `452-["e", {"_placeholder":true,"num":1} , [ {"_placeholder":true,"num":0} , 7 ] , "c" ]`+"\x1ebAQ==\x1ebAg==")
		synctest.Wait()
		require.Equal(t, args{
			raw: `["Ag==" , [ "AQ==" , 7 ] , "c" ]`, all: []any{[]byte{2}, []any{[]byte{1}, 7.0}, "c"},
			a: []byte{2}, b: []any{[]byte{1}, 7.0}, events: 1,
		}, got)
		require.NoError(t, router.Shutdown(context.Background()))
	})
}
