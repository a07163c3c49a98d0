package deploy

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wsrouter/wsrouter"
)

// outcome is what happened to a client, one of ours or as node/load.mjs prints it.
type outcome struct {
	Name                 string
	Answered, Unanswered []string // ids of requests
	Connects, Closes     []int64  // when, in Unix milliseconds
	News                 [][]int  // that arrived, over each connection
	Errors               []string // what should not have happened
	Told                 int      // how often the server said that it shuts down
}

// worker is a client made by Dial that mostly waits for an answer, or two.
type worker struct {
	*wsrouter.Client
	mu      sync.Mutex // guards outcome
	outcome outcome
}

func startWorker(t *testing.T, c *cluster, name string) *worker {
	t.Helper()
	w := &worker{outcome: outcome{Name: name}}
	handlers := wsrouter.New(nil)
	handlers.OnConnect(func(*wsrouter.Conn) error {
		w.note(func(o *outcome) {
			o.Connects = append(o.Connects, time.Now().UnixMilli())
			o.News = append(o.News, nil)
		})
		return nil
	})
	handlers.OnDisconnect(func(context.Context, *wsrouter.Conn, *wsrouter.CloseError) {
		w.note(func(o *outcome) { o.Closes = append(o.Closes, time.Now().UnixMilli()) })
	})
	wsrouter.Handle(handlers, "news", func(_ *wsrouter.Context, n int) (any, error) {
		w.note(func(o *outcome) { o.News[len(o.News)-1] = append(o.News[len(o.News)-1], n) })
		return nil, nil
	})
	var err error
	w.Client, err = wsrouter.Dial(t.Context(), "wss://"+c.addr+"/ws", &wsrouter.DialOptions{
		Router: handlers, HTTPClient: c.http, Reconnect: &wsrouter.Reconnect{Resume: len(name)%2 == 0},
	})
	require.NoError(t, err)
	t.Cleanup(func() { w.Close() })
	return w
}

func (w *worker) note(what func(o *outcome)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	what(&w.outcome)
}

// retryPause is how long a client waits whose server has told it to ask elsewhere.
const retryPause = 100 * time.Millisecond

// work asks until stop is closed, and then once more until that is answered, which
// shows that the client is back. It runs twice at once, in two lanes.
func (w *worker) work(ctx context.Context, lane int, stop <-chan struct{}) {
	for n, last := 0, false; ; n++ {
		if err := w.Ready(ctx); err != nil {
			w.note(func(o *outcome) { o.Errors = append(o.Errors, err.Error()) })
			return
		}
		in := work{ID: fmt.Sprintf("%s-%d-%d", w.outcome.Name, lane, n), MS: 50 + rand.IntN(400)}
		switch {
		case last:
			in.MS = 0
		case n%8 == 7:
			in.MS = 1000
		}
		answer, err := wsrouter.Call[string](ctx, w, "work", in)
		w.note(func(o *outcome) { o.add(in.ID, answer, err) })
		if last && err == nil {
			return
		}
		pause := time.Duration(rand.IntN(400)) * time.Millisecond
		if wsError := new(wsrouter.WsError); errors.As(err, &wsError) {
			pause = retryPause
		}
		select {
		case <-time.After(pause):
		case <-stop:
			last = true
			stop = nil
		case <-ctx.Done():
			return
		}
	}
}

type work struct {
	ID string `json:"id"`
	MS int    `json:"ms"`
}

func (o *outcome) add(id, answer string, err error) {
	if err == nil && answer == id {
		o.Answered = append(o.Answered, id)
		return
	}
	o.Unanswered = append(o.Unanswered, id)
	var told *wsrouter.WsError
	var closed *wsrouter.CloseError
	switch {
	case errors.As(err, &told) && told.Code == wsrouter.CodeShutdown:
		o.Told++
	case errors.As(err, &closed) && (closed.Code == wsrouter.CloseServiceRestart || closed.Cause == wsrouter.CauseLocal):
	default:
		o.Errors = append(o.Errors, fmt.Sprintf("%s: %q, %v", id, answer, err))
	}
}
